"""The statements of the search: how far back the newest rows reach, and those rows in their last versions.

Across the fleet no primary key narrows the rows. So their keys are found without FINAL, by indexes where there are
some, and only the rows of these keys are read with it. The outer condition repeats the inner one: a newer version may
say otherwise. No statement reads a row outside the window, nor one that the viewer may not see.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from postwatch.query.hops.fates import OWN_STATUS, LastStatus
from postwatch.query.hops.own_servers import NO_NAMES, OwnNames
from postwatch.query.reports.report import Tables
from postwatch.query.reports.search_question import SearchFilters
from postwatch.query.search import Alternative, of_read_rows, rare_term_conditions, term_conditions
from postwatch.query.search_terms import Term, ascii_lower
from postwatch.query.statements import (
    ALL_COLUMNS,
    ARRIVALS,
    DELIVERIES,
    HAS_QUEUE_ID,
    MAY_HAVE_MESSAGE_KEY,
    MESSAGE_KEY,
    NOT_COMPILED,
    OURS,
    ROW_HASH,
    SEES_TARGET,
    STATES,
    VIEWER,
    MessageKey,
    RowColumns,
    Span,
    Statement,
    of_keys,
    one_of_each,
)
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import KEY
from postwatch.streams.contracts.version import ARRIVALS_SHIFT, TIME_SHIFT

_KEY = ", ".join(KEY)
MOST_LATE = 100_000
"""Of what was inserted late at once, the newest are looked at."""


@dataclass(frozen=True, slots=True)
class SearchWindow:
    """The rows that a search is about, whichever page of them."""

    viewer: Viewer
    database: str
    wanted: SearchFilters
    term: Term | None
    """What the text is taken for; None: there is no text."""
    since_ms: int
    """Of the last event."""
    open_ms: int
    """The longest time from a message's first event to its last."""
    by_sent: bool = False
    """In the order of the time when the messages were sent, which never changes: for files."""
    most_rows: int = 0
    """For a rare term: by the indexes, and no more than so many rows may be read; 0: as many as have to be."""
    columns: RowColumns = ALL_COLUMNS
    names: OwnNames = NO_NAMES
    """Of our servers, which this viewer is not told."""
    last: LastStatus | None = None
    """How the status of the rows of a span is read; None: each row's own."""

    @property
    def column(self) -> str:
        return "queued_at" if self.by_sent else "updated_at"

    @property
    def earliest_ms(self) -> int:
        """No row is older than this, by that column."""
        return self.since_ms - self.open_ms if self.by_sent else self.since_ms

    def alternatives(self) -> tuple[list[Alternative], dict[str, Any]]:
        """Conditions of which one must be true, and their parameters."""
        if not self.term:
            return [Alternative("1")], {}
        if self.most_rows:
            return rare_term_conditions(self.viewer, self.term)
        found, values = term_conditions(self.viewer, self.term, self._names_ours(self.term))
        own = self.names.own.parameters() if any(OURS in one for one in found) else {}
        return [*map(Alternative, found)], values | own

    def _names_ours(self, term: Term) -> bool:
        return any(map(self.names.may_be_named_by, (term.text, *term.words)))

    @property
    def beginning(self) -> str:
        """What each statement begins with."""
        return self.last.beginning if self.last else ""

    def everything(self, span: Span) -> tuple[str, dict[str, Any]]:
        """What is true of each row, whatever its status."""
        any_of, values = self.alternatives()
        where, more = replace(self, wanted=replace(self.wanted, statuses=())).conditions(span)
        return f"({' OR '.join(f'({one.sql})' for one in any_of)}) AND {where}", values | more

    def conditions(self, span: Span) -> tuple[str, dict[str, Any]]:
        """What must be true beside them."""
        wanted = self.wanted
        status = self.last.sql if self.last else "status"
        found = ["updated_at >= fromUnixTimestamp64Milli({since_ms:Int64})"]
        values: dict[str, Any] = {"since_ms": self.since_ms if self.by_sent else span.since_ms}
        if self.by_sent or not self.most_rows:  # to compare it with each granule's key takes longer than a rare term
            found.append("queued_at >= fromUnixTimestamp64Milli({queued_since_ms:Int64})")
            # The partitions go by queued_at.
            values["queued_since_ms"] = span.since_ms if self.by_sent else span.since_ms - self.open_ms
        if span.until_ms is not None:
            found.append(f"{self.column} < fromUnixTimestamp64Milli({{until_ms:Int64}})")
            values["until_ms"] = span.until_ms
        if wanted.until_ms is not None:
            found.append("updated_at < fromUnixTimestamp64Milli({end_ms:Int64})")
            values["end_ms"] = wanted.until_ms
        for condition, name, value in (
            ("lower(server) = {server:String}", "server", wanted.server),
            ("direction = {direction:String}", "direction", wanted.direction),
            (f"{status} IN {{statuses:Array(String)}}", "statuses", list(wanted.statuses)),
            ("reason = {reason:String}", "reason", wanted.reason),
            (
                f"lower(remote_provider) = {{provider:String}} AND {SEES_TARGET}",
                "provider",
                ascii_lower(wanted.provider),
            ),
        ):
            if value:
                found.append(condition)
                values[name] = value
        if wanted.least_bytes is not None:
            found.append("size_bytes >= {least_bytes:UInt64}")
            values["least_bytes"] = wanted.least_bytes
        if wanted.most_bytes is not None:  # a size of 0 is not known
            found.append("size_bytes BETWEEN 1 AND {most_bytes:UInt64}")
            values["most_bytes"] = wanted.most_bytes
        if wanted.after:
            after = "fromUnixTimestamp64Milli({after_ms:Int64})"
            found.append(f"{self.column} <= {after}")
            found.append(f"({self.column}, {ROW_HASH}) < ({after}, {{after_hash:UInt64}})")
            values |= {"after_ms": wanted.after.at_ms, "after_hash": wanted.after.row_hash}
        return " AND ".join(found), values

    @property
    def limits(self) -> str:
        """What ends a statement that finds rows."""
        if not self.most_rows:
            return ""
        # Counted behind the indexes. To read the columns of the newest rows afterwards takes longer for so few.
        return (
            f" SETTINGS max_rows_to_read = {self.most_rows:d}, use_skip_indexes_on_data_read = 0,"
            f" query_plan_optimize_lazy_materialization = 0, {NOT_COMPILED}"
        )

    @property
    def keys_from(self) -> str:
        """Where the keys are found: without a text all that is asked for is in the slim table."""
        is_slim = self.term is None and self.viewer.sees_all and self.last is None
        return STATES if is_slim else DELIVERIES

    def statement(self, sql: str, rows: int, values: dict[str, Any]) -> Statement:
        known = self.last.parameters if self.last else {}
        return Statement(self.viewer, sql, {"database": self.database, "rows": rows, **known, **values})


def with_last_status(tables: Tables, window: SearchWindow, span: Span) -> SearchWindow:
    """The window for statements over this span."""
    if not window.wanted.statuses:
        return window
    last = tables.last_status(*window.everything(span))
    return window if last is OWN_STATUS else replace(window, last=last)


def newest_bound(window: SearchWindow, span: Span, rows: int) -> Statement:
    """How far back the newest `rows` matching rows reach: (the earliest time in ms, their number, at most `rows`).

    Without FINAL: old versions count too, and a row that has the term twice counts twice; so fewer rows may remain.
    """
    found, values = _newest(window, span, f"{window.column} AS at")
    sql = f"{window.beginning}SELECT toUnixTimestamp64Milli(min(at)), count() FROM ({found}){window.limits}"
    return window.statement(sql, rows, values)


def newest_keys(window: SearchWindow, span: Span, rows: int) -> Statement:
    """The same `rows` rows themselves, newest first: the columns of MessageKey, and the time that they go by in ms."""
    found, values = _newest(window, span, f"{MESSAGE_KEY}, {window.column} AS at")
    sql = (
        f"{window.beginning}SELECT * EXCEPT (at), toUnixTimestamp64Milli(at) FROM ({found})"
        f" ORDER BY at DESC{window.limits}"
    )
    return window.statement(sql, rows, values)


def _newest(window: SearchWindow, span: Span, columns: str) -> tuple[str, dict[str, Any]]:
    any_of, values = window.alternatives()
    where, more = window.conditions(span)
    found = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {columns} FROM {one.rows_of(window.keys_from)} AND {where}"
        " ORDER BY at DESC LIMIT {rows:UInt32})"
        for one in any_of
    )
    return f"SELECT * FROM ({found}) ORDER BY at DESC LIMIT {{rows:UInt32}}", values | more


def newest_rows(window: SearchWindow, span: Span, rows: int, keys: Collection[MessageKey] | None = None) -> Statement:
    """The newest `rows` matching rows of the span, each in its last version: ROW_HASH, and then the columns.

    `keys`: of every row of the span that matches in any version; others may be among them. None: they are not known.
    All versions of a row have its key, so of those that a key finds the newest is the last.
    """
    any_of, values = window.alternatives()
    where, more = window.conditions(span)
    either = " OR ".join(f"({of_read_rows(one.sql)})" for one in any_of)
    settings = ""
    if keys is None:
        found = " UNION ALL ".join(f"SELECT {_KEY} FROM {one.rows_of(window.keys_from)} AND {where}" for one in any_of)
        is_one = Alternative(f"({_KEY}) GLOBAL IN (SELECT DISTINCT * FROM ({found}))")
    else:
        is_one = Alternative(MAY_HAVE_MESSAGE_KEY, HAS_QUEUE_ID)
        more |= of_keys(keys)
        settings = f" SETTINGS {NOT_COMPILED}"
    sql = (
        f"{window.beginning}SELECT {ROW_HASH}, {window.columns.sql} FROM"
        f" (SELECT * FROM {is_one.rows_of(DELIVERIES)}"
        f" ORDER BY version DESC LIMIT 1 BY {_KEY})"
        f" WHERE is_deleted = 0 AND ({either}) AND {where} AND {one_of_each(window.viewer, DELIVERIES)}"
        f" ORDER BY {window.column} DESC, {ROW_HASH} DESC LIMIT {{rows:UInt32}}{settings}"
    )
    return window.statement(sql, rows, values | more)


_LATE = (
    f"SELECT account_domain, account, queued_at, row_key, version FROM {ARRIVALS}"
    " WHERE inserted_at > now64(3) - toIntervalMillisecond({window_ms:UInt64})"
    f" AND bitAnd(bitShiftRight(version, {TIME_SHIFT}), {(1 << ARRIVALS_SHIFT - TIME_SHIFT) - 1})"
    " < {before_ms:UInt64}"
    " ORDER BY inserted_at DESC LIMIT {late:UInt32}"
)
"""The keys of rows that were inserted lately, of which the version says that their last event is older."""


def number_of_late(window: SearchWindow, window_ms: int, before_ms: int) -> Statement:
    """How many rows were inserted within the last `window_ms` by ClickHouse's clock, with an event before that time."""
    values = {"window_ms": window_ms, "before_ms": before_ms, "late": MOST_LATE}
    return window.statement(f"SELECT count() FROM ({_LATE})", MOST_LATE, values)


def late_rows(window: SearchWindow, window_ms: int, before_ms: int, rows: int) -> Statement:
    """Those of them that match, each if it is still in this version: ROW_HASH, and then the columns. For engineers."""
    any_of, values = window.alternatives()
    where, more = window.conditions(Span(window.earliest_ms))
    either = " OR ".join(f"({one.sql})" for one in any_of)
    sql = (
        f"{window.beginning}SELECT {ROW_HASH}, {window.columns.sql} FROM {DELIVERIES} FINAL WHERE {VIEWER}"
        " AND (account_domain, account, queued_at) GLOBAL IN"
        f" (SELECT account_domain, account, queued_at FROM ({_LATE}))"
        f" AND ({ROW_HASH}, version) GLOBAL IN (SELECT row_key, version FROM ({_LATE}))"
        f" AND ({either}) AND {where} ORDER BY updated_at DESC, {ROW_HASH} DESC LIMIT {{rows:UInt32}}"
    )
    known = {"window_ms": window_ms, "before_ms": before_ms, "late": MOST_LATE}
    return window.statement(sql, rows, {**values, **more, **known})


def is_own_server(window: SearchWindow) -> Statement:
    """A row where the host that is searched for is one of our servers: no index knows those."""
    sql = f"SELECT 1 FROM {STATES} WHERE {VIEWER} AND lower(server) = {{host:String}} LIMIT 1"
    return window.statement(sql, 1, {"host": window.term.text if window.term else ""})
