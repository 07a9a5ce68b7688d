"""Which row belongs on which page: what account_window.py and viewer.py say in SQL, said of a row in memory. Pure.

Invariant: a row is shown live exactly where the report's own statement would show it. The tests compare both on the
real engine.
"""

from __future__ import annotations

from collections.abc import Iterator

from postwatch.query.filters import Domain, Mailbox, OwnDomains
from postwatch.query.reports.account_window import Window
from postwatch.query.reports.report import DAY_MS
from postwatch.query.search import fold, holds_text
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import SENT, Outcome

WatchKey = tuple[str, str]
"""What the rows of a page have in common: ("account", name), ("domain", name) or ("user", name)."""


def watch_keys(window: Window) -> tuple[WatchKey, ...]:
    """Every row of the page has one of these keys; not every row that has one is on the page."""
    account = window.wanted.account
    if isinstance(account, Mailbox):
        return (("account", account.name),)
    if isinstance(account, Domain):
        return (("domain", account.domain),)
    if isinstance(account, OwnDomains):
        return tuple(("domain", domain) for domain in account.domains)
    return (("user", account.user),)


def keys_of(row: Outcome) -> Iterator[WatchKey]:
    """The keys by which pages may have asked for the row."""
    yield "account", row.account
    yield "domain", row.account_domain
    yield "user", row.account[: -len(row.account_domain) - 1]


def may_see(viewer: Viewer, row: Outcome) -> bool:
    """`Viewer.condition` of a row."""
    if viewer.sees_all or row.account_domain in viewer.domains:
        return True
    if row.account in viewer.mailboxes and row.account_domain == row.account.rpartition("@")[2]:
        return True
    user = row.account[: -len(row.account_domain) - 1]
    return row.account_domain == row.server and user in viewer.system_users


def hides_recipient(viewer: Viewer, row: Outcome) -> bool:
    """Whether the row is shown under its original recipient: `Viewer.shown_recipient`."""
    if viewer.sees_all or row.direction != SENT or not row.original_recipient:
        return False
    addresses = (ascii_lower(row.recipient), ascii_lower(row.original_recipient))
    return not any(address in viewer.mailboxes or address.rpartition("@")[2] in viewer.domains for address in addresses)


def is_asked_for(window: Window, row: Outcome, now_ms: int) -> bool:
    """`Window.conditions` of a row, for the first page."""
    wanted = window.wanted
    since_ms = max(now_ms - wanted.days * DAY_MS, wanted.since_ms or 0)
    at_ms, earliest_ms = row.updated_at, since_ms
    if wanted.by == "sent":
        at_ms, earliest_ms = row.queued_at, since_ms - window.open_ms
    if at_ms < earliest_ms or row.updated_at < since_ms or row.queued_at < since_ms - window.open_ms:
        return False
    if wanted.until_ms is not None and row.updated_at >= wanted.until_ms:
        return False
    if not is_of(window, row) or (wanted.direction and row.direction != wanted.direction):
        return False
    if wanted.statuses and row.status not in wanted.statuses:
        return False
    if not wanted.bounces and not row.sender and row.parent_queue_id:
        return False
    hidden = hides_recipient(window.viewer, row)
    shown = row.original_recipient if hidden else row.recipient
    if wanted.recipient and not _is_recipient(wanted.recipient, shown, row.original_recipient):
        return False
    return not wanted.text or holds_text(window.viewer, row, shown, wanted.text, window.names)


def is_of(window: Window, row: Outcome) -> bool:
    """Whether the row is of the account that the page is about: `scope_conditions`."""
    account = window.wanted.account
    if isinstance(account, Mailbox):
        return row.account == account.name and row.account_domain == account.domain
    if isinstance(account, Domain):
        return row.account_domain == account.domain
    if isinstance(account, OwnDomains):
        return row.account_domain in account.domains
    # The report knows the servers by name; a server that is new is one too.
    return row.account_domain == row.server and row.account == f"{account.user}@{row.server}"


def _is_recipient(sought: str, *addresses: str) -> bool:
    word = fold(sought)
    if sought.rpartition("@")[0]:  # a whole address
        return any(fold(address).startswith(word) for address in addresses)
    return any(word in fold(address) for address in addresses)


def ascii_lower(text: str) -> str:
    """ClickHouse's lower()."""
    return text.lower() if text.isascii() else "".join(one.lower() if one.isascii() else one for one in text)
