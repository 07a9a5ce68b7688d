"""From the raw topic into the table, through one join and one sink: a backlog, or live while records are produced."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from postwatch.streams.clickhouse.client import connect

from tests.benchmarks.stack import PARTITIONS, Lane, Stack, wait_for_end
from tests.benchmarks.workload import Workload

_POLL_SECONDS = 0.1
_QUIET_SECONDS = 1.0
"""Without a new row the table is compared with what it should be."""
_STEADY_FROM, _STEADY_TO = 0.1, 0.9


class FlowSpeed(NamedTuple):
    """One run."""

    lines: int
    rows: int
    seconds: float
    """From the start of join and sink to the last row."""
    busy_seconds: float
    """From the first outcome to the last row."""
    steady_seconds: float
    """From a tenth of the rows to nine."""
    cpu_seconds: dict[str, float]
    """Of each process."""
    resident_bytes: dict[str, int]
    """The most that each process had."""
    start_cpu_seconds: dict[str, float]
    """Of each process, before the first of these lines."""

    @property
    def lines_a_second(self) -> float:
        return self.lines / self.seconds

    @property
    def busy_lines_a_second(self) -> float:
        return self.lines / self.busy_seconds

    @property
    def steady_lines_a_second(self) -> float:
        return self.lines * (_STEADY_TO - _STEADY_FROM) / self.steady_seconds


def measure_backlog(
    stack: Stack, workload: Workload, timeout_seconds: float, fills_tables_for_time: bool = True
) -> FlowSpeed:
    """All records are on the topic before join and sink start."""
    with stack.lane(fills_tables_for_time=fills_tables_for_time) as lane:
        wait_for_end(lane.start_producer(workload.path), timeout_seconds)
        lane.parts.clear()
        before = lane.cpu_seconds()
        started = time.monotonic()
        lane.start("sink")
        lane.start_join()
        return _watch(lane, workload, started, before, timeout_seconds)


def measure_live(
    stack: Stack,
    workload: Workload,
    timeout_seconds: float,
    fills_tables_for_time: bool = True,
    partitions: int = PARTITIONS,
    workers: int = 1,
    prepare: Callable[[Lane], None] = lambda lane: None,
) -> FlowSpeed:
    """Join and sink wait for their first record when the producer starts. `prepare` is called before they start."""
    with stack.lane(partitions, fills_tables_for_time) as lane:
        prepare(lane)
        lane.start("sink")
        for number in range(1, workers + 1):
            lane.start_join(number)
        lane.warm_up(timeout_seconds)
        before = lane.cpu_seconds()
        started = time.monotonic()
        lane.start_producer(workload.path)
        return _watch(lane, workload, started, before, timeout_seconds)


def _watch(
    lane: Lane, workload: Workload, started: float, before: dict[str, float], timeout_seconds: float
) -> FlowSpeed:
    """Sample the table until it has exactly the rows that it should. Raises RuntimeError when it never has."""
    client = connect(lane.clickhouse)
    resident: Counter[str] = Counter()
    samples: list[tuple[float, int]] = []
    first_outcome = 0.0
    grown_at = started
    while True:
        lane.check()
        now = time.monotonic()
        if not first_outcome and lane.outcome_records():
            first_outcome = samples[-1][0] if samples else started  # it came since the look before
        count = int(str(client.command("SELECT count() FROM deliveries")))
        if count > (samples[-1][1] if samples else 0):
            grown_at = now
        samples.append((now, count))
        resident |= Counter(lane.resident_bytes())
        if count >= workload.rows and now - grown_at > _QUIET_SECONDS:
            found = int(str(client.command("SELECT count() FROM deliveries FINAL")))
            if found == workload.rows:
                break
        if now > started + timeout_seconds:
            found = int(str(client.command("SELECT count() FROM deliveries FINAL")))
            raise RuntimeError(f"{found} of {workload.rows} rows after {timeout_seconds:.0f} s")
        time.sleep(_POLL_SECONDS)
    cpu_seconds = {name: round(used - before.get(name, 0.0), 1) for name, used in lane.cpu_seconds().items()}
    most = max(count for _, count in samples)
    steady = _when(samples, most * _STEADY_TO) - _when(samples, most * _STEADY_FROM)
    return FlowSpeed(
        workload.lines,
        workload.rows,
        grown_at - started,
        grown_at - first_outcome,
        max(steady, 0.001),
        cpu_seconds,
        dict(resident),
        before,
    )


def _when(samples: list[tuple[float, int]], rows: float) -> float:
    """When the table had so many rows, between two samples."""
    before_at, before = samples[0]
    for at, count in samples:
        if count >= rows:
            share = (rows - before) / (count - before) if count > before else 0.0
            return before_at + (at - before_at) * share
        before_at, before = at, count
    return samples[-1][0]
