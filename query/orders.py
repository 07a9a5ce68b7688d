"""The orders of a report, and the cursor: the place of a page's last row in its order.

A cursor holds no address: where the order goes by one, the place is looked up by the hash of the row. Time and hash are
sealed as those of an id are. What it holds is bounded and safe to bind; `decode_cursor` raises FilterError for
anything else.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import NamedTuple

from postwatch.query.errors import FilterError, NotFoundError
from postwatch.query.filters import clean_text
from postwatch.query.row_id import RowIds, RowPlace
from postwatch.query.row_keys import FindRowIds

MAX_CURSOR_CHARACTERS = 512
MAX_KEY_CHARACTERS = 100
"""Rows that are equal in so much of a text are ordered by the time when they were sent."""
_MAX_MS = 1 << 53


@dataclass(frozen=True, slots=True)
class Order:
    """One way to order rows. Rows that it leaves equal go by the time when they were sent, newest first."""

    name: str
    is_text: bool = False
    is_fixed: bool = False
    """What it goes by never changes. Where it can, pages after the first leave out what changed since the first."""
    is_address: bool = False
    """It goes by addresses, which no cursor may hold."""


_ORDERS = (
    Order("event"),
    Order("sent", is_fixed=True),
    Order("sender", is_text=True, is_fixed=True, is_address=True),
    Order("recipient", is_text=True, is_fixed=True, is_address=True),
    Order("size"),
    Order("status", is_text=True),
    Order("host", is_text=True),
    Order("duration"),
)
BY_NAME = {order.name: order for order in _ORDERS}
ORDERS = tuple(BY_NAME)
"""By the last event, by the time when the message was received, and so on."""


class Position(NamedTuple):
    """The place of a row in a report; a cursor is that of a page's last row."""

    by: str
    """One of ORDERS."""
    at_ms: int
    """What the row is ordered by, if that is a time and the newest come first; else when the message was received."""
    row_hash: int
    """See statements.ROW_HASH."""
    is_ascending: bool = False
    key: int | str = ""
    """What else the row is ordered by; of an order by addresses nothing."""
    as_of_ms: int = 0
    """Where what the order goes by can change: the last event that the first page knew of."""


def is_by_time(by: str, is_ascending: bool) -> bool:
    """Whether the newest come first. Such a page is found without a look at the whole window."""
    return by in ("event", "sent") and not is_ascending


def read_order(text: str) -> str:
    order = clean_text(text, "by").lower() or ORDERS[0]
    if order not in ORDERS:
        raise FilterError("%(text)s is not a valid order: use %(choices)s", text=repr(text), choices=", ".join(ORDERS))
    return order


def encode_cursor(place: Position, ids: RowIds) -> str:
    """A row's place → the opaque text that asks for the rows behind it."""
    by, at_ms, row_hash, *others = place
    told = [by, ids.encode(RowPlace(at_ms, row_hash)), *others]
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(word: str, find_ids: FindRowIds) -> Position:
    """The inverse of `encode_cursor`. Raises FilterError for anything else, and whatever finding the keys raises."""
    try:
        if len(word) > MAX_CURSOR_CHARACTERS:
            raise ValueError
        padded = word.encode("ascii") + b"=" * (-len(word) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(found, list) or len(found) != len(Position._fields) - 1 or type(found[1]) is not str:
            raise ValueError
        by, sealed, *others = found
        place = Position(by, *find_ids().decode(sealed), *others)
        if not _is_possible(place):
            raise ValueError
    except (ValueError, TypeError, RecursionError, binascii.Error, NotFoundError) as error:
        raise FilterError("the cursor is not valid: leave it out to start with the first page") from error
    return place


def _is_possible(place: Position) -> bool:
    if type(place.by) is not str or place.by not in BY_NAME or type(place.is_ascending) is not bool:
        return False
    times = (place.at_ms, place.as_of_ms)
    if any(type(at_ms) is not int or abs(at_ms) >= _MAX_MS for at_ms in times):
        return False
    if type(place.row_hash) is not int or not 0 <= place.row_hash < 1 << 64:
        return False
    order = BY_NAME[place.by]
    if is_by_time(place.by, place.is_ascending) or order.is_address:
        return place.key == "" and type(place.key) is str
    if order.is_text:
        return type(place.key) is str and len(place.key) <= MAX_KEY_CHARACTERS and place.key.isprintable()
    return type(place.key) is int and abs(place.key) < _MAX_MS
