"""From a line written to a row in a report, live: probe messages among the lines of a busy server's log."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from postwatch.deploy.simulator import exim
from postwatch.query.report_service import ReportService, open_report_service
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER

from tests.benchmarks.figures import percentile
from tests.benchmarks.stack import Lane, Stack
from tests.benchmarks.workload import make_lines, plain_arrival, plain_delivery

_PROBE_EVERY_SECONDS = 0.37
"""In step with nobody's linger."""
_POLL_SECONDS = 0.02
_WRITE_EVERY_SECONDS = 0.02
_PROBE_SECONDS = 30.0
_FIRST_PROBES = 3
"""Not counted: the first queries connect."""


class Freshness(NamedTuple):
    """Of so many probes."""

    probes: int
    lines_a_second: float
    """What was written beside them."""
    p50_seconds: float
    p95_seconds: float
    most_seconds: float


class GrowingLog:
    """A log that lines are appended to, each block whole; used by the writer and the probes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.lines = 0
        path.touch()

    def append(self, lines: list[bytes]) -> None:
        with self._lock, self._path.open("ab", buffering=0) as file:
            file.write(b"\n".join([*lines, b""]))
            self.lines += len(lines)


def measure_freshness(stack: Stack, probes: int, lines_a_second: int, timeout_seconds: float) -> Freshness:
    """Shipper, join and sink run; each probe's account is asked for until its row is there."""
    with stack.lane() as lane:
        log = GrowingLog(lane.folder / "mainlog")
        lane.start("sink")
        lane.start("join")
        lane.start_shipper("web001.bench.example", lane.folder / "mainlog")
        lane.warm_up(timeout_seconds)
        service = open_report_service(QuerySettings(), lane.clickhouse)
        in_report = has_arrived(service, _POLL_SECONDS)
        with traffic(log, lines_a_second, timeout_seconds):
            probe(lane, log, range(-_FIRST_PROBES, 0), _PROBE_EVERY_SECONDS, in_report)
            started, lines = time.monotonic(), log.lines
            waits = probe(lane, log, range(probes), _PROBE_EVERY_SECONDS, in_report)
            rate = (log.lines - lines) / (time.monotonic() - started)
        return Freshness(probes, rate, percentile(waits, 50), percentile(waits, 95), max(waits))


def has_arrived(service: ReportService, every_seconds: float) -> Callable[[Sequence[str]], Iterable[str]]:
    """For `probe`: which accounts' reports have their message."""

    def in_report(accounts: Sequence[str]) -> Iterator[str]:
        yield from (account for account in accounts if _is_delivered(service, account))
        time.sleep(every_seconds)

    return in_report


def _is_delivered(service: ReportService, account: str) -> bool:
    mail = service.answer(ENGINEER, ACCOUNT, AccountQuestion(account, days=1))
    return any(row.status == "delivered" for row in mail.rows)


@contextmanager
def traffic(log: GrowingLog, lines_a_second: int, timeout_seconds: float) -> Iterator[None]:
    """Lines of other accounts, until the end."""
    stopping = threading.Event()
    writer = threading.Thread(target=_write, args=(log, lines_a_second, timeout_seconds, stopping), daemon=True)
    writer.start()
    try:
        yield
    finally:
        stopping.set()
        writer.join()


def _write(log: GrowingLog, lines_a_second: int, timeout_seconds: float, stopping: threading.Event) -> None:
    """Keep the pace, whatever the scheduler does."""
    lines = make_lines("plain", int(lines_a_second * timeout_seconds))
    started = time.monotonic()
    written = 0
    while not stopping.wait(_WRITE_EVERY_SECONDS):
        due = int((time.monotonic() - started) * lines_a_second) - written
        block = [line for _, line in zip(range(due), lines, strict=False)]  # else each block would lose a line
        if block:
            log.append(block)
        written += len(block)


def probe(
    lane: Lane,
    log: GrowingLog,
    numbers: Iterable[int],
    every_seconds: float,
    arrived: Callable[[Sequence[str]], Iterable[str]],
    most_seconds: float = _PROBE_SECONDS,
) -> list[float]:
    """Write a message now and then; seconds until each has arrived. Raises RuntimeError: one takes
    more than `most_seconds`.

    `arrived` is asked without a pause which of the accounts on their way have; it waits a little itself.
    """
    in_flight: dict[str, float] = {}
    waits: list[float] = []
    coming: Iterator[int] | None = iter(numbers)
    next_at = time.monotonic()
    while coming is not None or in_flight:
        now = time.monotonic()
        number = next(coming, None) if coming is not None and now >= next_at else None
        if number is not None:
            next_at = now + every_seconds
            account = f"probe{number}@probes.example"
            log.append(probe_lines(account, number))
            in_flight[account] = time.monotonic()
        elif now >= next_at:
            coming = None
        for account in arrived(list(in_flight)):
            waits.append(time.monotonic() - in_flight.pop(account))
        late = [one for one, written_at in in_flight.items() if time.monotonic() - written_at > most_seconds]
        if late:
            lane.check()
            raise RuntimeError(f"{late[0]} has not arrived after {most_seconds:.0f} s")
    return waits


def probe_lines(account: str, number: int) -> list[bytes]:
    """A message of this account, from its arrival to its end."""
    chance = random.Random(number)
    at_ms = time.time_ns() // 1_000_000
    queue_id = exim.queue_id(at_ms, 3_000_000 + number)
    recipient = f"reader{abs(number)}@far.example"
    words = plain_arrival(account, recipient, chance), plain_delivery(recipient, chance), "Completed"
    return [f"{exim.stamp(at_ms)} {queue_id} {text}".encode() for text in words]
