"""The rows that a question about an account is about, and the statements that read them newest first or count them.

No statement reads a row outside the window, nor one that the viewer may not see.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from postwatch.query.hops.fates import OWN_STATUS, LastStatus
from postwatch.query.hops.own_servers import NO_NAMES, OwnNames
from postwatch.query.orders import is_by_time
from postwatch.query.reports.account_question import AccountFilters
from postwatch.query.search import text_condition
from postwatch.query.statements import (
    ALL_COLUMNS,
    DELIVERIES,
    NOT_COMPILED,
    OURS,
    ROW_HASH,
    SHOWN,
    VIEWER,
    RowColumns,
    Span,
    Statement,
    scope_conditions,
)
from postwatch.query.viewer import Viewer

MOST_SERVERS = 1_000
"""Of an account's mail, that the page tells from."""


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that a question is about, whichever page of them."""

    viewer: Viewer
    database: str
    wanted: AccountFilters
    since_ms: int
    """Of the last event."""
    open_ms: int
    """The longest time from a message's first event to its last."""
    columns: RowColumns = ALL_COLUMNS
    """What is read of each row."""
    last: LastStatus = OWN_STATUS
    """How the status of these rows is read, of which one server of ours may have handed some to another."""
    names: OwnNames = NO_NAMES
    """Of our servers, which this viewer is not told."""

    @property
    def column(self) -> str:
        """What the rows are ordered by."""
        return "queued_at" if self.wanted.by == "sent" else "updated_at"

    @property
    def earliest_ms(self) -> int:
        """No row is older than this, by that column."""
        return self.since_ms - self.open_ms if self.wanted.by == "sent" else self.since_ms

    def everything(self) -> tuple[str, dict[str, Any]]:
        """What is true of each row, whatever its status and its page."""
        conditions, parameters = self._all_of(Span(self.earliest_ms))
        return " AND ".join(conditions), parameters

    def conditions(self, span: Span) -> tuple[str, dict[str, Any]]:
        """What is true of each row of the page. A statement with it begins with `last.beginning`."""
        conditions, parameters = self._all_of(span)
        of_page, more = self.place_conditions()
        return " AND ".join(conditions + of_page), parameters | more

    def _all_of(self, span: Span) -> tuple[list[str], dict[str, Any]]:
        """What is true of each row, whatever its status and its page."""
        wanted = self.wanted
        conditions, parameters = scope_conditions(wanted.account)
        # The primary key and the partitions go by queued_at.
        from_ms = span.since_ms if wanted.by == "sent" else span.since_ms - self.open_ms
        conditions += [
            "queued_at >= fromUnixTimestamp64Milli({queued_since_ms:Int64})",
            "updated_at >= fromUnixTimestamp64Milli({since_ms:Int64})",
        ]
        parameters["queued_since_ms"] = from_ms
        parameters["since_ms"] = self.since_ms if wanted.by == "sent" else span.since_ms
        if span.until_ms is not None:
            conditions.append(f"{self.column} < fromUnixTimestamp64Milli({{until_ms:Int64}})")
            parameters["until_ms"] = span.until_ms
        if wanted.recipient:
            # A whole address means that address and not one that ends in it; `@domain` and other parts match anywhere.
            found = "= 1" if wanted.recipient.rpartition("@")[0] else "> 0"
            conditions.append(
                f"(positionCaseInsensitiveUTF8({SHOWN}, {{recipient:String}}) {found}"
                f" OR positionCaseInsensitiveUTF8(original_recipient, {{recipient:String}}) {found})"
            )
            parameters["recipient"] = wanted.recipient
        if wanted.until_ms is not None:
            conditions.append("updated_at < fromUnixTimestamp64Milli({end_ms:Int64})")
            parameters["end_ms"] = wanted.until_ms
        if wanted.direction:
            conditions.append("direction = {direction:String}")
            parameters["direction"] = wanted.direction
        if wanted.text:
            conditions.append(text_condition(self.viewer, self.names.may_be_named_by(wanted.text)))
            parameters["text"] = wanted.text
            if not self.viewer.is_engineer:
                parameters |= self.names.own.parameters()
        if not wanted.bounces:
            conditions.append("NOT (sender = '' AND parent_queue_id != '')")
        parameters |= self.last.parameters
        return conditions, parameters

    def place_conditions(self) -> tuple[list[str], dict[str, Any]]:
        """What the counts of all pages go without: the statuses asked for, and the place of the page."""
        wanted = self.wanted
        conditions: list[str] = []
        parameters: dict[str, Any] = {}
        if wanted.statuses:
            conditions.append(f"{self.last.sql} IN {{statuses:Array(String)}}")
            parameters["statuses"] = list(wanted.statuses)
        if wanted.after and is_by_time(wanted.by, wanted.is_ascending):
            after = "fromUnixTimestamp64Milli({after_ms:Int64})"
            # The first condition lets the primary key be used; the second is exact.
            conditions.append(f"{self.column} <= {after}")
            conditions.append(f"({self.column}, {ROW_HASH}) < ({after}, {{after_hash:UInt64}})")
            parameters |= {"after_ms": wanted.after.at_ms, "after_hash": wanted.after.row_hash}
        return conditions, parameters

    def one_of_each(self) -> str:
        """Of the members that an address led to, where the viewer may not see them, the one with the last event."""
        if self.viewer.sees_all:
            return ""
        scope, _ = scope_conditions(self.wanted.account)
        return (
            f" AND ({SHOWN} = recipient OR ({ROW_HASH}, updated_at, recipient) GLOBAL IN"
            f" (SELECT {ROW_HASH}, max(updated_at), argMax(recipient, (updated_at, recipient)) FROM {DELIVERIES} FINAL"
            f" WHERE {VIEWER} AND {' AND '.join(scope)} AND {SHOWN} != recipient"
            f" AND queued_at >= fromUnixTimestamp64Milli({{queued_since_ms:Int64}}) GROUP BY {ROW_HASH}))"
        )

    def statement(self, sql: str, rows: int, parameters: dict[str, Any]) -> Statement:
        own = self.names.own.parameters() if OURS in sql else {}
        return Statement(self.viewer, sql, {"database": self.database, "rows": rows, **own, **parameters})


def newest_bound(window: Window, span: Span, rows: int) -> Statement:
    """How far back the newest `rows` matching rows reach: (the earliest time in ms, their number, at most `rows`).

    Without FINAL: old versions of rows count too, so fewer rows may remain.
    """
    where, parameters = window.conditions(span)
    sql = (
        f"{window.last.beginning}"
        f"SELECT toUnixTimestamp64Milli(min({window.column})), count() FROM (SELECT {window.column}"
        f" FROM {DELIVERIES} WHERE {VIEWER} AND {where} ORDER BY {window.column} DESC LIMIT {{rows:UInt32}})"
    )
    return window.statement(sql, rows, parameters)


def newest_rows(window: Window, span: Span, rows: int) -> Statement:
    """The newest `rows` matching rows of the span, each in its last version: ROW_HASH, and then the columns."""
    where, parameters = window.conditions(span)
    sql = (
        f"{window.last.beginning}"
        f"SELECT {ROW_HASH}, {window.columns.sql} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND {where}"
        f"{window.one_of_each()} ORDER BY {window.column} DESC, {ROW_HASH} DESC LIMIT {{rows:UInt32}}"
    )
    return window.statement(sql, rows, parameters)


def overview(window: Window, most_rows: int) -> Statement:
    """The first rows and the counts in one: of each status its number, its last event in ms, its servers, and its
    newest rows that are asked for, each with what it is ordered by, negated, and then the columns.

    ClickHouse refuses it (TOO_MANY_ROWS) before it reads anything, where the primary key does not narrow the table to
    so many rows: what is compared holds whole rows, so it is dearer than `row_counts` there.
    """
    wanted = window.wanted
    whole = replace(window, wanted=replace(wanted, statuses=(), after=None))
    where, parameters = whole.conditions(Span(whole.earliest_ms))
    asked_for, more = window.place_conditions()
    order = f"-toUnixTimestamp64Milli({window.column}), bitNot({ROW_HASH})"
    rows = (
        f"groupArraySortedIf({wanted.limit + 1:d})(({order}, {ROW_HASH}, {window.columns.sql}),"
        f" {' AND '.join(asked_for) or '1'})"
    )
    sql = (
        f"{whole.last.beginning}SELECT {whole.last.sql}, count(),"
        " toUnixTimestamp64Milli(max(updated_at)),"
        f" groupUniqArray({MOST_SERVERS})(toString(server)), {rows} FROM {DELIVERIES} FINAL"
        f" WHERE {VIEWER} AND {where}{whole.one_of_each()} GROUP BY 1"
        f" SETTINGS max_rows_to_read = {most_rows:d}, {NOT_COMPILED}"
    )
    return Statement(whole.viewer, sql, {"database": whole.database, **parameters, **more})


def row_counts(window: Window) -> Statement:
    """The rows of all pages by status: (status, number, the last event in ms)."""
    whole = replace(window, wanted=replace(window.wanted, statuses=(), after=None))
    where, parameters = whole.conditions(Span(whole.earliest_ms))
    sql = (
        f"{whole.last.beginning}SELECT {whole.last.sql}, count(),"
        f" toUnixTimestamp64Milli(max(updated_at)) FROM {DELIVERIES} FINAL"
        f" WHERE {VIEWER} AND {where}{whole.one_of_each()} GROUP BY 1 ORDER BY 1"
    )
    return Statement(whole.viewer, sql, {"database": whole.database, **parameters})


def server_names(viewer: Viewer, database: str, since_ms: int) -> Statement:
    """Every server that has rows; one that sends no heartbeats too."""
    sql = (
        f"SELECT DISTINCT server FROM {DELIVERIES} WHERE {VIEWER}"
        " AND queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
    )
    return Statement(viewer, sql, {"database": database, "since_ms": since_ms})
