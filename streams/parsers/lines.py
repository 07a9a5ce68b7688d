"""From the bytes of a record or a file to events, every line accounted for.

Lines read = events + ignored + unreadable, always; a line on which a parser fails is one of the unreadable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from postwatch.producers.record import CUT_MARK, MAX_LINE_BYTES
from postwatch.streams.parsers.events import Event, Ignored, Unreadable
from postwatch.streams.parsers.log_format import LineParser

_CUT = CUT_MARK.decode()
_KEPT_OF_LONG = MAX_LINE_BYTES - len(CUT_MARK)


@dataclass(slots=True)
class LineCounts:
    """What became of the lines read."""

    lines: int = 0
    events: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    suppressed_lines: int = 0
    """Lines that never came: a logger says that it threw them away."""


MOST_SOURCES = 10_000
_OTHERS = "(others)"


class LineTally:
    """Counts by server and format, so that a change of a server's log is seen. Bounded: the rest is counted as one."""

    def __init__(self) -> None:
        self.sources: dict[tuple[str, str], LineCounts] = {}

    def of(self, server: str, log_format: str) -> LineCounts:
        key = server, log_format
        found = self.sources.get(key)
        if found is None:
            if len(self.sources) >= MOST_SOURCES:
                key = _OTHERS, _OTHERS
            found = self.sources.setdefault(key, LineCounts())
        return found

    def total(self) -> LineCounts:
        whole = LineCounts()
        for counts in list(self.sources.values()):
            add_counts(whole, counts)
        return whole


def add_counts(whole: LineCounts, counts: LineCounts) -> None:
    """Add what was counted of a part."""
    whole.lines += counts.lines
    whole.events += counts.events
    whole.ignored += counts.ignored
    whole.unreadable += counts.unreadable
    whole.suppressed_lines += counts.suppressed_lines


def decode_lines(value: bytes) -> list[str]:
    """Whole lines → text without newlines. Bytes that are no UTF-8 are shown as \\xNN; too long a line is cut."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("utf-8", "backslashreplace")
    if "\r" in text:  # written on Windows, or by a shipper that sends line ends as such
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if len(text) > MAX_LINE_BYTES and max(map(len, lines)) > MAX_LINE_BYTES:
        return [line if len(line) <= MAX_LINE_BYTES else line[:_KEPT_OF_LONG] + _CUT for line in lines]
    return lines


PARSER_ERROR = "parser-error"
"""The reason of a line on which a parser failed: a fault of Postwatch, not of the line."""


class UnreadableLine(NamedTuple):
    """A line of a block that becomes a dead letter."""

    number: int
    """Its place in the block, from 0."""
    reason: str
    error: Exception | None = None
    """What the parser raised, where the reason is PARSER_ERROR."""


class ParsedLines(NamedTuple):
    """What a block of lines holds, in its order."""

    events: list[Event]
    unreadable: list[UnreadableLine]


def parse_lines(parser: LineParser, lines: Iterable[str], counts: LineCounts) -> ParsedLines:
    """Parse lines of one server and count them. A parser that fails on a line costs that line."""
    parse, ignored, not_read = parser.parse, Ignored, Unreadable  # looked up once
    events: list[Event] = []
    unreadable: list[UnreadableLine] = []
    others = 0
    index = -1
    for index, line in enumerate(lines):
        try:
            parsed = parse(line)
        except MemoryError:
            raise
        except Exception as error:
            others += 1
            unreadable.append(UnreadableLine(index, PARSER_ERROR, error))
            counts.unreadable[PARSER_ERROR] += 1
            continue
        if type(parsed) is ignored:  # `isinstance` takes four times as long
            others += 1
            counts.ignored[parsed.kind] += 1
            counts.suppressed_lines += parsed.suppressed_lines
        elif type(parsed) is not_read:
            others += 1
            unreadable.append(UnreadableLine(index, parsed.reason))
            counts.unreadable[parsed.reason] += 1
        elif type(parsed) is list:
            events += parsed
        else:
            events.append(parsed)  # type: ignore[arg-type]  # of the types none is left but those of events
    counts.lines += index + 1
    counts.events += index + 1 - others
    return ParsedLines(events, unreadable)
