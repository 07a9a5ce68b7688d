"""The engineer's questions over a fleet's 30 days, by the slim tables and by FINAL on `deliveries` alone, in one run.

    make bench-fleet ROWS=10000000

Each question is asked of the tables, of `deliveries`, and of `deliveries` as it is where nothing merges old weeks by
force, in turn; first while nothing arrives, then while 3,000 rows a second do. What arrives goes not into the last.
The share that counts is of the last: it is how the fleet was asked before there were tables for time.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import migrate
from postwatch.query.reports.search_question import SearchQuestion
from postwatch.query.statements import DELIVERIES, EVENTS, SETTINGS, STATES, VIEWER, Statement
from postwatch.query.viewer import ENGINEER
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.figures import describe_machine
from tests.benchmarks.fleet_rows import HOUR_MS, TIMEOUT_SECONDS, FleetRows, filled_rows
from tests.benchmarks.fleet_terms import FleetTerms

DEFAULT_ROWS = 1_000_000

_TRIED_HOURS = 24 * 8
"""No mail waits longer."""
_FAILING = "('bounced', 'deferred', 'expired', 'rejected')"
_FAILED = "('bounced', 'expired', 'rejected')"
_LIST = (
    "account, direction, server, queue_id, sender, recipient, subject, queued_at, updated_at, status, response, reason"
)


class Question(NamedTuple):
    name: str
    by_tables: str | SearchQuestion
    """SQL, or what the page of the search is asked."""
    by_deliveries: str
    at_most: float
    """The share of the time by deliveries that it may take."""


def _same_hours(column: str, hours: int) -> str:
    """The last hours, and the same hours of the seven days before. Of whole days, one adjoins the next."""
    if hours == 24:
        return f"({column} >= {_ago(24 * 8)} AND {column} < {_ago(0)})"
    spans = (f"({column} >= {_ago(24 * day + hours)} AND {column} < {_ago(24 * day)})" for day in range(8))
    return f"({' OR '.join(spans)})"


def _ago(hours: int) -> str:
    return f"fromUnixTimestamp64Milli({{now_ms:Int64}} - {hours * HOUR_MS})"


_EVENTS_OF_DELIVERIES = (
    "(SELECT remote_provider AS provider, arrayJoin(arrayConcat("
    "arrayZip(attempts.at, attempts.status, attempts.reason),"
    " if(status NOT IN ('pending', 'deferred') AND attempts.status[-1] != status,"
    " [(updated_at, status, reason)], []))) AS event, event.1 AS happened, event.2 AS fate, event.3 AS why"
    f" FROM {DELIVERIES} FINAL WHERE {VIEWER} AND updated_at >= SINCE AND queued_at >= QUEUED) WHERE 1"
)
"""What was deferred on Tuesday and delivered since counts on Tuesday, which the last event alone does not tell."""


def _bounces(hours: int) -> Question:
    def ask(source: str, provider: str, at: str, status: str, reason: str) -> str:
        return (
            f"SELECT {provider}, {reason}, countIf({at} >= {_ago(hours)}) AS now, count() - now AS before"
            f" FROM {source} AND {_same_hours(at, hours)} AND {status} IN {_FAILING}"
            f" GROUP BY {provider}, {reason} ORDER BY now DESC"
        )

    name, most = ("last hour", 1 / 8) if hours == 1 else ("last day", 1 / 5)
    oldest = 24 * 7 + hours
    told = _EVENTS_OF_DELIVERIES.replace("SINCE", _ago(oldest)).replace("QUEUED", _ago(oldest + _TRIED_HOURS))
    return Question(
        f"{name} with its baseline",
        ask(f"{EVENTS} FINAL WHERE {VIEWER}", "remote_provider", "at", "status", "reason"),
        ask(told, "provider", "happened", "fate", "why"),
        most,
    )


QUESTIONS = (
    _bounces(1),
    _bounces(24),
    *(
        Question(name, sql.replace("TABLE", STATES), sql.replace("TABLE", DELIVERIES), most)
        for name, most, sql in (
            (
                "queue now",
                1 / 4,
                f"SELECT remote_provider, server, reason, count(), min(queued_at) FROM TABLE FINAL WHERE {VIEWER}"
                f" AND queued_at >= {_ago(_TRIED_HOURS)} AND result = 'pending'"
                " GROUP BY remote_provider, server, reason ORDER BY count() DESC LIMIT 100",
            ),
            (
                "by server, 30 days",
                1 / 5,
                "SELECT server, countIf(status = 'delivered'), countIf(result = 'failed'), sum(size_bytes)"
                f" FROM TABLE FINAL WHERE {VIEWER} GROUP BY server ORDER BY count() DESC",
            ),
        )
    ),
    Question(
        "newest failed, 30 days",
        SearchQuestion(status="bounced,expired,rejected"),
        f"SELECT {_LIST} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND status IN {_FAILED}"
        " ORDER BY updated_at DESC LIMIT 50",
        1 / 15,
    ),
    Question(
        "a word of the answer, 30 days",
        SearchQuestion("quota", "words"),
        f"SELECT {_LIST} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND hasAllTokens(response, ['quota'])"
        " ORDER BY updated_at DESC LIMIT 50",
        1 / 5,
    ),
)


class Measured(NamedTuple):
    """In ms."""

    p50: float
    p95: float
    cpu: float = 0.0
    """The least that the engine used."""

    def __str__(self) -> str:
        return f"{self.p50:.0f}/{self.p95:.0f}"


class Fleet:
    """A filled database, and the two ways to ask it."""

    def __init__(self, place: ClickHouseSettings, made: FleetRows, cpu_seconds: Callable[[], float]) -> None:
        self._place = place
        self._client = connect(place, timeout_seconds=TIMEOUT_SECONDS)
        self._made = made
        self._cpu_seconds = cpu_seconds
        """Of the engine so far."""
        self.searches = FleetTerms(place, made.now_ms, cpu_seconds)

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> tuple[float, Sequence[Sequence[Any]]]:
        """The answer of a question, and how many ms it took."""
        given = {"database": self._place.database, "now_ms": self._made.now_ms, **(parameters or {})}
        statement = Statement(ENGINEER, sql, given)
        started = time.monotonic()
        rows = self._client.query(statement.sql, parameters=statement.parameters, settings=SETTINGS).result_rows
        return (time.monotonic() - started) * 1000, rows

    def ask_tables(self, question: Question) -> tuple[float, Sequence[Sequence[Any]]]:
        """The same by the slim tables, or by the page of the search."""
        if isinstance(question.by_tables, str):
            return self.ask(question.by_tables)
        started = time.monotonic()
        rows = self.searches.page(question.by_tables)
        return (time.monotonic() - started) * 1000, rows

    def compare(self, question: Question, runs: int) -> tuple[Measured, Measured, Measured]:
        """By the tables, by deliveries, and by deliveries of which no old week was merged; in turn."""
        ways: tuple[Callable[[], tuple[float, Sequence[Sequence[Any]]]], ...] = (
            lambda: self.ask_tables(question),
            lambda: self.ask(question.by_deliveries),
            lambda: self.ask(question.by_deliveries, {"database": self._made.unmerged_database}),
        )
        times: list[list[float]] = [[] for _ in ways]
        cpus: list[list[float]] = [[] for _ in ways]
        for number in range(runs + 1):  # the first is no measure
            for ask, taken, used in zip(ways, times, cpus, strict=True):
                before = self._cpu_seconds()
                took_ms, rows = ask()
                if not rows:
                    raise RuntimeError(f"no answer: {question.name}")
                if number:
                    taken.append(took_ms)
                    used.append((self._cpu_seconds() - before) * 1000)
        tables, merged, unmerged = (_measured(taken, min(used)) for taken, used in zip(times, cpus, strict=True))
        return tables, merged, unmerged

    def find_ids(self, runs: int) -> Measured:
        """Any Message-ID or queue id across the fleet, as the trace reports it."""
        chance = random.Random(self._made.rows)
        times, cpus = [], []
        for number in range(runs + 1):
            n = chance.randrange(self._made.rows // 20, self._made.rows * 9 // 10)  # of older ones the days are over
            wanted = f"1tAbCd-{n:011d}-AbCd"
            if number % 2:
                wanted = self.ask(
                    f"SELECT message_id FROM {DELIVERIES} WHERE {VIEWER} AND queue_id = {{id:String}}", {"id": wanted}
                )[1][0][0]
            before = self._cpu_seconds()
            started = time.monotonic()
            rows = self.searches.trace(wanted)
            times.append((time.monotonic() - started) * 1000)
            cpus.append((self._cpu_seconds() - before) * 1000)
            if len(rows) != 1:
                raise RuntimeError(f"{len(rows)} rows of {wanted}")
        return _measured(times[1:], min(cpus))


def _measured(times_ms: Sequence[float], cpu_ms: float = 0.0) -> Measured:
    found = statistics.quantiles(times_ms, n=20) if len(times_ms) > 1 else [times_ms[0]] * 19
    return Measured(found[9], found[18], cpu_ms)


def measure(fleet: Fleet, made: FleetRows, runs: int, say: Callable[[str], None]) -> None:
    """Ask every question both ways, and say what each took: quiet, then while rows arrive."""
    _measure(fleet, runs, say, "quiet")
    with made.arrivals() as rate:
        _measure(fleet, runs, say, "while rows arrive")
        say(f"{rate():,.0f} rows/s arrived")


def _measure(fleet: Fleet, runs: int, say: Callable[[str], None], name: str) -> None:
    say(f"{name:32} {'tables':>11} {'deliveries':>11} share {'unmerged':>11} share at most  least CPU ms")
    for question in QUESTIONS:
        ours, merged, unmerged = fleet.compare(question, runs)
        shares = ours.p50 / merged.p50, ours.p50 / unmerged.p50
        words = "" if shares[1] <= question.at_most else "  missed"
        say(
            f"  {question.name:30} {ours!s:>11} {merged!s:>11} {shares[0]:5.3f} {unmerged!s:>11} {shares[1]:5.3f}"
            f"   {question.at_most:.3f}  {ours.cpu:.0f}, {merged.cpu:.0f}, {unmerged.cpu:.0f}{words}"
        )
    for term in fleet.searches.terms():
        taken = [fleet.searches.search(term, number) for number in range(runs + 1)][1:]
        if not all(rows for _, _, rows in taken):
            raise RuntimeError(f"nothing found: {term}")
        searched = _measured([ms for ms, _, _ in taken], min(cpu for _, cpu, _ in taken))
        words = "" if searched.p95 <= 100 else "  missed"
        say(f"  {term.name:30} {searched!s:>14}   p95 at most 100   {searched.cpu:.0f}{words}")
    found = fleet.find_ids(runs * 2)
    words = "" if found.p95 <= 100 else "  missed"
    say(f"  {'any id across the fleet':30} {found!s:>14}   p95 at most 100   {found.cpu:.0f}{words}")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fleet", description=__doc__)
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="messages of 30 days (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=20, help="of each question (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="keep the filled tables there, or use those that are there")
    arguments = parser.parse_args(words)
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="postwatch-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        engine = EmbeddedClickHouse(folder / "clickhouse")
        engine.start()
        try:
            place = engine.settings
            migrate(connect(place, database=""), place)
            process = psutil.Process(engine.pid)
            started = time.monotonic()
            made = filled_rows(place, folder, arguments.rows)
            fleet = Fleet(place, made, lambda: sum(process.cpu_times()[:2]))
            took = time.monotonic() - started
            print(f"{arguments.rows:,} messages of 30 days, made in {took:.0f} s; p50/p95 in ms", flush=True)
            measure(fleet, made, arguments.runs, lambda text: print(text, flush=True))
        finally:
            engine.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
