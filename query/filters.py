"""The filters that reports share: account, days, status, limit and order, read from people's words.

What they return is bounded, valid UTF-8 and safe to bind as a query parameter; they raise FilterError otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from postwatch.query.errors import FilterError
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    EXPIRED,
    PENDING,
    RECEIVED,
    REJECTED,
    RESULTS,
    SENT,
)

MAX_PAGE_ROWS = 1000
MAX_TEXT_CHARACTERS = 998
"""Longest account, recipient or id that is looked for: a header line's limit (RFC 5322 §2.1.1)."""
DEFAULT_DAYS = 30

RESULT_WORDS = ("accepted", "failed", "pending", "discarded")
_GROUPS = {
    **{word: tuple(status for status, result in RESULTS.items() if result == word) for word in RESULT_WORDS},
    "in-progress": (PENDING,),
    "failures": (BOUNCED, EXPIRED, CANCELLED),
    "blocked": (REJECTED,),
}
"""A word → its statuses. A result is one; the others tell apart what a result puts together, as the boxes of cPanel's
Track Delivery do."""
BOXES = ("accepted", "deferred", "failures", "in-progress", "blocked", "discarded")
"""The words of the form's boxes: each status is in one of them."""
STATUS_WORDS = (*_GROUPS, *(status for status in RESULTS if status not in _GROUPS and status != REJECTED), REJECTED)
"""What the status filter takes. `pending` and `discarded` mean the result, which holds the status of that name."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One account: `user@domain`, or `user@server` for a system user."""

    name: str
    domain: str


@dataclass(frozen=True, slots=True)
class Domain:
    """Every account of a domain; with a server's name, every system user of that server."""

    domain: str


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A system user of that name, on whichever server."""

    user: str
    servers: tuple[str, ...] = ()
    """Where to look; the report fills them in."""


@dataclass(frozen=True, slots=True)
class OwnDomains:
    """Every account of all the domains that the viewer owns."""

    domains: tuple[str, ...] = ()
    """The report fills them in."""


ALL_DOMAINS = "@*"
"""How people write it; no domain has such a name."""

_NO_NAME = re.compile(r"[\s@]")

AccountScope = Mailbox | Domain | SystemUser | OwnDomains


DIRECTIONS = (SENT, RECEIVED)


def account_words(account: AccountScope) -> str:
    """The account as people write it."""
    if isinstance(account, Mailbox):
        return account.name
    if isinstance(account, Domain):
        return f"@{account.domain}"
    return ALL_DOMAINS if isinstance(account, OwnDomains) else account.user


def read_account(text: str) -> AccountScope:
    """`user@domain`, `@domain`, a domain alone (it has a dot), a system user (without a dot), or `@*`: all domains of
    the viewer.

    Accounts are compared in lower case, as the join stores them.
    """
    name = clean_text(text, "account").lower()
    if name == ALL_DOMAINS:
        return OwnDomains()
    user, at, domain = name.rpartition("@")
    is_quoted = len(user) > 1 and user[0] == user[-1] == '"'  # which may hold blanks and an @ (RFC 5321 §4.1.2)
    if not name or (at and not domain) or _NO_NAME.search(domain if is_quoted else user + domain):
        raise FilterError("%(text)s is not a valid account: use user@domain, @domain or a system user", text=repr(text))
    if user:
        return Mailbox(name, domain)
    if at or "." in domain:
        return Domain(domain)
    return SystemUser(domain)


def read_days(days: int | None, retention_days: int) -> int:
    if days is None:
        return min(DEFAULT_DAYS, retention_days)
    if not 1 <= days <= retention_days:
        raise FilterError(
            "days=%(days)s is out of range: use 1 to %(most)s (mail is kept for %(most)s days)",
            days=days,
            most=retention_days,
        )
    return days


def read_direction(text: str) -> str:
    direction = clean_text(text, "direction").lower()
    if direction and direction not in DIRECTIONS:
        raise FilterError(
            "%(text)s is not a valid direction: use %(choices)s", text=repr(text), choices=", ".join(DIRECTIONS)
        )
    return direction


def clean_text(text: str, name: str) -> str:
    """Text without blanks at its ends. Raises FilterError where it can be no address or id."""
    found = text.strip()
    if len(found) > MAX_TEXT_CHARACTERS:
        raise FilterError(
            "%(name)s is too long: it has %(length)s characters, and %(most)s are allowed",
            name=name,
            length=len(found),
            most=MAX_TEXT_CHARACTERS,
        )
    if any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in found):
        raise FilterError(
            "%(name)s %(text)s contains control characters or is not valid UTF-8", name=name, text=repr(found)
        )
    return found


def read_limit(limit: int | None, page_rows: int) -> int:
    """The rows of a page; `page_rows`, a setting, where none are asked for."""
    if limit is None:
        return min(page_rows, MAX_PAGE_ROWS)
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise FilterError(
            "limit=%(limit)s is out of range: use 1 to %(most)s, and the cursor for the next page",
            limit=limit,
            most=MAX_PAGE_ROWS,
        )
    return limit


def statuses_of(word: str) -> tuple[str, ...]:
    """The statuses that one of STATUS_WORDS stands for."""
    return _GROUPS.get(word, (word,))


def read_statuses(text: str) -> tuple[str, ...]:
    """One or several of STATUS_WORDS with commas between them → their statuses; empty: any."""
    found: set[str] = set()
    for word in filter(None, (part.strip() for part in clean_text(text, "status").lower().split(","))):
        if word not in STATUS_WORDS:
            raise FilterError(
                "%(text)s is not a valid status: use %(choices)s", text=repr(word), choices=", ".join(STATUS_WORDS)
            )
        found.update(statuses_of(word))
    return tuple(status for status in RESULTS if status in found)
