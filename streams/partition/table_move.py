"""Where the entries of the join's table belong when the raw topic gets more partitions. Pure.

Invariant: every step may be cut off and repeated. First entries and processed ranges are written where they belong now,
and only when these are safe are they deleted where they were. An entry that was moved forgets the offsets of its old
partition, for they mean nothing in another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from postwatch.streams.joining.stored_message import OPEN, decode_stored, encode_stored
from postwatch.streams.partition.partition_join import RANGES_KEY
from postwatch.streams.partition.partitioners import partition_by_crc32, partition_by_murmur2
from postwatch.streams.partition.processed_ranges import ProcessedRanges, decode_ranges, encode_ranges

Table = Mapping[int, Mapping[bytes, bytes]]
"""Partition → key → value."""
Write = tuple[int, bytes, bytes | None]
"""Partition, key, and value; None: delete."""
_PARTITIONERS = (partition_by_murmur2, partition_by_crc32)


@dataclass(slots=True)
class Move:
    """What to write; `first` must be safe before `then` begins."""

    first: list[Write] = field(default_factory=list)
    then: list[Write] = field(default_factory=list)
    messages: int = 0
    """Parked messages that go to another partition."""


def plan_move(table: Table, old_partitions: int, partitions: int) -> Move:
    """Raises StoreError for an entry, ValueError for ranges, that a newer version wrote."""
    move = Move()
    ranges = {number: decode_ranges(entries.get(RANGES_KEY)) for number, entries in table.items()}
    shipped = {server for each in ranges.values() for server in each.servers}
    copies: dict[bytes, list[int]] = defaultdict(list)
    for number, entries in table.items():
        for key in entries:
            if not key.startswith(b"\0"):
                copies[key].append(number)
    for key, found in copies.items():
        _move_message(move, table, key, found, _Places(shipped, old_partitions, partitions))
    _move_ranges(move, ranges, partitions)
    return move


@dataclass(frozen=True, slots=True)
class _Places:
    shipped: set[str]
    """Servers whose records tell a file: our shipper sends them."""
    old_partitions: int
    partitions: int

    def of(self, server: bytes, found: list[int]) -> set[int]:
        """Where the records of a server go now; two places where one can't tell which of two hashes its sender uses.

        A copy in a partition that gets no line of the server is given up with its age, and makes no row.
        """
        if server.decode() in self.shipped:
            return {partition_by_murmur2(server, self.partitions)}
        likely = [hashed for hashed in _PARTITIONERS if hashed(server, self.old_partitions) in found]
        return {hashed(server, self.partitions) for hashed in likely or _PARTITIONERS}


def _move_message(move: Move, table: Table, key: bytes, found: list[int], places: _Places) -> None:
    """Entries of closed messages stay: they are deleted there, by the offset of that partition."""
    wanted = places.of(key.partition(b"\0")[0], found)
    stored = {number: decode_stored(table[number][key]) for number in found}
    is_open = [number for number in found if stored[number].closed_by_offset == OPEN]
    if not is_open or wanted == set(found):
        return
    message = max((stored[number].message for number in is_open), key=lambda one: len(encode_stored(one)))
    message.read_until = message.parked_at = -1
    value = encode_stored(message)
    for number in sorted(wanted):
        known = stored.get(number)
        if known is None or (known.closed_by_offset == OPEN and len(table[number][key]) < len(value)):
            move.first.append((number, key, value))
    gone = [number for number in is_open if number not in wanted]
    move.then += [(number, key, None) for number in gone]
    move.messages += bool(gone)


def _move_ranges(move: Move, ranges: Mapping[int, ProcessedRanges], partitions: int) -> None:
    """Only our shipper's records have ranges. A message that crosses an offset stays where the offset is."""
    final = {number: ProcessedRanges(crossing=each.crossing) for number, each in ranges.items()}
    for number, each in ranges.items():
        for server in each.servers:
            place = partition_by_murmur2(server.encode(), partitions)
            if place != number:
                _add(final.setdefault(place, ProcessedRanges()), server, each)
            else:
                _add(final[number], server, each)
    for number, wanted in sorted(final.items()):
        had = ranges.get(number, ProcessedRanges())
        if wanted.servers == had.servers:
            continue
        union = ProcessedRanges(crossing=wanted.crossing)
        for each in (wanted, had):
            for server in each.servers:
                _add(union, server, each)
        if union.servers != had.servers:
            move.first.append((number, RANGES_KEY, encode_ranges(union)))
        if union.servers != wanted.servers:
            move.then.append((number, RANGES_KEY, encode_ranges(wanted)))


def _add(target: ProcessedRanges, server: str, source: ProcessedRanges) -> None:
    for name, file in source.servers[server].items():
        for start, end in zip(file.starts, file.ends, strict=True):
            target.add(server, name, start, end, max(file.touched_ms, target.file(server, name).touched_ms))


def last_entries(records: Iterator[tuple[int, bytes, bytes | None]]) -> dict[int, dict[bytes, bytes]]:
    """The table that a changelog tells, read in the order of each partition."""
    table: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    for number, key, value in records:
        if value is None:
            table[number].pop(key, None)
        else:
            table[number][key] = value
    return dict(table)
