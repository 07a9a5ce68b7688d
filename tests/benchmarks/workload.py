"""The lines that the benchmarks carry, cut into records as shippers cut them, and how many rows they make.

Both mixes come from a seed and end with every recipient heard of: a message that is pending at the end would be shown
only after seconds, and those would count as time that the lines took.
"""

from __future__ import annotations

import random
import struct
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from postwatch.deploy.simulator import exim
from postwatch.deploy.simulator.simulation import Simulation
from postwatch.streams.contracts.outcome import KEY, Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.benchmarks.postfix_lines import postfix_lines

SIMULATOR, PLAIN = "simulator", "plain"
MIXES = SIMULATOR, PLAIN
POSTFIX = "postfix"
"""For the join alone: its queue ids hold no time, so a line can't be made younger."""
LARGE_RECORD_BYTES = 128 * 1024
_ARRIVAL_EVERY_MS = 100
_IN_DELIVERY = 20
_HEADER = struct.Struct(">IIQ")
_QUEUE_ID_AT = len("2026-11-23 13:42:18 ")


class Record(NamedTuple):
    """Lines of one server's log, and where they stand in it."""

    server: str
    byte_offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Workload:
    """Records on disk, and what they come to."""

    path: Path
    lines: int
    records: int
    size_bytes: int
    rows: int
    """Of the table, once everything is in it."""


def make_lines(mix: str, count: int, seed: int = 1) -> Iterator[bytes]:
    """About so many lines of the last hour, or of as many hours as they take; without newlines."""
    first_ms = time.time_ns() // 1_000_000 - max(count, 36_000) * _ARRIVAL_EVERY_MS
    kinds = {SIMULATOR: _simulated_lines, PLAIN: _plain_lines, POSTFIX: postfix_lines}
    for line in kinds[mix](count, seed, first_ms):
        yield line.encode()


def _simulated_lines(count: int, seed: int, first_ms: int) -> Iterator[str]:
    arrivals = range(first_ms, first_ms + count * 1000, _ARRIVAL_EVERY_MS)
    lines = Simulation(seed, servers=1).lines(arrivals, arrivals.stop)
    for line, _ in zip(lines, range(count), strict=False):
        yield line.text


def _plain_lines(count: int, seed: int, first_ms: int) -> Iterator[str]:
    """Arrival, one delivery, Completed, and a `cwd=` line for every third message; some messages at a time."""
    chance = random.Random(seed)
    in_delivery: deque[tuple[str, str]] = deque()
    left = count
    number = 0
    while left > 3 * len(in_delivery) + 4:
        at_ms = first_ms + number * _ARRIVAL_EVERY_MS
        stamp = exim.stamp(at_ms)
        queue_id = exim.queue_id(at_ms, number)
        recipient = f"reader{chance.randrange(100_000)}@far{number % 300}.example"
        if number % 3 == 0:
            yield f"{stamp} cwd=/home/shop{number % 40} 4 args: /usr/sbin/sendmail -t -i -f shop{number % 40}"
            left -= 1
        yield f"{stamp} {queue_id} {plain_arrival(f'user{number % 997}@shop{number % 40}.example', recipient, chance)}"
        left -= 1
        in_delivery.append((queue_id, recipient))
        if len(in_delivery) > _IN_DELIVERY:
            yield from _plain_ending(stamp, *in_delivery.popleft(), chance)
            left -= 2
        number += 1
    for queue_id, recipient in in_delivery:
        yield from _plain_ending(stamp, queue_id, recipient, chance)


def _plain_ending(stamp: str, queue_id: str, recipient: str, chance: random.Random) -> Iterator[str]:
    yield f"{stamp} {queue_id} {plain_delivery(recipient, chance)}"
    yield f"{stamp} {queue_id} Completed"


def plain_arrival(sender: str, recipient: str, chance: random.Random) -> str:
    """What follows the queue id."""
    message_id = f"{chance.getrandbits(64):016x}@{sender.partition('@')[2]}"
    port, host = chance.randint(30_000, 60_000), chance.randint(1, 254)
    how = f"H=([10.0.0.{host}]) [203.0.113.{host}]:{port} P=esmtpsa {exim.TLS} A=dovecot_login:{sender}"
    return exim.arrival(sender, how, chance.randint(600, 90_000), message_id, f"Invoice {port}", [recipient])


def plain_delivery(recipient: str, chance: random.Random) -> str:
    host = f"mx.{recipient.partition('@')[2]} [198.51.100.{chance.randint(1, 254)}]"
    return exim.remote_delivery(
        "=>", recipient, "", host, "192.0.2.100", f"250 2.0.0 OK queued as {chance.getrandbits(40):010X}"
    )


def cut_large(lines: Iterable[bytes], record_bytes: int = LARGE_RECORD_BYTES) -> Iterator[bytes]:
    """Records as a shipper makes them that has much to catch up on."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) + 1 > record_bytes:
            yield b"\n".join([*held, b""])
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    if held:
        yield b"\n".join([*held, b""])


def prepare(path: Path, mix: str, lines: int, servers: int, record_lines: int | None, seed: int = 1) -> Workload:
    """Write the records of so many servers; None lines a record: 128 KiB."""
    parts = _deal(make_lines(mix, lines, seed), servers)
    cut = [_cut(part, record_lines) for part in parts]
    del parts
    values = [list(records) for records in cut]
    expected = _Expected()
    for round_values in _rounds(values):
        for server, value in round_values:
            expected.take(server, value)
    pending_recipients = expected.pending_recipients()
    count = records = size_bytes = 0
    offsets = [0] * servers
    with path.open("wb", buffering=1 << 20) as file:
        for round_values in _rounds(values):
            for server, value in round_values:
                kept = _without(value, pending_recipients)
                if not kept:
                    continue
                file.write(_HEADER.pack(server, len(kept), offsets[server]) + kept)
                offsets[server] += len(kept)
                size_bytes += len(kept)
                records += 1
                count += kept.count(b"\n")
    return Workload(path, count, records, size_bytes, expected.rows())


def read_records(path: Path) -> Iterator[Record]:
    """What `prepare` wrote."""
    with path.open("rb", buffering=1 << 20) as file:
        while header := file.read(_HEADER.size):
            server, size, byte_offset = _HEADER.unpack(header)
            yield Record(server_name(server), byte_offset, file.read(size))


def server_name(number: int) -> str:
    return f"web{number:03}.bench.example"


def _deal(lines: Iterable[bytes], servers: int) -> list[list[bytes]]:
    """All lines of a message go to one server; lines of none follow the last one."""
    parts: list[list[bytes]] = [[] for _ in range(servers)]
    server = 0
    for line in lines:
        queue_id = line[_QUEUE_ID_AT : _QUEUE_ID_AT + 16]
        if queue_id[6:7] == b"-" and queue_id[13:14] == b"-":
            server = zlib.crc32(queue_id) % servers
        parts[server].append(line)
    return parts


def _cut(lines: list[bytes], record_lines: int | None) -> Iterator[bytes]:
    if record_lines is None:
        yield from cut_large(lines)
        return
    for first in range(0, len(lines), record_lines):
        yield b"\n".join([*lines[first : first + record_lines], b""])


def _rounds(values: list[list[bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """A record of each server, then the next of each."""
    for number in range(max(map(len, values), default=0)):
        yield [(server, records[number]) for server, records in enumerate(values) if number < len(records)]


def _without(value: bytes, queue_ids: list[bytes]) -> bytes:
    for queue_id in queue_ids:
        if queue_id in value:
            lines = [line for line in value.splitlines(keepends=True) if queue_id not in line]
            value = b"".join(lines)
    return value


class _Expected:
    """Counts rows as the table will: one for each key, unless its last version is retracted."""

    def __init__(self) -> None:
        self._joiner = Joiner(AccountBook(None))
        self._parser = make_parser("exim-main", StampReader(find_zone("UTC", "the benchmark")))
        self._counts = LineCounts()
        self._versions: dict[int, tuple[int, int, str]] = {}

    def take(self, server: int, value: bytes) -> None:
        parsed = parse_lines(self._parser, decode_lines(value), self._counts)
        self._joiner.add(server_name(server), parsed.events)
        for row in self._joiner.take_dirty()[0]:
            self._keep(row)

    def pending_recipients(self) -> list[bytes]:
        """Queue ids of messages of which some recipient is pending; their rows no longer count."""
        found = [message.queue_id for message in self._joiner.open_messages() if self._joiner.pending_rows(message)]
        duplicate_aliases = set(found)
        self._versions = {key: kept for key, kept in self._versions.items() if kept[2] not in duplicate_aliases}
        return [queue_id.encode() for queue_id in found]

    def rows(self) -> int:
        return sum(not is_deleted for _, is_deleted, _ in self._versions.values())

    def _keep(self, row: Outcome) -> None:
        key = hash(tuple([getattr(row, name) for name in KEY]))
        known = self._versions.get(key)
        if known is None or row.version >= known[0]:
            self._versions[key] = row.version, row.is_deleted, row.queue_id
