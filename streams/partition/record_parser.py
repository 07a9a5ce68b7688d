"""A raw record into what the join needs of it: a heartbeat, or the events of its lines and the lines that are lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from postwatch.producers.record import Heartbeat, RawHeaders, decode_headers
from postwatch.producers.service.errors import BadInputError
from postwatch.streams.contracts.dead_letters import LINE, RECORD, DeadLetter, LineOrigin
from postwatch.streams.parsers.events import Event
from postwatch.streams.parsers.lines import PARSER_ERROR, UnreadableLine, decode_lines, parse_lines
from postwatch.streams.parsers.log_format import LineParser
from postwatch.streams.parsers.registry import AUTO, FormatsParser, make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.failures import PARSER
from postwatch.streams.partition.other_shippers import OtherShippers
from postwatch.streams.partition.ports import RawRecord
from postwatch.streams.partition.processed_lines import ProcessedLines
from postwatch.streams.partition.server_lines import ServerLines, ServersLines

_MAX_PARSERS = 64
_LOOK_EVERY_MS = 500
"""How often the format of a line is asked for, of one server whose records do not name it."""


@dataclass(slots=True)
class ParsedRecord:
    """What one record brought."""

    server: str
    heartbeat: Heartbeat | None = None
    piece: tuple[str, str, int, int] | None = None
    """Server, file and byte range, where the record tells them."""
    events: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class RecordParser:
    """Keeps a parser for each log format and time zone. `timezone` is that of records which name none."""

    def __init__(
        self,
        timezone: str,
        counts: JoinCounts,
        processed: ProcessedLines,
        servers: ServersLines,
        wrapping_programs: Sequence[str] = (),
        other_shippers: OtherShippers | None = None,
    ) -> None:
        self._servers = servers
        self._timezone = timezone
        self._wrapping_programs = wrapping_programs
        self._others = other_shippers or OtherShippers()
        self._counts = counts
        self._processed = processed
        self._parsers: dict[tuple[str, str], LineParser] = {}

    def parse(self, record: RawRecord, arrived_at: int) -> ParsedRecord:
        """Parse a record; lines that were processed before are skipped and counted."""
        self._counts.records += 1
        parsed = ParsedRecord((record.key or b"").decode("utf-8", "backslashreplace"))
        headers = decode_headers(record.headers)
        if isinstance(headers, Heartbeat):
            self._counts.heard(parsed.server, headers.sent_ms)
            parsed.heartbeat = headers
            return parsed
        value = record.value
        if value and headers.file and 0 <= headers.byte_offset < headers.end_offset:
            value, repeated_lines = self._processed.cut_repeated(parsed.server, headers, value)
            self._counts.repeated_lines += repeated_lines
            parsed.piece = parsed.server, headers.file, headers.byte_offset, headers.end_offset
        if value:
            self._parse_lines(parsed, headers, value, arrived_at, record.timestamp or headers.sent_ms or arrived_at)
            parsed.events = self._processed.without_closed(parsed.server, parsed.events, record.offset)
        return parsed

    def _parse_lines(
        self, parsed: ParsedRecord, headers: RawHeaders, value: bytes, arrived_at: int, at_ms: int
    ) -> None:
        headers = self._others.headers(parsed.server, headers)
        try:
            parser = self._parser(headers)
            counts = self._counts.tally.of(parsed.server, headers.format)
        except BadInputError as error:
            counts = self._counts.tally.of(parsed.server, "(unknown)")
            for line in value.splitlines():
                origin = LineOrigin(parsed.server, headers.file, -1)
                parsed.letters.append(DeadLetter(line, RECORD, origin, str(error)))
                counts.lines += 1
                counts.unreadable[RECORD] += 1
            return
        parser.stamps.shipped(headers.sent_ms or arrived_at)
        lines = self._others.lines(parsed.server, headers, decode_lines(value))
        suppressed_before = counts.suppressed_lines
        parsed.events, unreadable = parse_lines(parser, lines, counts)
        if seen := self._servers.of(parsed.server, at_ms):
            seen.add(at_ms, len(lines), counts.suppressed_lines - suppressed_before)
            if parsed.events:
                seen.stamped(at_ms, parsed.events[-1].at)
                _see_format(seen, headers.format, parser, lines[-1], at_ms)
        if unreadable:
            raw = value.split(b"\n")
            for each in unreadable:
                offset = headers.byte_offset + sum(len(line) + 1 for line in raw[: each.number])
                origin = LineOrigin(parsed.server, headers.file, offset if headers.byte_offset >= 0 else -1)
                parsed.letters.append(self._letter(raw[each.number], each, origin))

    def _letter(self, line: bytes, unreadable: UnreadableLine, origin: LineOrigin) -> DeadLetter:
        if unreadable.error is None:
            return DeadLetter(line, LINE, origin, unreadable.reason)
        place = self._counts.failures.report(PARSER, origin.server, unreadable.error)
        return DeadLetter(line, PARSER_ERROR, origin, place)

    def _parser(self, headers: RawHeaders) -> LineParser:
        key = headers.format, headers.tz or self._timezone
        parser = self._parsers.get(key)
        if parser is None:
            if len(self._parsers) >= _MAX_PARSERS:
                self._parsers.clear()
            parser = make_parser(key[0], StampReader(find_zone(key[1], "the header tz")), self._wrapping_programs)
            self._parsers[key] = parser
        return parser


def _see_format(seen: ServerLines, name: str, parser: LineParser, line: str, at_ms: int) -> None:
    if name != AUTO:
        seen.seen_format(name)
    elif at_ms >= seen.next_look_ms and isinstance(parser, FormatsParser):
        seen.next_look_ms = at_ms + _LOOK_EVERY_MS
        seen.seen_format(parser.format_of(line))
