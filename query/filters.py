"""What is asked of a report: account, days, recipient, status and page, read from people's words once, at the edge.

Whatever passes here is bounded, valid UTF-8 and safe to bind as a query parameter; all else raises FilterError.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import NamedTuple

from postwatch.query.errors import FilterError
from postwatch.streams.contracts.outcome import RESULTS, Outcome

MAX_PAGE_ROWS = 1000
MAX_TEXT_CHARACTERS = 998
"""Longest account, recipient or id that is looked for: a header line's limit (RFC 5322 §2.1.1)."""
MAX_CURSOR_CHARACTERS = 8192
DEFAULT_DAYS = 30

RESULT_WORDS = ("accepted", "failed", "pending", "discarded")
STATUS_WORDS = (*RESULT_WORDS, *(status for status in RESULTS if status not in RESULT_WORDS))
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
    """Where to look; the report finds them out."""


AccountScope = Mailbox | Domain | SystemUser


class Position(NamedTuple):
    """A row's place in a report. Reports are sorted by it, newest first, and a cursor is the place of a page's end."""

    queued_at: int
    account: str
    server: str
    queue_id: str
    recipient: str
    direction: str

    @classmethod
    def of(cls, row: Outcome) -> Position:
        return cls(row.queued_at, row.account, row.server, row.queue_id, row.recipient, row.direction)


@dataclass(frozen=True, slots=True)
class ReportFilters:
    """A question to the account report. Empty text means: any."""

    account: AccountScope
    days: int
    limit: int
    recipient: str = ""
    status: str = ""
    after: Position | None = None
    """Rows behind this place only: the next page."""
    bounces: bool = False
    """Also the bounces that our servers made of a message, which are no mail of their own: its rows tell the same."""


def read_filters(
    account: str,
    *,
    retention_days: int,
    page_rows: int,
    days: int | None = None,
    recipient: str = "",
    status: str = "",
    limit: int | None = None,
    cursor: str = "",
    bounces: bool = False,
) -> ReportFilters:
    """People's words → filters. Raises FilterError that names the filter and what it may hold."""
    return ReportFilters(
        account=read_account(account),
        days=read_days(days, retention_days),
        limit=_read_limit(min(page_rows, MAX_PAGE_ROWS) if limit is None else limit),
        recipient=clean_text(recipient, "recipient"),
        status=_read_status(status),
        after=decode_cursor(cursor) if cursor else None,
        bounces=bounces,
    )


def read_account(text: str) -> AccountScope:
    """`user@domain`, `@domain`, a bare domain (it has a dot) or a bare system user (it has none).

    Accounts are compared in lower case, as the join stores them.
    """
    name = clean_text(text, "account").lower()
    user, at, domain = name.rpartition("@")
    if not name or (at and not domain):
        raise FilterError(f"account {text!r} is none: use user@domain, @domain, or a system user's name")
    if user:
        return Mailbox(name, domain)
    if at or "." in domain:
        return Domain(domain)
    return SystemUser(domain)


def read_days(days: int | None, retention_days: int) -> int:
    if days is None:
        return min(DEFAULT_DAYS, retention_days)
    if not 1 <= days <= retention_days:
        raise FilterError(f"days={days} is out of range: mail is kept for {retention_days} days, so use 1 to that")
    return days


def clean_text(text: str, name: str) -> str:
    """Text without blanks at its ends. Raises FilterError where no address or id could look like it."""
    found = text.strip()
    if len(found) > MAX_TEXT_CHARACTERS:
        raise FilterError(f"{name} is too long: {len(found)} characters, at most {MAX_TEXT_CHARACTERS}")
    if any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in found):
        raise FilterError(f"{name} {found!r} holds control characters or is not valid UTF-8")
    return found


def _read_limit(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise FilterError(
            f"limit={limit} is out of range: a page has 1 to {MAX_PAGE_ROWS} rows; use the cursor for more"
        )
    return limit


def _read_status(text: str) -> str:
    status = clean_text(text, "status").lower()
    if status and status not in STATUS_WORDS:
        raise FilterError(f"status {text!r} is not known: use one of {', '.join(STATUS_WORDS)}")
    return status


def encode_cursor(place: Position) -> str:
    """A place → the opaque word that asks for what is behind it."""
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(word: str) -> Position:
    """The inverse of `encode_cursor`. Raises FilterError for anything else."""
    try:
        if len(word) > MAX_CURSOR_CHARACTERS:
            raise ValueError
        padded = word.encode("ascii") + b"=" * (-len(word) % 4)
        queued_at, *texts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        place = Position(queued_at, *texts)
        if type(queued_at) is not int or abs(queued_at) >= 1 << 53:
            raise ValueError
        for text in texts:
            text.encode()
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise FilterError("cursor is not one that a report gave: leave it out to begin with the newest") from error
    return place
