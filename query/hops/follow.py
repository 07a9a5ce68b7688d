"""The rows of a page as the last of our servers tells them: what `fates.py` says in SQL, and the last server's words.

Invariant: the status is the one that the statements count and filter by. What a server said of an address that the
viewer may not see is not in the row, and the names of our servers are for engineers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from postwatch.query.hops.fates import KEY_HASH, WORST_FIRST
from postwatch.query.hops.own_servers import OwnServers
from postwatch.query.hops.walk import Walk, Way, walk
from postwatch.query.statements import (
    DELIVERIES,
    OURS,
    VIEWER,
    Delivery,
    Hop,
    Read,
    Statement,
    row_columns,
)
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import DELIVERED, PENDING, RESULTS, Attempt

_ROWS_AT_ONCE = 1_000
FIELDS = frozenset(("next_queue_id", "message_id", "remote_ip", "attempts", "queue_id"))
"""What is read of each row to follow it, beside what every list reads."""
_LAST = frozenset(
    "queue_id attempts smtp_code enhanced_code response reason remote_host remote_ip remote_provider tls router"
    " transport".split()
)


class _Followed(NamedTuple):
    row: Delivery
    walk: Walk


def follow(
    read: Read, database: str, own: OwnServers | None, viewer: Viewer, rows: Iterable[Delivery]
) -> list[Delivery]:
    """The rows, each with its last fate, before privacy.py has seen them. Raises what reading raises."""
    found = list(rows)
    if own is None:
        return found
    for first in range(0, len(found), _ROWS_AT_ONCE):
        part = found[first : first + _ROWS_AT_ONCE]
        places = {first + place: row for place, row in enumerate(part) if _may_be_handed(row)}
        if places:
            reader = _HopReader(read, database, own)
            handed = reader.handed(places)
            walk(read, database, own, [one.walk for one in handed.values()])
            last = reader.last_rows(handed.values())
            for place, one in handed.items():
                found[place] = _with_fate(one, last, viewer)
    return found


def _may_be_handed(row: Delivery) -> bool:
    next_id = row.next_queue_id.rpartition(" ")[2]
    return bool(
        row.status == DELIVERED
        and next_id
        and row.message_id
        and row.remote_host.lower() != row.server.lower()
        and next_id in row.response
    )


class _HopReader:
    def __init__(self, read: Read, database: str, own: OwnServers) -> None:
        self._read = read
        self._parameters = {"database": database, **own.parameters()}

    def handed(self, places: dict[int, Delivery]) -> dict[int, _Followed]:
        """Those of the rows that a server of ours took over."""
        sql = (
            f"SELECT place, tie, message FROM (SELECT arrayJoin(arrayEnumerate({{ids:Array(String)}})) AS place,"
            " {hosts:Array(String)}[place] AS remote_host, {ips:Array(String)}[place] AS remote_ip,"
            " cityHash64({ids:Array(String)}[place], {message_ids:Array(String)}[place],"
            " lower({recipients:Array(String)}[place])) AS tie,"
            f" cityHash64({{message_ids:Array(String)}}[place]) AS message) WHERE {OURS}"
        )
        rows = list(places.values())
        values = {
            "ids": [row.next_queue_id.rpartition(" ")[2] for row in rows],
            "message_ids": [row.message_id for row in rows],
            "recipients": [row.recipient for row in rows],
            "hosts": [row.remote_host for row in rows],
            "ips": [row.remote_ip for row in rows],
        }
        found = {}
        order = list(places)
        for number, tie, message in self._read(Statement(ENGINEER, sql, {**self._parameters, **values})):
            place = order[number - 1]
            row = places[place]
            found[place] = _Followed(row, Walk(message, [Way(tie, row.server, row.updated_at)]))
        return found

    def last_rows(self, followed: Iterable[_Followed]) -> dict[int, Delivery]:
        """The rows of the servers that were passed, by the hash of their key."""
        passed = {told.k: told for one in followed for told in one.walk.deciding.passed}
        if not passed:
            return {}
        columns = row_columns(_LAST)
        sql = (
            f"SELECT {KEY_HASH}, {columns.sql} FROM {DELIVERIES} FINAL WHERE {VIEWER}"
            " AND account_domain IN {domains:Array(String)} AND account IN {accounts:Array(String)}"
            " AND queued_at IN (SELECT fromUnixTimestamp64Milli(arrayJoin({queued:Array(Int64)})))"
            f" AND {KEY_HASH} IN {{keys:Array(UInt64)}}"
        )
        values = {
            "domains": sorted({told.account_domain for told in passed.values()}),
            "accounts": sorted({told.account for told in passed.values()}),
            "queued": sorted({told.came_ms for told in passed.values()}),
            "keys": sorted(passed),
        }
        rows = self._read(Statement(ENGINEER, sql, {**self._parameters, **values}))
        return {int(row[0]): columns.decode(row[1:]) for row in rows}


def _with_fate(one: _Followed, last_rows: dict[int, Delivery], viewer: Viewer) -> Delivery:
    way = one.walk.deciding
    status = WORST_FIRST[way.rank]
    passed = [last_rows[told.k] for told in way.passed if told.k in last_rows]
    hops = [Hop(row.server, row.queue_id, row.status, row.updated_at) for row in passed]
    before = one.row if not passed else passed[-1]
    if way.is_open:
        hops.append(Hop(before.remote_host or before.remote_ip, "", PENDING, before.updated_at, is_told=False))
    hides = [not viewer.is_engineer and _hides_target(viewer, row) for row in passed]
    attempts = list(_gone_on(one.row.attempts, viewer))
    for place, row in enumerate(passed):
        is_last = place == len(passed) - 1 and not way.is_open
        tried = row.attempts if is_last else _gone_on(row.attempts, viewer)
        attempts += [
            try_._replace(response="", remote_host="", remote_ip="") if hides[place] else try_ for try_ in tried
        ]
    changed: dict[str, Any] = {"status": status, "result": RESULTS[status], "attempts": tuple(attempts)}
    if way.is_open or not passed:
        if not viewer.is_engineer:
            changed |= {"response": "", "remote_host": "", "remote_ip": "", "remote_provider": "", "tls": ""}
    else:
        last = passed[-1]
        changed |= {"smtp_code": last.smtp_code, "enhanced_code": last.enhanced_code, "reason": last.reason}
        is_own = last.remote_host.lower() == last.server.lower() and not viewer.is_engineer
        for name in ("response", "remote_host", "remote_ip", "remote_provider", "tls", "router", "transport"):
            hidden = hides[-1] or (is_own and name.startswith("remote_"))
            changed[name] = "" if hidden else getattr(last, name)
    told = one.row._replace(**changed)
    told.hops = tuple(hops)
    told.last_event_ms = max(one.row.updated_at, *(hop.at_ms for hop in hops)) if hops else one.row.updated_at
    return told


def _gone_on(attempts: Sequence[Attempt], viewer: Viewer) -> Iterable[Attempt]:
    """The attempts, of which the one that handed the message on ended nothing."""
    for one in attempts:
        if one.status != DELIVERED:
            yield one
        elif viewer.is_engineer:
            yield one._replace(status=PENDING)
        else:
            yield one._replace(status=PENDING, response="", remote_host="", remote_ip="", source_ip="")


def _hides_target(viewer: Viewer, row: Delivery) -> bool:
    """Whether an alias led the message on there, to where the viewer may not know."""
    original = row.original_recipient
    return bool(original) and not (viewer.owns(original) or viewer.owns(row.recipient))
