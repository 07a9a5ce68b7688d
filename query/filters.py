"""The filters that reports share: account, days, status, limit and cursor, read from people's words.

What they return is bounded, valid UTF-8 and safe to bind as a query parameter; they raise FilterError otherwise.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from postwatch.query.errors import FilterError
from postwatch.streams.contracts.outcome import RECEIVED, RESULTS, SENT

MAX_PAGE_ROWS = 1000
MAX_TEXT_CHARACTERS = 998
"""Longest account, recipient or id that is looked for: a header line's limit (RFC 5322 §2.1.1)."""
MAX_CURSOR_CHARACTERS = 128
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
    """Where to look; the report fills them in."""


_NO_NAME = re.compile(r"[\s@]")

AccountScope = Mailbox | Domain | SystemUser


DIRECTIONS = (SENT, RECEIVED)
ORDERS = ("event", "sent")
"""By the last event, or by the time when the message was received."""


class Position(NamedTuple):
    """The place of a row in a report, newest first; a cursor is that of a page's last row."""

    by: str
    """One of ORDERS."""
    at_ms: int
    row_hash: int
    """See statements.ROW_HASH."""


def account_words(account: AccountScope) -> str:
    """The account as people write it."""
    if isinstance(account, Mailbox):
        return account.name
    if isinstance(account, Domain):
        return f"@{account.domain}"
    return account.user


def read_account(text: str) -> AccountScope:
    """`user@domain`, `@domain`, a domain alone (it has a dot) or a system user (without a dot).

    Accounts are compared in lower case, as the join stores them.
    """
    name = clean_text(text, "account").lower()
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


def read_moment(text: str, name: str, is_end: bool = False) -> int | None:
    """'2026-11-20', '2026-11-20 14:30' or ISO 8601 with a zone (else UTC) → ms; empty → None. The end of a day is its
    last moment."""
    words = clean_text(text, name)
    if not words:
        return None
    try:
        found = datetime.fromisoformat(words)
    except ValueError as error:
        raise FilterError(
            "%(name)s %(text)s is not a time: use YYYY-MM-DD or YYYY-MM-DD HH:MM, in UTC unless it names a zone",
            name=name,
            text=repr(text),
        ) from error
    if is_end and len(words) == len("2026-11-20"):
        found += timedelta(days=1)
    moment = found.replace(tzinfo=found.tzinfo or UTC)
    return int(moment.timestamp() * 1000)


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


def read_status(text: str) -> str:
    status = clean_text(text, "status").lower()
    if status and status not in STATUS_WORDS:
        raise FilterError(
            "%(text)s is not a valid status: use %(choices)s", text=repr(text), choices=", ".join(STATUS_WORDS)
        )
    return status


def read_order(text: str) -> str:
    order = clean_text(text, "by").lower() or ORDERS[0]
    if order not in ORDERS:
        raise FilterError("%(text)s is not a valid order: use %(choices)s", text=repr(text), choices=", ".join(ORDERS))
    return order


def encode_cursor(place: Position) -> str:
    """A row's place → the opaque text that asks for the rows behind it."""
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(word: str) -> Position:
    """The inverse of `encode_cursor`. Raises FilterError for anything else."""
    try:
        if len(word) > MAX_CURSOR_CHARACTERS:
            raise ValueError
        padded = word.encode("ascii") + b"=" * (-len(word) % 4)
        by, at_ms, row_hash = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if by not in ORDERS or type(at_ms) is not int or type(row_hash) is not int:
            raise ValueError
        if abs(at_ms) >= 1 << 53 or not 0 <= row_hash < 1 << 64:
            raise ValueError
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise FilterError("the cursor is not valid: leave it out to start with the newest mail") from error
    return Position(by, at_ms, row_hash)
