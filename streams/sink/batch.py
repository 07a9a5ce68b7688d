"""Rows that the sink has read and not yet written, by topic, and the next offset of each partition.

A batch holds whole records in the order of their offsets. So when its rows are stored and its dead letters are
delivered, everything before `next_offsets` is safe. Its rows, bytes and time are bounded. The caller passes the time.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from postwatch.streams.contracts.dead_letters import DeadLetter, RecordOrigin

BUSY_ROWS = 2_000
"""A batch that has so many rows may wait for more: ClickHouse takes a row of a large insert at two thirds of the CPU
that one of a small insert costs, merges included."""
MAX_BATCH_BYTES = 32 * 1024 * 1024
"""Of record values. For a moment, joining them and encoding the insert take 1.25 times as much in addition."""


@dataclass(frozen=True, slots=True)
class TopicRows:
    """The rows of one topic's records, joined."""

    rows: pa.Table
    _origins: Sequence[RecordOrigin]
    _ends: Sequence[int]
    """For each origin, the index after its last row."""

    def origin(self, index: int) -> RecordOrigin:
        """The record that contained row number `index`."""
        return self._origins[bisect.bisect_right(self._ends, index)]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one flush writes, and the offsets that it acknowledges afterwards."""

    topics: Mapping[str, TopicRows]
    letters: Sequence[DeadLetter]
    """Records that could not be decoded."""
    next_offsets: Mapping[tuple[str, int], int]
    """(topic, partition) → offset after the last record of the batch and the transaction markers that follow it."""


class RowBatcher:
    """Collects records until there are enough for a batch."""

    def __init__(
        self,
        max_rows: int,
        max_wait_seconds: float,
        max_bytes: int = MAX_BATCH_BYTES,
        busy_wait_seconds: float | None = None,
    ) -> None:
        """`busy_wait_seconds`: of a batch with BUSY_ROWS; None: as any other."""
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_wait_seconds = max_wait_seconds
        self._busy_wait_seconds = max(max_wait_seconds, busy_wait_seconds or 0.0)
        self.clear()

    def clear(self) -> None:
        self._tables: dict[str, list[tuple[RecordOrigin, pa.Table]]] = {}
        self._letters: list[DeadLetter] = []
        self._next_offsets: dict[tuple[str, int], int] = {}
        self._rows = 0
        self._bytes = 0
        self._since: float | None = None

    def add_rows(self, origin: RecordOrigin, rows: pa.Table, size_bytes: int, now: float) -> None:
        """Take the rows of the next record of its partition."""
        self._tables.setdefault(origin.topic, []).append((origin, rows))
        self._rows += rows.num_rows
        self._move_past(origin, size_bytes, now)

    def add_letter(self, origin: RecordOrigin, letter: DeadLetter, now: float) -> None:
        """Take the next record of its partition, or a row of it, that is a dead letter."""
        self._letters.append(letter)
        self._move_past(origin, len(letter.value), now)

    def pass_markers(self, end: RecordOrigin, now: float) -> None:
        """The partition has no more records before this offset; transaction markers have offsets too."""
        self._next_offsets[end.topic, end.partition] = end.kafka_offset
        if self._since is None:
            self._since = now

    def _move_past(self, origin: RecordOrigin, size_bytes: int, now: float) -> None:
        self._next_offsets[origin.topic, origin.partition] = origin.kafka_offset + 1
        self._bytes += size_bytes
        if self._since is None:
            self._since = now

    def seconds_until_due(self, now: float, at_most: float) -> float:
        """How long the caller may wait for the next record."""
        if self._since is None:
            return at_most
        if self._rows >= self._max_rows or self._bytes >= self._max_bytes:
            return 0.0
        wait_seconds = self._busy_wait_seconds if self._rows >= BUSY_ROWS else self._max_wait_seconds
        return min(at_most, max(0.0, self._since + wait_seconds - now))

    def is_due(self, now: float) -> bool:
        return self._since is not None and self.seconds_until_due(now, 1.0) == 0.0

    def take(self) -> Batch:
        """Return everything collected so far as one batch, and empty the buffer."""
        topics = {topic: _join(parts) for topic, parts in self._tables.items()}
        batch = Batch(topics, self._letters, self._next_offsets)
        self.clear()
        return batch


def _join(parts: Sequence[tuple[RecordOrigin, pa.Table]]) -> TopicRows:
    # One chunk for each column: ClickHouse makes a block of each record batch, and small blocks are slow.
    rows = pa.concat_tables([table for _, table in parts]).combine_chunks()
    ends = []
    total = 0
    for _, table in parts:
        total += table.num_rows
        ends.append(total)
    return TopicRows(rows, [origin for origin, _ in parts], ends)
