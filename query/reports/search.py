"""`postwatch search`: mail of the whole fleet by an id, an address, a domain, a host, words, or filters alone.

A page shows each row once and in its last version, newest event first; never a row that the viewer may not see, nor one
older than the days asked for. The newest hours are searched first, so a common word costs little. Where a limit ends
the search, the answer says how far back it got.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from urllib.parse import urlencode

from postwatch.query.details import status_words
from postwatch.query.errors import TooLargeError
from postwatch.query.filters import MAX_PAGE_ROWS
from postwatch.query.orders import Position, encode_cursor
from postwatch.query.reports.deliveries import Deliveries, DeliveriesReport
from postwatch.query.reports.report import DAY_MS, Tables
from postwatch.query.reports.search_question import SearchFilters, SearchQuestion, read_search
from postwatch.query.reports.search_window import (
    SearchWindow,
    is_own_server,
    late_rows,
    newest_bound,
    newest_keys,
    newest_rows,
    number_of_late,
    with_last_status,
)
from postwatch.query.reports.trace import REPORT as TRACE
from postwatch.query.reports.trace import without_partial
from postwatch.query.reports.whole_rows import MOST_WHOLE, FoundRows, is_whole, whole_rows
from postwatch.query.search import rare_term_conditions
from postwatch.query.search_terms import HOST, KINDS, MESSAGE_ID, NAMES, QUEUE_ID, Term
from postwatch.query.shapes import DeliveryShape, Shape, Time
from postwatch.query.statements import Delivery, MessageKey, Row, Span
from postwatch.query.terminal import cut_end, delivery_lines
from postwatch.query.translation import gettext
from postwatch.query.wording import count, utc_time, visible
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

STEPS_MS = (DAY_MS // 24, DAY_MS, 7 * DAY_MS)
"""So far back is searched first, and so far next."""
MOST_SECONDS = 20.0
"""No further step begins after so long."""
_MAX_SOUGHT_ROWS = 100_000
MOST_KEYS = 10_000
"""So many rows at most are read by keys that were read before; of more, ClickHouse keeps the keys."""
MOST_ROWS_AT_ONCE = 1_000_000
"""A term is rare where the indexes leave at most so many rows to read: the whole window is searched at once."""
FILE_PAGE_ROWS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Deliveries):
    """One page of what was found."""

    filters: SearchFilters
    term: Term | None
    """What the text was taken for; None: there is no text."""
    is_complete: bool = True
    """Whether all of the days were searched, as far as the page needs it; if not, `since_ms` tells how far back."""

    @property
    def taken_for(self) -> str:
        return gettext(NAMES[self.term.kind]) if self.term else ""

    def other_kinds(self) -> list[tuple[str, str]]:
        """What else the text may be taken for: the kind, and its name."""
        return [(kind, gettext(NAMES[kind])) for kind in KINDS if self.term and kind != self.term.kind]


class FoundShape(Shape):
    """A page of what was found, newest event first."""

    q: str = Field(description="What was searched for.")
    kind: str = Field(description="What it was taken for; ask with `kind` to say otherwise. Empty: there is no text.")
    since: Time = Field(description="Nothing older was searched.")
    is_complete: bool = Field(
        description="false: the search met a limit at `since`, and whether there is older mail is not known."
    )
    deliveries: list[DeliveryShape]
    next_cursor: str | None = Field(description="Ask with it for the next, older page; null: there is none.")
    stale_servers: list[str] = Field(
        description=f"Servers silent for more than {STALE_AFTER_SECONDS} s: their newest mail may be missing."
    )


class SearchReport(DeliveriesReport[SearchQuestion, Found]):
    """Mail of all accounts that you may see, by an id, an address, a domain, an IP address, a host or words."""

    question = SearchQuestion
    path = "/api/v1/search"
    operation = "search"
    page = "/search"
    title = "Search"
    template = "search.html"
    has_link = False
    has_download = True
    shape_type = FoundShape

    can_follow = True

    def key_of(self, row: Delivery) -> Hashable:
        return row.id, row.version

    def line(self, row: Delivery, width: int) -> Text:
        words = f"{utc_time(row.updated_at)}  {status_words(row)}  {visible(row.recipient)}  {visible(row.response)}"
        return Text(f"{cut_end(words, width - len(row.id) - 2)}  {row.id}")

    def answer(self, tables: Tables, question: SearchQuestion) -> Found:
        wanted = read_search(question, tables.viewer, tables.retention_days, tables.page_rows, tables.find_ids)
        found = None
        for term in wanted.terms or (None,):
            found = _newest(tables, _window(tables, wanted, term))
            if found.rows or not found.is_complete:
                return found
        assert found is not None
        return replace(found, term=wanted.terms[0]) if wanted.terms else found

    def late(self, tables: Tables, question: SearchQuestion, window_ms: int, before_ms: int) -> Found | None:
        wanted = read_search(question, tables.viewer, tables.retention_days, tables.page_rows, tables.find_ids)
        for term in wanted.terms or (None,):
            window = _window(tables, wanted, term)
            if not tables.read(number_of_late(window, window_ms, before_ms))[0][0]:
                return None
            window = with_last_status(tables, window, Span(window.earliest_ms))
            if rows := list(tables.read(late_rows(window, window_ms, before_ms, MAX_PAGE_ROWS))):
                return _found(tables, window, rows, None, window.since_ms, is_complete=True)
        return None

    def pages(self, tables: Tables, question: SearchQuestion) -> Iterator[Found]:
        """By the time when a message was sent, which never changes: so each row comes once, in its last version."""
        first = self.answer(tables, replace(question, limit=1, cursor=""))
        wanted = replace(first.filters, limit=FILE_PAGE_ROWS)
        while True:
            window = replace(_window(tables, wanted, first.term), by_sent=True)
            rows, place, _ = _read(tables, window, gives_up=False)
            yield _found(tables, window, rows, place, window.since_ms, is_complete=True)
            if place is None:
                return
            wanted = replace(wanted, after=place)

    def shape(self, answer: Found, silent_servers: list[str]) -> FoundShape:
        return FoundShape(
            q=answer.term.text if answer.term else "",
            kind=answer.term.kind if answer.term else "",
            since=iso_time(answer.since_ms),
            is_complete=answer.is_complete,
            deliveries=[DeliveryShape.of(row) for row in answer.rows],
            next_cursor=answer.next_cursor or None,
            stale_servers=silent_servers,
        )

    def table(self, answer: Found, width: int) -> Iterator[RenderableType]:
        if answer.rows:
            yield from delivery_lines(answer.rows, width)
            yield Text(self.footer(answer), "dim")
        if words := self.limits_met(answer):
            yield Text(words, "yellow")

    def footer(self, answer: Found) -> str:
        words = f"{count(len(answer.rows), 'row')}, newest event first, times in UTC"
        if answer.term:
            words += f"; taken for {answer.taken_for}"
        return f"{words}{'; there are more' if answer.next_cursor else ''}."

    def nothing_found(self, answer: Found) -> str:
        if not answer.term:
            return gettext("No mail found with these filters.")
        return gettext(
            "No mail found for '%(text)s' as %(kind)s.", text=visible(answer.term.text), kind=answer.taken_for
        )

    def is_certain(self, answer: Found) -> bool:
        return answer.is_complete

    def limits_met(self, answer: Found) -> str:
        if answer.is_complete:
            return ""
        return gettext(
            "The search met its limit and went back to %(time)s only: there may be older mail. Ask for fewer days, or"
            " use more filters.",
            time=utc_time(answer.since_ms),
        )

    def leads_to(self, answer: Found) -> str:
        """An id of one message leads to the message."""
        wanted = answer.filters
        is_plain = wanted == SearchFilters(wanted.terms, wanted.days, wanted.limit)
        if not is_plain or answer.term is None or answer.term.kind not in (QUEUE_ID, MESSAGE_ID) or not answer.rows:
            return ""
        return f"{TRACE.page}?{urlencode({'id': answer.term.text})}"


REPORT = SearchReport()


def _window(tables: Tables, wanted: SearchFilters, term: Term | None) -> SearchWindow:
    since_ms = max(tables.now_ms - wanted.days * DAY_MS, wanted.since_ms or 0)
    return SearchWindow(
        tables.viewer,
        tables.database,
        wanted,
        term,
        since_ms,
        tables.open_ms,
        columns=tables.followed_columns,
        names=tables.names,
    )


def _newest(tables: Tables, window: SearchWindow) -> Found:
    rows, place, since_ms = _read(tables, window, gives_up=True)
    return _found(tables, window, rows, place, max(since_ms, window.since_ms), since_ms <= window.earliest_ms)


def _found(
    tables: Tables, window: SearchWindow, rows: list[Row], place: Position | None, since_ms: int, is_complete: bool
) -> Found:
    ids = tables.ids
    return Found(
        since_ms=since_ms,
        rows=tables.visible(tables.follow(without_partial(window.columns.decode(row[1:], ids) for row in rows))),
        next_cursor=encode_cursor(place, ids) if place else "",
        has_more=bool(place),
        filters=window.wanted,
        term=window.term,
        is_complete=is_complete or bool(place),
    )


def _read(tables: Tables, window: SearchWindow, gives_up: bool) -> tuple[list[Row], Position | None, int]:
    """The newest rows, the place of the last one if there are more behind it, and how far back was searched.

    Of a rare term all at once. Else step by step: the last hour, the rest of the day and so on, until the page is full.
    In each step, again and again until it is full or the step is over: how far back the newest rows reach, without
    FINAL, which counts old versions too; then the rows since then in their last versions.
    """
    needed = window.wanted.limit + 1  # one more tells whether there is a next page
    rows: list[Row] = []
    began = monotonic()
    searched_ms = window.wanted.after.at_ms if window.wanted.after else tables.now_ms
    if (found := _rows_of_rare_term(tables, window, needed)) is not None:
        return _page(window, found, needed)
    for span in _steps(tables, window):
        try:
            if gives_up and monotonic() - began > MOST_SECONDS:
                raise TooLargeError("the search took too long; ask for fewer days, or use more filters")
            rows += _rows_of_step(tables, window, span, needed - len(rows))
        except TooLargeError:
            if not gives_up or span.until_ms is None:  # nothing was searched
                raise
            return rows, None, searched_ms
        searched_ms = span.since_ms
        if len(rows) >= needed:
            break
    return _page(window, rows, needed)


def _page(window: SearchWindow, rows: list[Row], needed: int) -> tuple[list[Row], Position | None, int]:
    """What `_read` returns of rows that were searched for as far back as they are needed."""
    if len(rows) < needed:
        return rows, None, window.earliest_ms
    page = rows[: window.wanted.limit]
    last = window.columns.decode(page[-1][1:])
    return page, Position("event", last.queued_at if window.by_sent else last.updated_at, page[-1][0]), 0


def _rows_of_rare_term(tables: Tables, window: SearchWindow, needed: int) -> list[Row] | None:
    """The newest rows of the whole window; None: the term is not rare, or no index knows it."""
    term = window.term
    if term is None or not rare_term_conditions(window.viewer, term)[0] or window.wanted.statuses:
        return None
    if term.kind == HOST and tables.read(is_own_server(window)):
        return None
    steps = list(_steps(tables, window))
    whole = Span(steps[-1].since_ms, steps[0].until_ms)
    try:
        return _rows_of_step(tables, replace(window, most_rows=MOST_ROWS_AT_ONCE), whole, needed)
    except TooLargeError:
        return None


def _steps(tables: Tables, window: SearchWindow) -> Iterator[Span]:
    """The spans of time to search, newest first: they meet, and reach as far back as the window does."""
    newest_ms = window.wanted.after.at_ms + 1 if window.wanted.after else tables.now_ms
    if window.wanted.until_ms is not None and not window.by_sent:
        newest_ms = min(newest_ms, window.wanted.until_ms)
    until_ms = None
    for step_ms in STEPS_MS:
        if newest_ms - step_ms > window.earliest_ms:
            yield Span(newest_ms - step_ms, until_ms)
            until_ms = newest_ms - step_ms
    yield Span(window.earliest_ms, until_ms)


def _rows_of_step(tables: Tables, window: SearchWindow, step: Span, needed: int) -> list[Row]:
    rows: list[Row] = []
    window = with_last_status(tables, window, step)
    sought = needed + needed // 4  # some are old versions
    until_ms = step.until_ms
    while True:
        span = Span(step.since_ms, until_ms)
        if is_whole(window) and sought <= MOST_WHOLE:
            found = whole_rows(tables, window, span, sought)
        else:
            found = _rows_by_keys(tables, window, span, sought, needed - len(rows))
        rows += found.rows[: needed - len(rows)]
        if found.is_over or len(rows) >= needed:
            return rows
        until_ms = found.since_ms
        sought = min(sought * 4, _MAX_SOUGHT_ROWS)


def _rows_by_keys(tables: Tables, window: SearchWindow, span: Span, sought: int, needed: int) -> FoundRows:
    """The newest `needed` rows among the newest `sought` versions; the keys of these are read before."""
    keys: set[MessageKey] | None = None
    since_ms = span.since_ms
    if sought <= MOST_KEYS:
        found = tables.read(newest_keys(window, span, sought))
        number = len(found)
        if number == sought:  # of the time of the last there may be more
            since_ms = found[-1][-1] + 1
        keys = {MessageKey(*row[:-1]) for row in found if row[-1] >= since_ms}
    else:
        ((earliest_ms, number),) = tables.read(newest_bound(window, span, sought))
        if number == sought:
            since_ms = earliest_ms
    rows: Sequence[Row] = ()
    if keys or (keys is None and number):
        rows = tables.read(newest_rows(window, Span(since_ms, span.until_ms), needed, keys))
    return FoundRows(rows, since_ms, is_over=number < sought)
