"""`postwatch report`: what happened to an account's mail, a page at a time, newest first.

A page shows each row once and in its last version, by its last event unless it is asked for by the time when the
message was sent; never a row whose last event is older than the days asked for, and never more rows than its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from postwatch.query import filters
from postwatch.query.errors import FilterError
from postwatch.query.filters import AccountScope, Position, SystemUser, account_words
from postwatch.query.privacy import visible_row
from postwatch.query.reports.deliveries import Deliveries, DeliveriesReport
from postwatch.query.reports.report import DAY_MS, Tables, asked
from postwatch.query.search import text_condition
from postwatch.query.shapes import DeliveryShape, Shape, Time
from postwatch.query.statements import (
    DELIVERIES,
    ROW_COLUMNS,
    ROW_HASH,
    SHOWN,
    VIEWER,
    Row,
    Span,
    Statement,
    decode_row,
    scope_conditions,
)
from postwatch.query.viewer import Viewer
from postwatch.query.wording import count, visible
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field

NEAR_DAYS = 2
"""The newest rows are searched in this many days first: a busy account has a full page there."""
_MAX_SOUGHT_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class AccountQuestion:
    """What people ask, in their words. Empty text means: any."""

    account: str = asked(doc="a mailbox (user@domain), a system user (root, or root@server), or a domain (@domain)")
    days: int | None = asked(None, doc="the last N days (default: 30, or the retention if that is shorter)")
    recipient: str = asked("", doc="only this recipient: an address or a part of it, upper or lower case")
    status: str = asked("", doc="only this status", choices=filters.STATUS_WORDS)
    direction: str = asked("", doc="only sent, or only received mail", choices=filters.DIRECTIONS)
    text: str = asked("", doc="only rows with this text: sender, recipient, subject, ids, client, remote server, reply")
    since: str = asked("", doc="the last event at or after this time: YYYY-MM-DD, or YYYY-MM-DD HH:MM (UTC)")
    until: str = asked("", doc="the last event before the end of this day, or before this time")
    limit: int | None = asked(None, doc=f"rows on a page, 1 to {filters.MAX_PAGE_ROWS} (default: 50)")
    by: str = asked("event", doc="order by the last event, or by when it was sent", choices=filters.ORDERS)
    cursor: str = asked("", doc="show the next page: next_cursor of the page before")
    bounces: bool = asked(False, doc="also list the bounce messages that our servers sent for a listed message")


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """A question that was checked. Empty text means: any."""

    account: AccountScope
    days: int
    limit: int
    recipient: str = ""
    status: str = ""
    direction: str = ""
    text: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    by: str = "event"
    """The order: one of filters.ORDERS."""
    after: Position | None = None
    """Only the rows behind this place: the next page."""
    bounces: bool = False
    """Also the bounces that our servers sent for a message: its own rows tell the same."""


def read_question(question: AccountQuestion, retention_days: int, page_rows: int) -> AccountFilters:
    """People's words → filters. Raises FilterError that names the filter and what it takes."""
    by = filters.read_order(question.by)
    after = filters.decode_cursor(question.cursor) if question.cursor else None
    if after is not None and after.by != by:
        raise FilterError("the cursor belongs to --by %(by)s: ask with that, or leave the cursor out", by=after.by)
    since_ms = filters.read_moment(question.since, "since")
    until_ms = filters.read_moment(question.until, "until", is_end=True)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise FilterError(
            "since %(since)s is not before until %(until)s: nothing lies between them",
            since=repr(question.since),
            until=repr(question.until),
        )
    return AccountFilters(
        account=filters.read_account(question.account),
        days=filters.read_days(question.days, retention_days),
        limit=filters.read_limit(question.limit, page_rows),
        recipient=filters.clean_text(question.recipient, "recipient"),
        status=filters.read_status(question.status),
        direction=filters.read_direction(question.direction),
        text=filters.clean_text(question.text, "text"),
        since_ms=since_ms,
        until_ms=until_ms,
        by=by,
        after=after,
        bounces=question.bounces,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMail(Deliveries):
    """One page of an account's mail."""

    filters: AccountFilters
    counts: dict[str, int]
    """Rows of all pages by result, whatever status was asked for."""


class DeliveriesShape(Shape):
    """A page of an account's mail."""

    account: str
    days: int
    since: Time
    counts: dict[str, int] = Field(
        description="Rows of all pages by result: accepted, failed, pending, discarded; whatever status was asked for."
    )
    deliveries: list[DeliveryShape]
    next_cursor: str | None = Field(description="Ask with it for the next, older page; null: there is none.")
    stale_servers: list[str] = Field(
        description=f"Servers silent for more than {STALE_AFTER_SECONDS} s: their newest mail may be missing."
    )


class AccountReport(DeliveriesReport[AccountQuestion, AccountMail]):
    """What happened to an account's mail, newest first."""

    question = AccountQuestion
    path = "/api/v1/accounts/{account:path}/deliveries"
    operation = "account_deliveries"
    page = "/"
    title = "Track Delivery"
    template = "track.html"
    shape_type = DeliveriesShape

    def answer(self, tables: Tables, question: AccountQuestion) -> AccountMail:
        return newest_mail(tables, read_question(question, tables.retention_days, tables.page_rows))

    def shape(self, answer: AccountMail, silent_servers: list[str]) -> DeliveriesShape:
        return DeliveriesShape(
            account=account_words(answer.filters.account),
            days=answer.filters.days,
            since=iso_time(answer.since_ms),
            counts=answer.counts,
            deliveries=[DeliveryShape.of(row) for row in answer.rows],
            next_cursor=answer.next_cursor or None,
            stale_servers=silent_servers,
        )

    def footer(self, answer: AccountMail) -> str:
        kept = f"the last {count(answer.filters.days, 'day')}"
        more = "; there are more" if answer.next_cursor else ""
        return f"{count(len(answer.rows), 'row')} of {kept}, newest first, times in UTC{more}."

    def nothing_found(self, answer: AccountMail) -> str:
        asked_for = answer.filters
        older = "older " if asked_for.after else ""
        where = f"{visible(account_words(asked_for.account))} in the last {count(asked_for.days, 'day')}"
        narrowed = []
        if asked_for.recipient:
            narrowed.append(f"recipient {visible(asked_for.recipient)}")
        if asked_for.status:
            narrowed.append(f"status {asked_for.status}")
        if asked_for.text:
            narrowed.append(f"text {visible(asked_for.text)}")
        return f"No {older}mail found for {where}{' with ' if narrowed else ''}{' and '.join(narrowed)}."


REPORT = AccountReport()


def newest_mail(tables: Tables, wanted: AccountFilters) -> AccountMail:
    """The page of rows that the filters ask for.

    In two steps, again and again until the page is full or the days are over: how far back the newest rows reach,
    which is cheap but counts old versions of rows too; then the rows since then in their last versions.
    """
    since_ms = max(tables.now_ms - wanted.days * DAY_MS, wanted.since_ms or 0)
    asked_for = wanted
    if isinstance(wanted.account, SystemUser):
        names = server_names(tables.viewer, tables.database, since_ms - tables.open_ms)
        servers = tuple(server for (server,) in tables.read(names))
        asked_for = replace(wanted, account=replace(wanted.account, servers=servers))
    window = Window(tables.viewer, tables.database, asked_for, since_ms, tables.open_ms)
    needed = wanted.limit + 1  # one more tells whether there is a next page
    sought = needed + needed // 4  # some are old versions
    until_ms = None if wanted.by == "sent" else wanted.until_ms
    rows: list[Row] = []
    while True:
        span = _newest_span(tables, window, Span(window.earliest_ms, until_ms), sought)
        rows += tables.read(newest_rows(window, span, needed - len(rows)))
        if len(rows) >= needed or span.since_ms <= window.earliest_ms:
            break
        until_ms = span.since_ms
        sought = min(sought * 4, _MAX_SOUGHT_ROWS)
    page = [decode_row(row[1:]) for row in rows[: wanted.limit]]
    cursor = ""
    if len(rows) >= needed:
        last_ms = page[-1].queued_at if wanted.by == "sent" else page[-1].updated_at
        cursor = filters.encode_cursor(Position(wanted.by, last_ms, rows[len(page) - 1][0]))
    shown = tuple(visible_row(tables.viewer, row) for row in page)
    counts = dict.fromkeys(filters.RESULT_WORDS, 0)
    counts.update({str(result): int(number) for result, number in tables.read(row_counts(window))})
    return AccountMail(
        since_ms=since_ms, rows=shown, next_cursor=cursor, has_more=bool(cursor), filters=wanted, counts=counts
    )


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

    @property
    def column(self) -> str:
        """What the rows are ordered by."""
        return "queued_at" if self.wanted.by == "sent" else "updated_at"

    @property
    def earliest_ms(self) -> int:
        """No row is older than this, by that column."""
        return self.since_ms - self.open_ms if self.wanted.by == "sent" else self.since_ms

    def conditions(self, span: Span) -> tuple[str, dict[str, Any]]:
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
            conditions.append(text_condition(self.viewer))
            parameters["text"] = wanted.text
        if wanted.status:
            conditions.append(f"{'result' if wanted.status in filters.RESULT_WORDS else 'status'} = {{status:String}}")
            parameters["status"] = wanted.status
        if not wanted.bounces:
            conditions.append("NOT (sender = '' AND parent_queue_id != '')")
        if wanted.after:
            after = "fromUnixTimestamp64Milli({after_ms:Int64})"
            # The first condition lets the primary key be used; the second is exact.
            conditions.append(f"{self.column} <= {after}")
            conditions.append(f"({self.column}, {ROW_HASH}) < ({after}, {{after_hash:UInt64}})")
            parameters |= {"after_ms": wanted.after.at_ms, "after_hash": wanted.after.row_hash}
        return " AND ".join(conditions), parameters

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
        return Statement(self.viewer, sql, {"database": self.database, "rows": rows, **parameters})


def _newest_span(tables: Tables, window: Window, whole: Span, sought: int) -> Span:
    """The end of `whole` that has its newest `sought` rows, or all of it."""
    newest_ms = tables.now_ms if whole.until_ms is None else whole.until_ms
    if window.wanted.after:
        newest_ms = min(newest_ms, window.wanted.after.at_ms)
    near = Span(newest_ms - NEAR_DAYS * DAY_MS, whole.until_ms)
    for span in (near, whole) if near.since_ms > whole.since_ms else (whole,):
        ((earliest_ms, found),) = tables.read(newest_bound(window, span, sought))
        if found >= sought:
            return Span(earliest_ms, whole.until_ms)
    return whole


def newest_bound(window: Window, span: Span, rows: int) -> Statement:
    """How far back the newest `rows` matching rows reach: (the earliest time in ms, their number, at most `rows`).

    Without FINAL: old versions of rows count too, so fewer rows may remain.
    """
    where, parameters = window.conditions(span)
    sql = (
        f"SELECT toUnixTimestamp64Milli(min({window.column})), count() FROM (SELECT {window.column}"
        f" FROM {DELIVERIES} WHERE {VIEWER} AND {where} ORDER BY {window.column} DESC LIMIT {{rows:UInt32}})"
    )
    return window.statement(sql, rows, parameters)


def newest_rows(window: Window, span: Span, rows: int) -> Statement:
    """The newest `rows` matching rows of the span, each in its last version: ROW_HASH, and then ROW_COLUMNS."""
    where, parameters = window.conditions(span)
    sql = (
        f"SELECT {ROW_HASH}, {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND {where}{window.one_of_each()}"
        f" ORDER BY {window.column} DESC, {ROW_HASH} DESC LIMIT {{rows:UInt32}}"
    )
    return window.statement(sql, rows, parameters)


def row_counts(window: Window) -> Statement:
    """The rows of all pages by result: (result, number)."""
    whole = replace(window, wanted=replace(window.wanted, status="", after=None))
    where, parameters = whole.conditions(Span(whole.earliest_ms))
    sql = (
        f"SELECT result, count() FROM {DELIVERIES} FINAL WHERE {VIEWER} AND {where}{whole.one_of_each()}"
        " GROUP BY result ORDER BY result"
    )
    return Statement(whole.viewer, sql, {"database": whole.database, **parameters})


def server_names(viewer: Viewer, database: str, since_ms: int) -> Statement:
    """Every server that has rows; one that sends no heartbeats too."""
    sql = (
        f"SELECT DISTINCT server FROM {DELIVERIES} WHERE {VIEWER}"
        " AND queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
    )
    return Statement(viewer, sql, {"database": database, "since_ms": since_ms})
