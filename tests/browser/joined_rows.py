"""Rows that the join makes of logs: of each golden log, of simulated servers, and of strangers' hostile lines.

Nothing here is made up by hand: what a page shows comes from lines of a log, the whole way through parsers and joiner.
Times are moved, so that the newest event is a minute old: the table drops what is older than its retention.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from postwatch.deploy.simulator.simulation import Simulation
from postwatch.streams.contracts.outcome import KEY, Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.registry import FORMATS, make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.streams.joining.test_golden import LOGS, SENT_MS, lines_of
from tests.streams.parsers.hostile import hostile_lines
from tests.streams.parsers.templates import templates_of

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SIMULATED_SERVERS = 3
_HOSTILE_LINES = 300
"""Of each format."""


def joined_rows(
    server: str, lines: Sequence[str], domains: Mapping[str, str] | None = None, shipped_ms: int = SENT_MS
) -> list[Outcome]:
    """The rows that a table would show of one server's log."""
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(shipped_ms)
    joiner = Joiner(AccountBook(domains))
    newest: dict[tuple[object, ...], Outcome] = {}

    def keep(rows: Iterable[Outcome]) -> None:
        for row in rows:
            key = tuple(getattr(row, name) for name in KEY)
            if key not in newest or row.version >= newest[key].version:
                newest[key] = row

    joiner.add(server, parse_lines(make_parser("auto", stamps), lines, LineCounts()).events)
    keep(joiner.take_dirty()[0])
    for message in joiner.open_messages():
        keep(joiner.pending_rows(message))
    return [row for row in newest.values() if not row.is_deleted]


def moved(rows: Sequence[Outcome], now_ms: int) -> list[Outcome]:
    """The same rows with the newest event a minute ago, and none older than three weeks."""
    newest = max((row.updated_at for row in rows), default=0)
    oldest = now_ms - 21 * 24 * HOUR_MS

    def at(time_ms: int) -> int:
        return max(oldest, time_ms + now_ms - MINUTE_MS - newest) if time_ms else 0

    return [
        row._replace(
            queued_at=at(row.queued_at),
            updated_at=at(row.updated_at),
            attempts=tuple(one._replace(at=at(one.at)) for one in row.attempts),
        )
        for row in rows
    ]


def golden_log_rows(now_ms: int) -> list[Outcome]:
    """Of every golden log, each from a server of its own."""
    return [
        row
        for log in LOGS
        for row in moved(joined_rows(f"{log.parent.name}-{log.stem}.fleet.example", lines_of(log)), now_ms)
    ]


def simulated_rows(now_ms: int, messages: int = 400, hours: int = 48) -> list[Outcome]:
    """Of servers that logged two days up to now; the accounts are those of the simulator's customers."""
    simulation = Simulation(1, SIMULATED_SERVERS, postfix=1)
    arrivals = range(now_ms - hours * HOUR_MS, now_ms, hours * HOUR_MS // messages)
    lines: dict[str, list[str]] = {}
    for line in simulation.lines(arrivals, now_ms):
        lines.setdefault(line.server, []).append(line.text)
    domains = simulation.provider.domains()
    return [row for server, texts in lines.items() for row in joined_rows(server, texts, domains, now_ms)]


def _hostile_log(name: str, seed: int) -> Iterator[str]:
    for hostile in hostile_lines(templates_of(name), _HOSTILE_LINES, seed):
        yield hostile.line


def hostile_rows(now_ms: int, seed: int = 1) -> list[Outcome]:
    """Of lines in which strangers chose the words, in each format."""
    rows: list[Outcome] = []
    for each in FORMATS:
        lines = list(_hostile_log(each.name, seed))
        random.Random(seed).shuffle(lines)
        rows += moved(joined_rows(f"{each.name}.hostile.example", lines), now_ms)
    return rows
