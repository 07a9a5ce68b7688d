"""What a log format is to the rest: a name, how its lines are told from others, and who reads them.

Each format defines its `LogFormat` beside its parser, and `registry.FORMATS` lists them. A line is read as what its
head says that it is, so at most one format claims it: by the program that syslog names, or by the form of the line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from postwatch.streams.parsers.events import Parsed
from postwatch.streams.parsers.syslog import Header
from postwatch.streams.parsers.timestamps import StampReader

ReadLine = Callable[[str], Parsed | None]
"""A line → what it means; None: its form does not say that it is of this format. Never raises."""


class LineParser(Protocol):
    stamps: StampReader
    """To be told when the lines that follow were shipped."""
    usual: dict[str, ReadLine]
    """By the first character of a line: who reads nearly all such lines. `parse` reads the others, and any line."""

    def parse(self, line: str, tried: ReadLine | None = None) -> Parsed:
        """One line without its newline → what it means. Never raises. `tried`: a reader that does not know the line."""


ReadMessage = Callable[[Header, str, StampReader], Parsed]
"""The head of a syslog line, with the program's message behind it, and the whole line → what it means. Never raises."""


class LogFormat(NamedTuple):
    """One format. It needs `read_message` with `programs`, or `line_reader`; the rest is for what is unusual."""

    name: str
    """What `--format` and the `format` header of a record say."""
    programs: tuple[str, ...] = ()
    """Programs as syslog names them; `*` stands for any characters."""
    read_message: ReadMessage | None = None
    """Reads what these programs say."""
    line_reader: Callable[[StampReader], ReadLine] | None = None
    """Makes the reader of lines that are told by their form, such as Exim's own stamp; or the fast path of others."""
    read_rest: ReadLine | None = None
    """What is known of a line that no format claims: one that continues an entry, or lost a part of its head."""
    parser: Callable[[StampReader], LineParser] | None = None
    """Makes the parser of files of this format alone, where the one in `registry` will not do."""
