"""A page of rows in any order but newest first: by address, size, status, host, duration, or oldest first.

Every row of the window is compared, in its last version, by columns that are small; only the rows of the page are read
whole. Pages show each row once while rows arrive and change: what the order goes by never changes, or the pages after
the first leave out what changed since the first. What the viewer may not see of a row orders nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from postwatch.query.errors import FilterError
from postwatch.query.hops.fates import OWN_STATUS, LastStatus
from postwatch.query.orders import BY_NAME, MAX_KEY_CHARACTERS, Position
from postwatch.query.reports.account_window import Window
from postwatch.query.reports.report import Tables
from postwatch.query.search import without_addresses
from postwatch.query.statements import (
    DELIVERIES,
    OURS,
    ROW_HASH,
    SHOWN,
    VIEWER,
    Row,
    Span,
    Statement,
    scope_conditions,
)
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import RESULTS

_KEYS = {
    "event": "toUnixTimestamp64Milli(updated_at)",
    "sent": "toUnixTimestamp64Milli(queued_at)",
    "sender": "lowerUTF8(sender)",
    "recipient": f"lowerUTF8(if(original_recipient != '', original_recipient, {SHOWN}))",
    "size": "toInt64(size_bytes)",
    "status": "concat(result, ' ', status)",
    "duration": "toInt64(delay_ms)",
}


_HOST_OF_OWNERS = f"if({SHOWN} = recipient AND NOT {OURS}, {without_addresses('remote_host')}, '')"


def sort_key(viewer: Viewer, by: str, last: LastStatus = OWN_STATUS) -> str:
    """SQL of what rows are ordered by, as far as the viewer sees it."""
    if by == "status" and last is not OWN_STATUS:
        words, results = (", ".join(map(repr, one)) for one in (RESULTS, RESULTS.values()))
        return f"concat(transform({last.sql} AS last, [{words}], [{results}], ''), ' ', last)"
    if by != "host":
        return _KEYS[by]
    host = "remote_host" if viewer.is_engineer else _HOST_OF_OWNERS
    return f"left(replaceRegexpAll(lower({host}), '[^ -~]', '?'), {MAX_KEY_CHARACTERS})"


def read_sorted(tables: Tables, window: Window, as_of_ms: int) -> tuple[list[Row], Position | None]:
    """The rows of the page as `newest_rows` gives them, and the place of the last one if there are more behind it."""
    wanted = window.wanted
    order = BY_NAME[wanted.by]
    after = wanted.after
    key: int | str | None = None
    if after is not None:
        as_of_ms = after.as_of_ms
        key = _key_of(tables, window, after) if order.is_address else after.key
    found = tables.read(sorted_keys(window, key, 0 if order.is_fixed else as_of_ms))
    page = found[: wanted.limit]
    by_hash = {row[0]: row for row in tables.read(rows_of(window, page))} if page else {}
    rows = [by_hash[row_hash] for row_hash, _, _ in page if row_hash in by_hash]
    if len(found) <= wanted.limit:
        return rows, None
    row_hash, queued_ms, last_key = page[-1]
    kept = "" if order.is_address else last_key
    known_ms = 0 if order.is_fixed else as_of_ms
    return rows, Position(wanted.by, queued_ms, row_hash, wanted.is_ascending, kept, known_ms)


def _key_of(tables: Tables, window: Window, after: Position) -> str:
    found = tables.read(key_of_row(window, after))
    if not found:
        raise FilterError("the cursor belongs to a row that is gone: leave it out to start with the first page")
    return str(found[0][0])


def key_of_row(window: Window, after: Position) -> Statement:
    """The address that the row of a cursor is ordered by. Without FINAL: a row that was retracted has its place too."""
    scope, parameters = scope_conditions(window.wanted.account)
    sql = (
        f"SELECT {sort_key(window.viewer, window.wanted.by)} FROM {DELIVERIES} WHERE {VIEWER} AND {' AND '.join(scope)}"
        f" AND queued_at = fromUnixTimestamp64Milli({{at_ms:Int64}}) AND {ROW_HASH} = {{row_hash:UInt64}}"
        " ORDER BY version DESC LIMIT {rows:UInt32}"
    )
    return window.statement(sql, 1, {**parameters, "at_ms": after.at_ms, "row_hash": after.row_hash})


def sorted_keys(window: Window, after_key: int | str | None, as_of_ms: int) -> Statement:
    """One row more than a page holds: (ROW_HASH, queued_at in ms, what it is ordered by)."""
    wanted = window.wanted
    key = sort_key(window.viewer, wanted.by, window.last)
    way, behind = ("ASC", ">") if wanted.is_ascending else ("DESC", "<")
    where, parameters = window.conditions(Span(window.earliest_ms))
    if as_of_ms:
        where += " AND updated_at <= fromUnixTimestamp64Milli({as_of_ms:Int64})"
        parameters["as_of_ms"] = as_of_ms
    if wanted.after is not None:
        kind = "String" if BY_NAME[wanted.by].is_text else "Int64"
        where += (
            f" AND ({key} {behind} {{after_key:{kind}}} OR ({key} = {{after_key:{kind}}} AND (queued_at, {ROW_HASH})"
            " < (fromUnixTimestamp64Milli({after_ms:Int64}), {after_hash:UInt64})))"
        )
        parameters |= {
            "after_key": after_key,
            "after_ms": wanted.after.at_ms,
            "after_hash": wanted.after.row_hash,
        }
    sql = (
        f"{window.last.beginning}"
        f"SELECT {ROW_HASH}, toUnixTimestamp64Milli(queued_at), {key} FROM {DELIVERIES} FINAL"
        f" WHERE {VIEWER} AND {where}{window.one_of_each()}"
        f" ORDER BY {key} {way}, queued_at DESC, {ROW_HASH} DESC LIMIT {{rows:UInt32}}"
    )
    return window.statement(sql, wanted.limit + 1, parameters)


def rows_of(window: Window, keys: Sequence[Row]) -> Statement:
    """The rows of these keys, each in its last version: ROW_HASH, and then the columns."""
    scope, parameters = scope_conditions(window.wanted.account)
    times = sorted({int(queued_ms) for _, queued_ms, _ in keys})
    more: dict[str, Any] = {
        "times": times,
        "hashes": [int(row_hash) for row_hash, _, _ in keys],
        "queued_since_ms": times[0],
        "queued_until_ms": times[-1],
    }
    sql = (
        f"SELECT {ROW_HASH}, {window.columns.sql} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND {' AND '.join(scope)}"
        " AND queued_at >= fromUnixTimestamp64Milli({queued_since_ms:Int64})"
        " AND queued_at <= fromUnixTimestamp64Milli({queued_until_ms:Int64})"
        " AND toUnixTimestamp64Milli(queued_at) IN {times:Array(Int64)} AND"
        f" {ROW_HASH} IN {{hashes:Array(UInt64)}}{window.one_of_each()} LIMIT {{rows:UInt32}}"
    )
    return window.statement(sql, len(keys), {**parameters, **more})
