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
LOADED_ROWS = 20_000
"""A batch that has so many may wait still longer: with its merges, a row of an insert of 90,000 takes three fifths of
the CPU that one of 27,000 takes."""
LOADED_WAITS = 3
"""So many times as long as a busy one."""
MAX_BATCH_BYTES = 64 * 1024 * 1024
"""Of record values, about 54,000 rows. For a moment, the encoded insert takes a quarter of it in addition."""
BLOCK_ROWS = 20_000
"""ClickHouse makes a block of each record batch, and small blocks are slow; larger ones need more memory here."""


@dataclass(frozen=True, slots=True)
class TopicRows:
    """The rows of one topic's records, joined to blocks."""

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
        """`busy_wait_seconds`: with BUSY_ROWS, LOADED_WAITS times as long with LOADED_ROWS; None: as any batch."""
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
        return min(at_most, max(0.0, self._since + self._wait_seconds() - now))

    def _wait_seconds(self) -> float:
        if self._rows < BUSY_ROWS:
            return self._max_wait_seconds
        return self._busy_wait_seconds * (LOADED_WAITS if self._rows >= LOADED_ROWS else 1)

    def is_due(self, now: float) -> bool:
        return self._since is not None and self.seconds_until_due(now, 1.0) == 0.0

    def take(self) -> Batch:
        """Return everything collected so far as one batch, and empty the buffer."""
        topics = {topic: _join(parts) for topic, parts in self._tables.items()}
        batch = Batch(topics, self._letters, self._next_offsets)
        self.clear()
        return batch


def _join(parts: list[tuple[RecordOrigin, pa.Table]]) -> TopicRows:
    """Empties `parts`: what a block is made of goes back before the next is made."""
    origins: list[RecordOrigin] = []
    ends: list[int] = []
    blocks: list[pa.Table] = []
    waiting: list[pa.Table] = []
    total = waiting_rows = 0
    parts.reverse()
    while parts:
        origin, table = parts.pop()
        total += table.num_rows
        waiting_rows += table.num_rows
        origins.append(origin)
        ends.append(total)
        waiting.append(table)
        if waiting_rows >= BLOCK_ROWS or not parts:
            blocks.append(pa.concat_tables(waiting).combine_chunks())
            waiting_rows = 0
            waiting.clear()
    return TopicRows(pa.concat_tables(blocks), origins, ends)
