"""Which lines this partition has processed before, so that lines that come again change nothing.

Two sets of ranges: what is acknowledged, as the table has it, and what was processed, acknowledged or not. A crash
takes the second, and the lines that are read again are told by the first.
"""

from __future__ import annotations

from collections.abc import Iterable

from postwatch.producers.record import RawHeaders
from postwatch.streams.parsers.events import CLIENT, FIRST_PARTS, Arrival, Event
from postwatch.streams.parsers.exim.pieces import begins_entry
from postwatch.streams.partition.processed_ranges import decode_ranges, encode_ranges
from postwatch.streams.partition.retained_fetches import RetainedFetch


class ProcessedLines:
    """Built from the ranges that the table has; None: a new partition. Raises ValueError for a newer version."""

    def __init__(self, stored: bytes | None) -> None:
        self._acknowledged = decode_ranges(stored)
        self._processed = decode_ranges(stored)
        crossing = self._acknowledged.crossing
        self._closed_before = {server: dict(messages) for server, messages in crossing.items()}
        """Closed and confirmed in an earlier life, by a fetch that is read again now: queue id → its last offset."""
        self._closed_now: dict[str, int] = {}
        """Of the server of the last record, where that is one of those that are read again."""
        self._closed_until = max((offset for messages in crossing.values() for offset in messages.values()), default=-1)

    def cut_repeated(self, server: str, headers: RawHeaders, value: bytes) -> tuple[bytes, int]:
        """The part of a record's lines that was not processed before, and the number of lines cut off."""
        file = self._processed.file(server, headers.file)
        start, end = headers.byte_offset, headers.end_offset
        if file.goes_on(start, end, headers.sent_ms):
            return value, 0
        repeated_lines = 0
        if file.covers(start, end):
            repeated_lines = value.count(b"\n")
            value = b""
        elif len(value) == end - start:  # else a line was cut, and offsets can't be counted in the value
            repeated = file.processed_until(start) - start
            if repeated:
                repeated_lines = value.count(b"\n", 0, repeated)
                value = value[repeated:]
        file.add(start, end, headers.sent_ms)
        return value, repeated_lines

    def without_closed(self, server: str, events: list[Event], kafka_offset: int) -> list[Event]:
        """Events of a record that is read again, but those of messages that were closed for good.

        A client's line begins another message with the same queue id, a first piece another entry of its process, and
        behind the closed message any of FIRST_PARTS.
        """
        closed = self._closed_before.get(server) if kafka_offset <= self._closed_until else None
        self._closed_now = closed or {}
        if not closed:
            return events
        kept: list[Event] = []
        for event in events:
            if isinstance(event, Arrival) and event.queue_id in closed:
                is_behind = kafka_offset > closed[event.queue_id]
                if event.part == CLIENT or begins_entry(event) or (is_behind and event.part in FIRST_PARTS):
                    del closed[event.queue_id]
            if event.queue_id not in closed:
                kept.append(event)
        return kept

    def was_closed(self, server: str, queue_id: str) -> bool:
        """As `without_closed`, for an event that comes of several lines, the last one in that record."""
        return queue_id in self._closed_now

    def acknowledge(self, done: list[RetainedFetch], now: int, committed: int) -> bytes:
        """Add what these fetches brought; returns the entry to write before they are acknowledged."""
        acknowledged = self._acknowledged
        last = done[-1].last_offset
        for fetch in done:
            for server, file, start, end in fetch.pieces:
                acknowledged.add(server, file, start, end, now)
            for closer, messages in fetch.crossing.items():
                if closer.last_offset > last:
                    self._cross(messages, closer.last_offset)
        acknowledged.forget_crossed(committed)
        acknowledged.forget_quiet(now)
        return encode_ranges(acknowledged)

    def _cross(self, messages: Iterable[tuple[str, str]], closed_by_offset: int) -> None:
        for server, queue_id in messages:
            self._acknowledged.cross(server, queue_id, closed_by_offset)
