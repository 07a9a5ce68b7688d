"""The formats by name: what `--format` and the `format` header may say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postwatch.producers.errors import BadInputError
from postwatch.streams.events import Parsed
from postwatch.streams.parsers import exim_main
from postwatch.streams.stamps import StampReader


class LineParser(Protocol):
    def parse(self, line: str) -> Parsed: ...


_PARSERS: dict[str, Callable[[StampReader], LineParser]] = {
    "exim-main": exim_main.EximMainParser,
    "auto": exim_main.EximMainParser,
}


def make_parser(name: str, stamps: StampReader) -> LineParser:
    """A parser of the named format. Raises BadInputError for a name that is not known."""
    try:
        return _PARSERS[name](stamps)
    except KeyError:
        raise BadInputError(f"unknown log format {name!r}; known are {', '.join(sorted(_PARSERS))}") from None
