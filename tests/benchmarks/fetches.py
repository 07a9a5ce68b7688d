"""What a partition's join takes for its records, without Kafka: headers, lines, messages, rows and their records."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from postwatch.producers.record import Headers, Heartbeat, RawHeaders
from postwatch.streams.contracts.dead_letters import DeadLetter
from postwatch.streams.contracts.heartbeat import JoinedLines
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.faust_glue.app import FETCH_BYTES, RECORDS_A_FETCH, join_rules
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.outcome_batches import encode_rows
from postwatch.streams.partition.partition_join import PartitionJoin
from postwatch.streams.partition.ports import Confirm
from postwatch.streams.settings import JoinSettings

from tests.benchmarks.joining import collector_off
from tests.benchmarks.workload import Workload, read_records

_FETCHES_A_TEND = 8


class FetchSpeed(NamedTuple):
    """One run."""

    lines: int
    records: int
    rows: int
    cpu_seconds: float


class _Record(NamedTuple):
    offset: int
    key: bytes
    value: bytes
    headers: Headers
    timestamp: int


class _Kafka:
    """Outlet and table: outcomes are encoded, and confirmed when the fetch is through."""

    def __init__(self) -> None:
        self.rows = 0
        self._table: dict[bytes, bytes] = {}
        self._unconfirmed: list[Confirm] = []

    def confirm(self) -> None:
        for confirm in self._unconfirmed:
            confirm()
        self._unconfirmed.clear()

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Confirm) -> int:
        sent = sum(1 for _ in encode_rows(map(self._counted, turns)))
        self._unconfirmed += [confirm] * sent
        return sent

    def _counted(self, rows: Sequence[Outcome]) -> Sequence[Outcome]:
        self.rows += len(rows)
        return rows

    def send_heartbeat(self, server: str, beat: Heartbeat, joined: JoinedLines, confirm: Confirm) -> None:
        raise AssertionError("none is sent here")

    def send_dead_letter(self, letter: DeadLetter, confirm: Confirm) -> None:
        raise AssertionError(f"each line can be read: {letter}")

    def get(self, key: bytes) -> bytes | None:
        return self._table.get(key)

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        self._table[key] = value
        self._unconfirmed.append(confirm)

    def delete(self, key: bytes) -> None:
        self._table.pop(key, None)

    def all_keys(self) -> list[bytes]:
        return list(self._table)


def measure_fetches(workload: Workload, runs: int) -> Iterator[FetchSpeed]:
    """Each run takes the same records anew."""
    now = time.time_ns() // 1_000_000
    fetches = list(_fetches(workload.path, now))
    rules = join_rules(JoinSettings())
    for _ in range(runs):
        kafka = _Kafka()
        join = PartitionJoin(0, rules, JoinCounts(), kafka, kafka, 0)
        with collector_off():
            started = time.process_time()
            for number, records in enumerate(fetches):
                join.take(records, now, _do_nothing)
                kafka.confirm()
                if number % _FETCHES_A_TEND == 0:
                    join.tend(now, 0)
            used = time.process_time() - started
        yield FetchSpeed(workload.lines, workload.records, kafka.rows, used)


def _fetches(path: Path, now: int) -> Iterator[list[_Record]]:
    """A fetch ends with the first of the worker's two bounds."""
    fetch: list[_Record] = []
    size = 0
    for offset, (server, byte_offset, value) in enumerate(read_records(path)):
        headers = RawHeaders("exim-main", "UTC", f"{server}-mainlog", byte_offset, byte_offset + len(value), now)
        fetch.append(_Record(offset, server.encode(), value, headers.encode(), now))
        size += len(value)
        if size >= FETCH_BYTES or len(fetch) >= RECORDS_A_FETCH:
            yield fetch
            fetch, size = [], 0
    if fetch:
        yield fetch


def _do_nothing() -> None:
    """Nothing is committed."""
