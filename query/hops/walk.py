"""From server to server, as far as their logs tell: the ways that a message took behind the server that a row is of.

Invariant: what `fates.py` says in SQL. Each step asks for the ties of all ways at once, so a page costs a few
statements, however many rows it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from postwatch.query.hops.fates import (
    DAY_MS,
    MOST_HOPS,
    WORST_FIRST,
    LastStatus,
    handed_rows,
    known_statuses,
    statuses_of,
)
from postwatch.query.hops.own_servers import OwnServers
from postwatch.query.statements import HOPS, OURS, Read, Statement
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import DELIVERED

MOST_WALKED = 2_000
"""Rows that are followed here; of more, ClickHouse follows all."""
_MOST_TOLD = 20_000


class Told(NamedTuple):
    """A row of HOPS: what one server tells of a message under a tie."""

    tie: int
    k: int
    server: str
    account_domain: str
    account: str
    came_ms: int
    went_ms: int
    status: str
    next_tie: int
    """0: it did not go on to a server of ours."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way that a message took, as far as it is known."""

    tie: int
    server: str
    went_ms: int
    passed: tuple[Told, ...] = ()
    is_open: bool = True
    """The server that took it over has to tell."""

    @property
    def rank(self) -> int:
        """The place of its status in WORST_FIRST."""
        if self.is_open or not self.passed or self.passed[-1].status not in WORST_FIRST:
            return 0
        return WORST_FIRST.index(self.passed[-1].status)


@dataclass(slots=True)
class Walk:
    """A row that was handed over."""

    message: int
    ways: list[Way] = field(default_factory=list)

    @property
    def deciding(self) -> Way:
        """Of the ways that the message took, the one that is not done."""
        return min(self.ways, key=lambda way: way.rank)

    @property
    def status(self) -> str:
        return WORST_FIRST[self.deciding.rank]


def walk(read: Read, database: str, own: OwnServers, walks: Sequence[Walk]) -> None:
    """Each to its end, hop by hop; a message that was parted at a server goes on in several ways."""
    last = walks
    for _ in range(MOST_HOPS):
        last = [one for one in last if any(way.is_open for way in one.ways)]
        if not last:
            return
        told = _told(read, database, own, last)
        moved = []
        for one in last:
            ways = [on for way in one.ways for on in _steps(way, told)]
            if ways != one.ways:
                one.ways = ways
                moved.append(one)
        last = moved


def _steps(way: Way, told: Mapping[int, Sequence[Told]]) -> Iterable[Way]:
    here = told.get(way.tie, ()) if way.is_open else ()
    servers = {row.server for row in here}
    is_near = all(abs(row.came_ms - way.went_ms) <= DAY_MS for row in here)
    if len(servers) != 1 or way.server in servers or not is_near:
        return [way]
    return [Way(row.next_tie, row.server, row.went_ms, (*way.passed, row), bool(row.next_tie)) for row in here]


def _told(read: Read, database: str, own: OwnServers, walks: Sequence[Walk]) -> dict[int, list[Told]]:
    sql = (
        "SELECT tie, k, server, account_domain, account, toUnixTimestamp64Milli(queued_at),"
        f" toUnixTimestamp64Milli(updated_at), status, if(status = '{DELIVERED}' AND next_tie != 0"
        f" AND lower(remote_host) != lower(server) AND {OURS}, next_tie, 0) FROM {HOPS} FINAL"
        " WHERE message IN {messages:Array(UInt64)} AND tie IN {ties:Array(UInt64)} LIMIT {rows:UInt32}"
    )
    values: dict[str, Any] = {
        "database": database,
        **own.parameters(),
        "messages": sorted({one.message for one in walks}),
        "ties": sorted({way.tie for one in walks for way in one.ways if way.is_open}),
        "rows": _MOST_TOLD,
    }
    told: dict[int, list[Told]] = {}
    for row in read(Statement(ENGINEER, sql, values)):
        one = Told(*row)
        told.setdefault(one.tie, []).append(one)
    return told


def last_status(
    read: Read, database: str, own: OwnServers | None, viewer: Viewer, where: str, parameters: Mapping[str, Any]
) -> LastStatus:
    """How a statement reads the status of rows that meet `where`. Raises what reading raises."""
    if own is None:
        return known_statuses({})
    values = {"database": database, **own.parameters(), **parameters, "most_handed": MOST_WALKED + 1}
    rows = read(Statement(viewer, handed_rows(where), values))
    if len(rows) > MOST_WALKED:
        return statuses_of(where, own)
    walks = {k: Walk(message, [Way(tie, server, went_ms)]) for k, message, tie, server, went_ms in rows}
    walk(read, database, own, list(walks.values()))
    return known_statuses({k: one.status for k, one in walks.items()})
