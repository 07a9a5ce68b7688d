"""What people ask about an account's mail, and the same checked.

Every way to ask (command, API, page) has these filters; `read_question` raises FilterError that names the filter.
"""

from __future__ import annotations

from dataclasses import dataclass

from postwatch.query import filters, orders
from postwatch.query.errors import FilterError, about
from postwatch.query.filters import ALL_DOMAINS, AccountScope, OwnDomains
from postwatch.query.orders import Position
from postwatch.query.reports.report import asked
from postwatch.query.row_keys import FindRowIds
from postwatch.query.spans import read_span
from postwatch.query.viewer import Viewer


@dataclass(frozen=True, slots=True)
class AccountQuestion:
    """What people ask, in their words. Empty text means: any."""

    account: str = asked(
        doc="a mailbox (user@domain), system user (root, root@server) or domain (@domain); @*: all of yours"
    )
    days: int | None = asked(None, doc="the last N days (default: 30, or the retention if that is shorter)")
    recipient: str = asked("", doc="only this recipient: an address or a part of it, upper or lower case")
    status: str = asked("", doc="only this status, or several with commas between them", choices=filters.STATUS_WORDS)
    direction: str = asked("", doc="only sent, or only received mail", choices=filters.DIRECTIONS)
    text: str = asked("", doc="only rows with this text: sender, recipient, subject, ids, client, remote server, reply")
    since: str = asked("", doc="the last event at or after this time: YYYY-MM-DD, or YYYY-MM-DD HH:MM")
    until: str = asked("", doc="the last event before the end of this day, or before this time")
    zone: str = asked("", doc="the time zone of since and until, such as Europe/Berlin (default: UTC)")
    limit: int | None = asked(None, doc=f"rows on a page, 1 to {filters.MAX_PAGE_ROWS} (default: 50)")
    by: str = asked("event", doc="order by the last event, by when it was sent, and so on", choices=orders.ORDERS)
    ascending: bool = asked(False, doc="the oldest, the smallest or A first")
    cursor: str = asked("", doc="show the next page: next_cursor of the page before")
    bounces: bool = asked(False, doc="also list the bounce messages that our servers sent for a listed message")


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """A question that was checked. Empty text, and no status, means: any."""

    account: AccountScope
    days: int
    limit: int
    recipient: str = ""
    statuses: tuple[str, ...] = ()
    direction: str = ""
    text: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    by: str = "event"
    """The order: one of orders.ORDERS."""
    is_ascending: bool = False
    after: Position | None = None
    """Only the rows behind this place: the next page."""
    status: str = ""
    """The statuses in the words that asked for them."""
    bounces: bool = False
    """Also the bounces that our servers sent for a message: its own rows tell the same."""


def own_domains(viewer: Viewer) -> OwnDomains:
    """Raises FilterError where the viewer owns none: who sees everybody's mail has to say whose."""
    if not viewer.domains:
        with about("account"):
            raise FilterError("%(text)s stands for the domains of an owner: name an account", text=repr(ALL_DOMAINS))
    return OwnDomains(tuple(sorted(viewer.domains)))


def is_unfiltered(wanted: AccountFilters) -> bool:
    """Whether all of the account's mail of these days is asked for, whatever page of it and whatever status."""
    return not (wanted.recipient or wanted.direction or wanted.text or wanted.since_ms or wanted.until_ms)


def read_question(
    question: AccountQuestion, retention_days: int, page_rows: int, find_ids: FindRowIds
) -> AccountFilters:
    """People's words → filters. Raises FilterError that names the filter and what it takes."""
    by = orders.read_order(question.by)
    after = orders.decode_cursor(question.cursor, find_ids) if question.cursor else None
    if after is not None and (after.by, after.is_ascending) != (by, question.ascending):
        by = f"{after.by}{' --ascending' if after.is_ascending else ''}"
        raise FilterError("the cursor belongs to --by %(by)s: ask with that, or leave the cursor out", by=by)
    since_ms, until_ms = read_span(question.since, question.until, question.zone)
    with about("account"):
        account = filters.read_account(question.account)
    with about("days"):
        days = filters.read_days(question.days, retention_days)
    with about("recipient"):
        recipient = filters.clean_text(question.recipient, "recipient")
    with about("status"):
        statuses = filters.read_statuses(question.status)
    with about("direction"):
        direction = filters.read_direction(question.direction)
    with about("text"):
        text = filters.clean_text(question.text, "text")
    return AccountFilters(
        account=account,
        days=days,
        limit=filters.read_limit(question.limit, page_rows),
        recipient=recipient,
        statuses=statuses,
        direction=direction,
        text=text,
        since_ms=since_ms,
        until_ms=until_ms,
        by=by,
        is_ascending=question.ascending,
        after=after,
        status=question.status.strip().lower(),
        bounces=question.bounces,
    )
