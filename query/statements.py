"""The SQL of every report, as text with server-side parameters: pure, and nothing of what people typed is in the text.

The invariants: FINAL, which is dear, reads only rows already narrowed by the primary key; whatever searches by a skip
index or counts does so without it. No statement shows a row older than the time it is given.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from postwatch.query.filters import RESULT_WORDS, AccountScope, Domain, Mailbox, ReportFilters
from postwatch.streams.contracts.outcome import KEY, Attempt, Outcome


class Statement(NamedTuple):
    """One SELECT and the values of its `{name:Type}` parameters."""

    sql: str
    parameters: dict[str, Any]


class Span(NamedTuple):
    """Rows queued at or after `since_ms` and, where given, before `until_ms`."""

    since_ms: int
    until_ms: int | None = None


DELIVERIES = "{database:Identifier}.deliveries"
SERVERS = "{database:Identifier}.servers"
_TIMES = {"queued_at", "updated_at"}
_PLACE = "(queued_at, account, server, queue_id, recipient, direction)"
_NEWEST_FIRST = "queued_at DESC, account DESC, server DESC, queue_id DESC, recipient DESC, direction DESC"
SETTINGS = {
    # A key's queued_at never changes and picks the partition, so the versions of a row never lie in two of them.
    "do_not_merge_across_partitions_select_final": 1,
}
"""What every statement is to be run with."""


def _row_columns() -> str:
    """The fields of an Outcome in order, times as ms, attempts as six arrays. Nothing is renamed: an alias that has a
    column's name would stand for the column in WHERE too, and keep the primary key from being used."""
    columns: list[str] = []
    for name in Outcome._fields:
        if name == "attempts":
            columns.append("arrayMap(at -> toUnixTimestamp64Milli(at), attempts.at)")
            columns += [f"attempts.{part}" for part in Attempt._fields[1:]]
        else:
            columns.append(f"toUnixTimestamp64Milli({name})" if name in _TIMES else name)
    return ", ".join(columns)


ROW_COLUMNS = _row_columns()


def newest_bound(database: str, filters: ReportFilters, span: Span, rows: int) -> Statement:
    """How far back the newest so many matching rows reach: (earliest queued_at in ms, how many there are up to `rows`).

    Without FINAL: old versions of rows count too, so fewer may remain of them.
    """
    where, parameters = _account_conditions(filters, span)
    sql = (
        "SELECT toUnixTimestamp64Milli(min(queued_at)), count() FROM "
        f"(SELECT queued_at FROM {DELIVERIES} WHERE {where} ORDER BY queued_at DESC LIMIT {{rows:UInt32}})"
    )
    return Statement(sql, {"database": database, "rows": rows, **parameters})


def newest_rows(database: str, filters: ReportFilters, span: Span, rows: int) -> Statement:
    """The newest so many matching rows of the span, each in its last version."""
    where, parameters = _account_conditions(filters, span)
    sql = f"SELECT {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {where} ORDER BY {_NEWEST_FIRST} LIMIT {{rows:UInt32}}"
    return Statement(sql, {"database": database, "rows": rows, **parameters})


def _account_conditions(filters: ReportFilters, span: Span) -> tuple[str, dict[str, Any]]:
    conditions, parameters = _scope_conditions(filters.account)
    conditions.append("queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})")
    parameters["since_ms"] = span.since_ms
    if span.until_ms is not None:
        conditions.append("queued_at < fromUnixTimestamp64Milli({until_ms:Int64})")
        parameters["until_ms"] = span.until_ms
    if filters.recipient:
        # A whole address means that address and not one that ends in it; `@domain` and other parts match anywhere.
        found = "= 1" if filters.recipient.rpartition("@")[0] else "> 0"
        conditions.append(
            f"(positionCaseInsensitiveUTF8(recipient, {{recipient:String}}) {found}"
            f" OR positionCaseInsensitiveUTF8(original_recipient, {{recipient:String}}) {found})"
        )
        parameters["recipient"] = filters.recipient
    if filters.status:
        conditions.append(f"{'result' if filters.status in RESULT_WORDS else 'status'} = {{status:String}}")
        parameters["status"] = filters.status
    if not filters.bounces:
        conditions.append("NOT (sender = '' AND parent_queue_id != '')")
    if filters.after:
        names = [f"after_{name}" for name in filters.after._fields]
        place = ", ".join(
            f"fromUnixTimestamp64Milli({{{name}:Int64}})" if number == 0 else f"{{{name}:String}}"
            for number, name in enumerate(names)
        )
        # The first condition lets the primary key be used; the second is exact.
        conditions.append("queued_at <= fromUnixTimestamp64Milli({after_queued_at:Int64})")
        conditions.append(f"{_PLACE} < ({place})")
        parameters.update(zip(names, filters.after, strict=True))
    return " AND ".join(conditions), parameters


def _scope_conditions(account: AccountScope) -> tuple[list[str], dict[str, Any]]:
    if isinstance(account, Mailbox):
        conditions = ["account_domain = {domain:String}", "account = {account:String}"]
        return conditions, {"domain": account.domain, "account": account.name}
    if isinstance(account, Domain):
        return ["account_domain = {domain:String}"], {"domain": account.domain}
    # A system user's domain is the server. Both lists, for the primary key to be used.
    conditions = ["account_domain IN {servers:Array(String)}", "account IN {accounts:Array(String)}"]
    accounts = [f"{account.user}@{server}" for server in account.servers]
    return conditions, {"servers": list(account.servers), "accounts": accounts}


def server_names(database: str, since_ms: int) -> Statement:
    """Every server that has rows; one that sends no heartbeats too."""
    sql = f"SELECT DISTINCT server FROM {DELIVERIES} WHERE queued_at >= fromUnixTimestamp64Milli({{since_ms:Int64}})"
    return Statement(sql, {"database": database, "since_ms": since_ms})


def trace_rows(database: str, wanted: str, since_ms: int, rows: int) -> Statement:
    """The newest so many rows that have this queue id, Message-ID (without its brackets) or recipient.

    A queue id finds the messages that had it anywhere on their way, and the bounces and forwards of them.

    The inner part finds their keys by the skip indexes, one SELECT for each column, for they serve no OR. GLOBAL: on a
    cluster the keys are found once, not once on each shard.
    """
    key = ", ".join(KEY)
    among = "IN ({wanted:String}, {lower:String})"
    conditions = [f"message_id {among}"]
    if "@" in wanted:
        conditions.append(f"recipient {among}")
    else:
        conditions += [
            f"queue_id {among}",
            "has(splitByChar(' ', next_queue_id), {wanted:String})",
            "parent_queue_id = {wanted:String}",
        ]
    keys = " UNION ALL ".join(
        f"SELECT * FROM (SELECT DISTINCT {key} FROM {DELIVERIES}"
        f" WHERE {condition}"
        " AND queued_at >= fromUnixTimestamp64Milli({since_ms:Int64}) ORDER BY queued_at DESC LIMIT {rows:UInt32})"
        for condition in conditions
    )
    sql = (
        f"SELECT {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE ({key}) GLOBAL IN ({keys})"
        f" ORDER BY {_NEWEST_FIRST} LIMIT {{rows:UInt32}}"
    )
    parameters = {
        "database": database,
        "wanted": wanted,
        "lower": wanted.lower(),
        "since_ms": since_ms,
        "rows": rows,
    }
    return Statement(sql, parameters)


def newest_heartbeats(database: str, since_ms: int, rows: int) -> Statement:
    """Each server's newest heartbeat: name, sent and last line in ms, lag in bytes, files, shipper's version."""
    sql = (
        "SELECT server, toUnixTimestamp64Milli(sent_at), toUnixTimestamp64Milli(last_line_at), lag_bytes, files,"
        f" shipper_version FROM {SERVERS} FINAL WHERE sent_at >= fromUnixTimestamp64Milli({{since_ms:Int64}})"
        " ORDER BY server LIMIT {rows:UInt32}"
    )
    return Statement(sql, {"database": database, "since_ms": since_ms, "rows": rows})
