"""The statement of the statistics: the states of a time, put together by what the viewer sees of them."""

from __future__ import annotations

from dataclasses import dataclass

from postwatch.query.statements import DELIVERIES, SEES_TARGET, STATES, VIEWER, Statement, one_of_each
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    PENDING,
    REJECTED,
)

GROUPS = ("domain", "account", "provider", "day", "hour", "server")
"""By what is counted in the slim table of states."""
OWNER, SENDER = "owner", "sender"
ASKED = (*GROUPS, OWNER, SENDER)
SORTS = ("messages", "failed", "limited", "size")
"""What there may be most of in the first line."""
BY_TIME = ("day", "hour")
NARROWING = ("account", "domain", "server", "provider")
UNKNOWN = "unknown"
_KEYS = {
    "": "''",
    "domain": "account_domain",
    "account": "account",
    "server": "server",
    SENDER: "lower(sender)",
    "provider": f"if({SEES_TARGET}, remote_provider, '')",
    "day": "toString(toUnixTimestamp(toStartOfDay(queued_at)))",
    "hour": "toString(toUnixTimestamp(toStartOfHour(queued_at)))",
}
_COUNTS = {
    "delivered": (DELIVERED,),
    "waiting": (PENDING, DEFERRED),
    "failed": (BOUNCED, EXPIRED, CANCELLED),
    "rejected": (REJECTED,),
    "discarded": (DISCARDED,),
}


@dataclass(frozen=True, slots=True)
class StatisticsWindow:
    """The messages that a question is about."""

    viewer: Viewer
    database: str
    narrowed: tuple[tuple[str, str], ...]
    """One of NARROWING, and the only value of it that counts."""
    direction: str
    since_ms: int
    sort: str = SORTS[0]
    key_domain: str = ""
    """The only domain whose accounts count, where the key of deliveries is to be used."""


def state_groups(window: StatisticsWindow, group: str, rows: int) -> Statement:
    """(value, messages, recipients, delivered, waiting, failed, rejected, discarded, limited, bytes), most messages
    first, times newest first; an empty group: all of it in one row. A day or an hour is seconds since 1970."""
    conditions = ["queued_at >= fromUnixTimestamp64Milli({queued_since_ms:Int64})", "direction = {direction:String}"]
    values = {
        "database": window.database,
        "queued_since_ms": window.since_ms,
        "direction": window.direction,
        "rows": rows,
    }
    for name, value in window.narrowed:
        conditions.append(f"lower({_KEYS[name]}) = {{only_{name}:String}}")
        values[f"only_{name}"] = "" if value == UNKNOWN else value
    table = STATES
    if group == SENDER:  # who sent a message only deliveries tell; a domain narrows them, or what the viewer may see
        table = DELIVERIES
        if window.key_domain:
            conditions.insert(0, "account_domain = {key_domain:String}")
            values["key_domain"] = window.key_domain
    counts = ", ".join(
        f"countIf(status IN ({', '.join(map(repr, statuses))})) AS {name}" for name, statuses in _COUNTS.items()
    )
    order = "value DESC" if group in BY_TIME else f"{window.sort} DESC, messages DESC, value"
    found = f"FROM {table} FINAL WHERE {VIEWER} AND {' AND '.join(conditions)} AND {one_of_each(window.viewer, table)}"
    value_hash = f"cityHash64({_KEYS[group]})"
    # Of each message only numbers are kept, for there are as many as rows.
    of_messages = (
        f"SELECT any({value_hash}) AS value_hash, max(size_bytes) AS message_size {found}"
        f" GROUP BY cityHash64({value_hash}, server, queue_id, queued_at)"
    )
    sql = (
        f"SELECT value, messages, recipients, {', '.join(_COUNTS)}, limited, size FROM ("
        f"SELECT {_KEYS[group]} AS value, cityHash64(value) AS value_hash, count() AS recipients, {counts},"
        f" countIf(reason = 'rate-limit') AS limited {found} GROUP BY value"
        f") AS rows GLOBAL INNER JOIN (SELECT value_hash, count() AS messages, sum(message_size) AS size"
        f" FROM ({of_messages}) GROUP BY value_hash) AS sizes USING (value_hash)"
        f" ORDER BY {order} LIMIT {{rows:UInt32}}"
    )
    return Statement(window.viewer, sql, values)
