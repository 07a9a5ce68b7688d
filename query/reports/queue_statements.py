"""The statements of the queue: what waits, by what it waits for, and the messages that wait longest.

They read the slim table of states, with FINAL, and no row older than a message may wait: what is older is not queued
any more, its server's log just never told its end. What a viewer may not see of a row is in no group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from postwatch.query.hops.own_servers import NO_NAMES, OwnServers
from postwatch.query.orders import Position
from postwatch.query.search import without_addresses
from postwatch.query.statements import (
    DELIVERIES,
    OURS,
    ROW_COLUMNS,
    ROW_HASH,
    SEES_TARGET,
    SHOWN,
    STATES,
    VIEWER,
    Statement,
    one_of_each,
)
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import DEFERRED, KEY, PENDING

GROUPS = ("provider", "host", "server", "reason", "domain", "account")
"""By what the queue is counted."""
CLEARED_MS = 60 * 60 * 1000
UNKNOWN = "unknown"
"""What the log does not tell."""
_WAITS = f"status IN ('{PENDING}', '{DEFERRED}')"
_CLEARED = f"(tries > 1 AND NOT {_WAITS} AND updated_at >= fromUnixTimestamp64Milli({{cleared_since_ms:Int64}}))"
"""It was deferred before, and its last attempt was within the hour."""


@dataclass(frozen=True, slots=True)
class QueueWindow:
    """The messages that a question is about."""

    viewer: Viewer
    database: str
    narrowed: tuple[tuple[str, str], ...]
    """One of GROUPS, and the only value of it that counts."""
    since_ms: int
    """No older message waits."""
    now_ms: int
    own: OwnServers = NO_NAMES.own
    """What the setting names, of which this viewer is not told."""

    def statement(self, sql: str, values: dict[str, Any]) -> Statement:
        """With what the names of our servers are told by, where the statement hides them."""
        return Statement(self.viewer, sql, values | (self.own.parameters() if OURS in sql else {}))

    def conditions(self) -> tuple[str, dict[str, Any]]:
        found = ["queued_at >= fromUnixTimestamp64Milli({queued_since_ms:Int64})", one_of_each(self.viewer, STATES)]
        values: dict[str, Any] = {"database": self.database, "queued_since_ms": self.since_ms}
        for group, value in self.narrowed:
            found.append(f"lower({group_key(self.viewer, group)}) = {{only_{group}:String}}")
            values[f"only_{group}"] = "" if value == UNKNOWN else value
        return " AND ".join(found), values


def group_key(viewer: Viewer, group: str) -> str:
    """SQL of what rows are put together by, as far as the viewer sees it."""
    if group == "provider":
        return f"if({SEES_TARGET}, remote_provider, '')"
    if group == "host":
        if viewer.is_engineer:
            return f"if({SEES_TARGET}, remote_host, '')"
        return f"if({SEES_TARGET} AND NOT {OURS}, {without_addresses('remote_host')}, '')"
    if group == "domain":
        return f"lower(substringIndex({SHOWN}, '@', -1))"
    return group


def queue_groups(window: QueueWindow, group: str, rows: int) -> Statement:
    """(value, waiting, of these deferred, bytes, queued_at in ms and ROW_HASH of the oldest, cleared, of these
    accepted), the longest queue first; an empty group: all of it in one row."""
    where, values = window.conditions()
    key = group_key(window.viewer, group) if group else "''"
    sql = (
        f"SELECT {key} AS value, countIf({_WAITS}) AS waiting, countIf(status = '{DEFERRED}'),"
        f" sumIf(size_bytes, {_WAITS}), toUnixTimestamp64Milli(minIf(queued_at, {_WAITS})),"
        f" argMinIf({ROW_HASH}, (queued_at, {ROW_HASH}), {_WAITS}), countIf({_CLEARED}),"
        f" countIf({_CLEARED} AND result = 'accepted') FROM {STATES} FINAL WHERE {VIEWER} AND {where}"
        f" AND ({_WAITS} OR {_CLEARED}) GROUP BY value ORDER BY waiting DESC, value LIMIT {{rows:UInt32}}"
    )
    return window.statement(sql, {**values, "cleared_since_ms": window.now_ms - CLEARED_MS, "rows": rows})


def oldest_waiting(window: QueueWindow, after: Position | None, rows: int) -> Statement:
    """The messages that wait longest, oldest first: ROW_HASH, and then ROW_COLUMNS."""
    where, values = window.conditions()
    behind = ""
    if after is not None:
        behind = f" AND (queued_at, {ROW_HASH}) > (fromUnixTimestamp64Milli({{after_ms:Int64}}), {{after_hash:UInt64}})"
        values |= {"after_ms": after.at_ms, "after_hash": after.row_hash}
    order = f"ORDER BY queued_at, {ROW_HASH} LIMIT {{rows:UInt32}}"
    key = ", ".join(KEY)
    sql = (
        f"SELECT {ROW_HASH}, {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND ({key}) GLOBAL IN"
        f" (SELECT {key} FROM {STATES} FINAL WHERE {VIEWER} AND {where} AND {_WAITS}{behind} {order})"
        f" AND {_WAITS} {order}"
    )
    return window.statement(sql, {**values, "rows": rows})
