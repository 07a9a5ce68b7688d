"""A week of a simulated fleet in a table: the hours around the same time of each day, joined from its logs.

The simulation may break something, some time before the end. What breaks is chosen by the seed, and told by nobody.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from postwatch.deploy.simulator.provider import make_provider
from postwatch.deploy.simulator.simulation import Simulation
from postwatch.deploy.simulator.troubles import KINDS, SPAM_SENT, Trouble, make_trouble
from postwatch.streams.contracts.outcome import KEY, Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
DAYS = 7
SERVERS, POSTFIX_SERVERS = 3, 1
MESSAGES_AN_HOUR = 2400
_HOURS = 1.75
"""Of each day, up to the time of the drill. What is usual is smoothed over half an hour: so long before any trouble
there is mail."""


class Drilled(NamedTuple):
    """A fleet whose rows are made, and what is broken in it."""

    rows: list[Outcome]
    trouble: Trouble | None


def drilled(seed: int, now_ms: int, is_broken: bool) -> Drilled:
    """The rows of a seed; each kind of trouble comes with every fourth seed."""
    trouble = None
    if is_broken:
        began_ms = now_ms - random.Random(seed).randint(45, 57) * MINUTE_MS
        trouble = make_trouble(KINDS[seed % len(KINDS)], seed, make_provider(seed, SERVERS, POSTFIX_SERVERS), began_ms)
        if trouble.kind == SPAM_SENT:
            trouble = replace(trouble, mail_each=0.05)
    simulation = Simulation(seed, SERVERS, POSTFIX_SERVERS, trouble)
    lines: dict[str, list[str]] = {}
    for line in simulation.lines(_arrivals(seed, now_ms), now_ms):
        lines.setdefault(line.server, []).append(line.text)
    domains = simulation.provider.domains()
    rows = [row for server, texts in lines.items() for row in _joined(server, texts, domains, now_ms)]
    return Drilled(rows, trouble)


def fill(client: Client, rows: Sequence[Outcome]) -> None:
    for first in range(0, len(rows), 20_000):
        client.insert_arrow("deliveries", pa.Table.from_batches([to_batch(rows[first : first + 20_000])]))


def _arrivals(seed: int, now_ms: int) -> Iterator[int]:
    """Some days have more mail than others, and each has its rhythm."""
    chance = random.Random(seed + 500)
    for day in range(DAYS, -1, -1):
        end_ms = now_ms - day * DAY_MS
        at_ms = float(end_ms - _HOURS * HOUR_MS)
        busy = chance.uniform(0.85, 1.15)
        while True:
            share = (at_ms - end_ms + _HOURS * HOUR_MS) / (_HOURS * HOUR_MS)
            at_ms += chance.expovariate(MESSAGES_AN_HOUR * busy * (0.8 + 0.4 * share)) * HOUR_MS
            if at_ms >= end_ms:
                break
            yield int(at_ms)


def _joined(server: str, lines: Sequence[str], domains: dict[str, str], now_ms: int) -> list[Outcome]:
    """The newest row of each key, as the join makes it of one server's log."""
    stamps = StampReader(find_zone("UTC", "drill"))
    stamps.shipped(now_ms)
    joiner = Joiner(AccountBook(domains))
    newest: dict[tuple[object, ...], Outcome] = {}
    parser, counts = make_parser("auto", stamps), LineCounts()
    for first in range(0, len(lines), 5000):
        joiner.add(server, parse_lines(parser, lines[first : first + 5000], counts).events)
        for row in joiner.take_dirty()[0]:
            key = tuple(getattr(row, name) for name in KEY)
            if key not in newest or row.version >= newest[key].version:
                newest[key] = row
    return [row for row in newest.values() if not row.is_deleted]
