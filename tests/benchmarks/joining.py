"""Parse and join alone: one core, all fields, no Kafka; and what rows cost on their way to a record."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone
from postwatch.streams.partition.outcome_batches import encode_rows

from tests.benchmarks.workload import cut_large, make_lines

_RECORDS_A_FETCH = 8
"""Of 128 KiB, in the 1 MiB that the join fetches; rows are made after each, as `partition_join.TURN_BYTES` has it."""
_ENCODED_FETCHES = 30


class JoinSpeed(NamedTuple):
    """One run."""

    lines: int
    rows: int
    wall_seconds: float
    cpu_seconds: float
    encoded_rows: int
    encode_cpu_seconds: float


def measure_join(mix: str, lines: int, runs: int) -> Iterator[JoinSpeed]:
    """Each run joins the same lines anew, a fetch at a time, and encodes the rows of some fetches."""
    records = list(cut_large(make_lines(mix, lines)))
    for _ in range(runs):
        yield _run(records)


def _run(records: Sequence[bytes]) -> JoinSpeed:
    joiner = Joiner(AccountBook(None))
    parser = make_parser("auto", StampReader(find_zone("UTC", "the benchmark")))
    parser.stamps.shipped(time.time_ns() // 1_000_000)
    counts = LineCounts()
    row_count = 0
    sample: list[list[Outcome]] = []
    with collector_off():
        started, started_cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(records), _RECORDS_A_FETCH):
            rows: list[Outcome] = []
            for value in records[first : first + _RECORDS_A_FETCH]:
                joiner.add("web1.bench.example", parse_lines(parser, decode_lines(value), counts).events)
                rows += joiner.take_dirty()[0]
            row_count += len(rows)
            if len(sample) < _ENCODED_FETCHES:
                sample.append(rows)
        wall_seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
        started_cpu = time.process_time()
        for rows in sample:
            for _ in encode_rows([rows]):
                pass
        encode_seconds = time.process_time() - started_cpu
    return JoinSpeed(counts.lines, row_count, wall_seconds, cpu_seconds, sum(map(len, sample)), encode_seconds)


@contextmanager
def collector_off() -> Iterator[None]:
    """As the join worker runs: what lives is frozen, and nothing is collected meanwhile."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
        gc.collect()
