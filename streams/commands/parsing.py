"""Log files as events, block by block.

Invariant: blocks and ends of files come in the order of the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from postwatch.streams.commands.log_files import read_logs
from postwatch.streams.parsers.events import Event
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.log_format import LineParser

_SHOWN_CHARACTERS = 500


class Block(NamedTuple):
    """What whole lines of a file came to."""

    events: list[Event]
    unreadable: list[tuple[str, str]]
    """Reason and beginning of each line that can't be read."""


class FileEnd(NamedTuple):
    """A file was read to its end."""

    name: str
    counts: LineCounts


def parse_logs(paths: Sequence[str], parser: LineParser) -> Iterator[Block | FileEnd]:
    """The blocks of each file, then its end. Raises BadInputError."""
    for path in paths:
        for file in read_logs(path):
            parser.stamps.shipped(file.written_ms)
            counts = LineCounts()
            for block in file.blocks:
                yield _parse_block(parser, block, counts)
            yield FileEnd(file.name, counts)


def _parse_block(parser: LineParser, block: bytes, counts: LineCounts) -> Block:
    """Its own function: who takes the block is then the only one that holds its lines."""
    lines = decode_lines(block)
    parsed = parse_lines(parser, lines, counts)
    shown = [(one.reason, lines[one.number][:_SHOWN_CHARACTERS]) for one in parsed.unreadable]
    return Block(parsed.events, shown)
