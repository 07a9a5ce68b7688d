"""From the bytes of a record or a file to events, every line accounted for.

Lines read = events + ignored + unreadable, always; a line on which a parser fails is one of the unreadable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from postwatch.producers.record import CUT_MARK, MAX_LINE_BYTES
from postwatch.streams.parsers.events import Event, Ignored, Unreadable
from postwatch.streams.parsers.log_format import LineParser
from postwatch.streams.parsers.scan import SCAN

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
    if SCAN is not None:
        usual: list[str] | None = SCAN.lines(value, MAX_LINE_BYTES)
        if usual is not None:
            return usual
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("utf-8", "backslashreplace")
    if "\r" in text:  # written on Windows, or by a shipper that sends line ends as such
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if _has_long_line(text):
        return [line if len(line) <= MAX_LINE_BYTES else line[:_KEPT_OF_LONG] + _CUT for line in lines]
    return lines


def _has_long_line(text: str) -> bool:
    """Whether a line has more than MAX_LINE_BYTES characters. Looks at one line end in so many characters."""
    start = 0
    while len(text) - start > MAX_LINE_BYTES:
        end = text.rfind("\n", start, start + MAX_LINE_BYTES + 1)
        if end < 0:
            return True
        start = end + 1
    return False


_EVENTS = frozenset(get_args(Event))
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
    usual, parse, events_of_one_line = parser.usual, parser.parse, _EVENTS  # looked up once
    events: list[Event] = []
    unreadable: list[UnreadableLine] = []
    ignored: dict[str, int] = {}
    others = 0
    index = -1
    for index, line in enumerate(lines):
        try:
            read = usual.get(line[:1]) if usual else None
            parsed = read(line) if read is not None else None
            if parsed is None:
                parsed = parse(line, read)
        except MemoryError:
            raise
        except Exception as error:
            others += 1
            unreadable.append(UnreadableLine(index, PARSER_ERROR, error))
            counts.unreadable[PARSER_ERROR] += 1
            continue
        if type(parsed) in events_of_one_line:  # `isinstance` takes four times as long
            events.append(parsed)  # type: ignore[arg-type]  # whose type is one of those
        elif type(parsed) is Ignored:
            others += 1
            kind, suppressed_lines = parsed
            ignored[kind] = ignored.get(kind, 0) + 1
            if suppressed_lines:
                counts.suppressed_lines += suppressed_lines
        elif type(parsed) is Unreadable:
            others += 1
            unreadable.append(UnreadableLine(index, parsed.reason))
            counts.unreadable[parsed.reason] += 1
        elif type(parsed) is list:
            events += parsed
    for kind, count in ignored.items():  # a Counter would cost as much as the look at the line
        counts.ignored[kind] += count
    counts.lines += index + 1
    counts.events += index + 1 - others
    return ParsedLines(events, unreadable)
