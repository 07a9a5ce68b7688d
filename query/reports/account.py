"""`postwatch report`: what happened to an account's mail, a page at a time, newest first.

A page shows each row once and in its last version, by its last event unless it is asked for by the time when the
message was sent; never a row whose last event is older than the days asked for, and never more rows than its limit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from postwatch.query.errors import TooManyRowsError
from postwatch.query.filters import RESULT_WORDS, OwnDomains, SystemUser, account_words
from postwatch.query.labels import label
from postwatch.query.orders import Position, encode_cursor, is_by_time
from postwatch.query.reports.account_question import (
    AccountFilters,
    AccountQuestion,
    is_unfiltered,
    own_domains,
    read_question,
)
from postwatch.query.reports.account_window import (
    MOST_SERVERS,
    Window,
    newest_bound,
    newest_rows,
    overview,
    row_counts,
    server_names,
)
from postwatch.query.reports.deliveries import Deliveries, DeliveriesReport
from postwatch.query.reports.report import DAY_MS, Tables
from postwatch.query.reports.sorted_rows import read_sorted
from postwatch.query.shapes import DeliveryShape, Shape, Time
from postwatch.query.statements import Row, Span
from postwatch.query.translation import NN_, gettext, ngettext
from postwatch.query.wording import count, visible
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.contracts.outcome import RESULTS, iso_time
from pydantic import Field

NEAR_DAYS = 2
"""The newest rows are searched in this many days first: a busy account has a full page there."""
_MAX_SOUGHT_ROWS = 1_000_000
OVERVIEW_ROWS = 400_000
"""What the primary key narrows a mailbox to has a granule or two of each part; so many rows take less than a second."""
FILE_PAGE_ROWS = 5_000
"""Rows that a file reads at a time: few enough for memory, enough for the cost of a page not to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMail(Deliveries):
    """One page of an account's mail."""

    filters: AccountFilters
    by_status: dict[str, int]
    """Rows of all pages by status, whatever status was asked for."""
    servers: frozenset[str] | None = None
    """The servers that the account's mail passed; None: this question did not tell."""

    @property
    def counts(self) -> dict[str, int]:
        """Rows of all pages by result."""
        found = dict.fromkeys(RESULT_WORDS, 0)
        for status, number in self.by_status.items():
            result = RESULTS.get(status, status)
            found[result] = found.get(result, 0) + number
        return found


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
    has_download = True

    def answer(self, tables: Tables, question: AccountQuestion) -> AccountMail:
        return newest_mail(tables, read_question(question, tables.retention_days, tables.page_rows, tables.find_ids))

    def pages(self, tables: Tables, question: AccountQuestion) -> Iterator[AccountMail]:
        return mail_pages(tables, read_question(question, tables.retention_days, tables.page_rows, tables.find_ids))

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

    def only_account(self, answer: AccountMail) -> str:
        return account_words(answer.filters.account)

    def footer(self, answer: AccountMail) -> str:
        kept = f"the last {count(answer.filters.days, 'day')}"
        more = "; there are more" if answer.next_cursor else ""
        return f"{count(len(answer.rows), 'row')} of {kept}, newest first, times in UTC{more}."

    def nothing_found(self, answer: AccountMail) -> str:
        asked_for = answer.filters
        narrowed = []
        if asked_for.recipient:
            narrowed.append(gettext("recipient %(text)s", text=visible(asked_for.recipient)))
        if asked_for.statuses:
            words = gettext(" or ").join(map(label, asked_for.status.split(",")))
            narrowed.append(gettext("status %(text)s", text=words))
        if asked_for.text:
            narrowed.append(gettext("text %(text)s", text=visible(asked_for.text)))
        one, many = _NOTHING_FOUND[bool(asked_for.after), bool(narrowed)]
        values = {"filters": gettext(" and ").join(narrowed)} if narrowed else {}
        return ngettext(one, many, asked_for.days, account=visible(account_words(asked_for.account)), **values)


_NOTHING_FOUND = {
    # (behind a cursor, narrowed by more filters)
    (False, False): NN_(
        "No mail found for %(account)s in the last day.",
        "No mail found for %(account)s in the last %(num)s days.",
    ),
    (True, False): NN_(
        "No older mail found for %(account)s in the last day.",
        "No older mail found for %(account)s in the last %(num)s days.",
    ),
    (False, True): NN_(
        "No mail found for %(account)s in the last day with %(filters)s.",
        "No mail found for %(account)s in the last %(num)s days with %(filters)s.",
    ),
    (True, True): NN_(
        "No older mail found for %(account)s in the last day with %(filters)s.",
        "No older mail found for %(account)s in the last %(num)s days with %(filters)s.",
    ),
}


REPORT = AccountReport()


def newest_mail(tables: Tables, wanted: AccountFilters) -> AccountMail:
    """The page of rows that the filters ask for, and the counts of all pages."""
    window = open_window(tables, wanted)
    if is_by_time(wanted.by, wanted.is_ascending):
        with contextlib.suppress(TooManyRowsError):
            return _overview(tables, window)
    counts = dict.fromkeys(RESULTS, 0)
    if is_by_time(wanted.by, wanted.is_ascending):
        rows, place = _read_newest(tables, window)
        counted = tables.read(row_counts(window))
    else:
        counted = tables.read(row_counts(window))
        rows, place = read_sorted(tables, window, max((int(last_ms) for _, _, last_ms in counted), default=0))
    counts.update({str(status): int(number) for status, number, _ in counted})
    return _mail(tables, window, rows, place, counts)


def _overview(tables: Tables, window: Window) -> AccountMail:
    """The same in one statement. Raises TooManyRowsError where the account has too many rows for that."""
    wanted = window.wanted
    counts = dict.fromkeys(RESULTS, 0)
    servers: set[str] = set()
    found: list[Row] = []
    for status, number, _, names, rows in tables.read(overview(window, OVERVIEW_ROWS)):
        counts[str(status)] = int(number)
        servers.update(names)
        found += rows
    found.sort(key=lambda row: (row[0], row[1]))  # of each status they are sorted already
    page = [row[2:] for row in found[: wanted.limit]]
    place = Position(wanted.by, -found[len(page) - 1][0], page[-1][0]) if len(found) > wanted.limit else None
    mail = _mail(tables, window, page, place, counts)
    is_all = is_unfiltered(wanted) and len(servers) < MOST_SERVERS
    return replace(mail, servers=frozenset(servers) if is_all else None)


def mail_pages(tables: Tables, wanted: AccountFilters) -> Iterator[AccountMail]:
    """All rows that the filters ask for, the newest message first, without counts.

    By the time when a message was sent, whatever order was asked for: that time never changes, so each row comes once,
    in its last version, also if it changes meanwhile.
    """
    wanted = replace(wanted, by="sent", is_ascending=False, after=None, limit=FILE_PAGE_ROWS)
    window = open_window(tables, wanted, reads_status=bool(wanted.statuses))
    place: Position | None = None
    while True:
        window = replace(window, wanted=replace(window.wanted, after=place))
        mail, place = _file_page(tables, window)
        yield mail
        del mail  # before the next one is read: one page is in memory, and not two
        if place is None:
            return


def _file_page(tables: Tables, window: Window) -> tuple[AccountMail, Position | None]:
    rows, place = _read_newest(tables, window)
    return _mail(tables, window, rows, place, {}), place


def open_window(tables: Tables, wanted: AccountFilters, *, reads_status: bool = True) -> Window:
    """Everything that the filters ask for."""
    since_ms = max(tables.now_ms - wanted.days * DAY_MS, wanted.since_ms or 0)
    if isinstance(wanted.account, OwnDomains):
        wanted = replace(wanted, account=own_domains(tables.viewer))
    if isinstance(wanted.account, SystemUser):
        names = server_names(tables.viewer, tables.database, since_ms - tables.open_ms)
        servers = tuple(server for (server,) in tables.read(names))
        wanted = replace(wanted, account=replace(wanted.account, servers=servers))
    window = Window(
        tables.viewer, tables.database, wanted, since_ms, tables.open_ms, tables.followed_columns, names=tables.names
    )
    if not reads_status:
        return window
    return replace(window, last=tables.last_status(*window.everything()))


def _mail(
    tables: Tables, window: Window, rows: list[Row], place: Position | None, by_status: dict[str, int]
) -> AccountMail:
    ids = tables.ids
    return AccountMail(
        since_ms=window.since_ms,
        rows=tables.visible(tables.follow(window.columns.decode(row[1:], ids) for row in rows)),
        next_cursor=encode_cursor(place, ids) if place else "",
        has_more=bool(place),
        filters=window.wanted,
        by_status=by_status,
    )


def _read_newest(tables: Tables, window: Window) -> tuple[list[Row], Position | None]:
    """The newest rows, and the place of the last one if there are more behind it.

    In two steps, again and again until the page is full or the days are over: how far back the newest rows reach,
    which is cheap but counts old versions of rows too; then the rows since then in their last versions.
    """
    wanted = window.wanted
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
    page = rows[: wanted.limit]
    if len(rows) < needed:
        return page, None
    last = window.columns.decode(page[-1][1:])
    return page, Position(wanted.by, last.queued_at if wanted.by == "sent" else last.updated_at, page[-1][0])


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
