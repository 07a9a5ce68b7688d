"""A joiner whose messages may be parked, and resumed from what was parked, between any two lines."""

from __future__ import annotations

from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.stored_message import decode_stored, encode_stored
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone


class Table:
    """The rows that the table would show, of a joiner that may be made anew from what it parked."""

    def __init__(self) -> None:
        stamps = StampReader(find_zone("UTC", "test"))
        stamps.shipped(1_795_500_000_000)
        self.parser = make_parser("auto", stamps)
        self.parked: dict[tuple[str, str], bytes] = {}
        self.joiner = self._make()
        self._newest: dict[tuple[str, str, str, str], Outcome] = {}

    def _make(self) -> Joiner:
        return Joiner(AccountBook(None), self._find)

    def _find(self, server: str, queue_id: str) -> Message | None:
        stored = self.parked.get((server, queue_id))
        return decode_stored(stored).message if stored is not None else None

    def read(self, lines: list[str], start: int = -1) -> Table:
        """Each line as a record, from the offset `start` on; negative: without offsets."""
        for number, line in enumerate(lines):
            offset = start + number if start >= 0 else -1
            self.joiner.add("web7", parse_lines(self.parser, [line], LineCounts()).events, offset)
            for row in self.joiner.take_dirty()[0]:
                key = row.account, row.queue_id, row.recipient, row.direction
                if key not in self._newest or row.version >= self._newest[key].version:
                    self._newest[key] = row
        return self

    def park(self) -> Table:
        for message in self.joiner.open_messages():
            self.parked[message.server, message.queue_id] = encode_stored(message)
        return self.crash()

    def crash(self) -> Table:
        self.joiner = self._make()
        return self

    def rows(self) -> list[Outcome]:
        return [row for row in self._newest.values() if not row.is_deleted]

    def told(self) -> dict[tuple[str, str], str]:
        return {(row.queue_id, row.recipient): row.status for row in self.rows()}
