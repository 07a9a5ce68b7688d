"""Records → the list that was asked for: filtered, in order, cut to a page. Pure.

It sees what the viewer sees and nothing else, so no filter, order or count tells what is hidden from him.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from postwatch.query.cpanel.expressions import matches
from postwatch.query.cpanel.parameters import number_of
from postwatch.query.cpanel.shaping import ANY, Chunk, Match, Order
from postwatch.query.search import fold

Record = TypeVar("Record", bound=tuple[Any, ...])


class Page(NamedTuple, Generic[Record]):
    """A page of records, and of how many."""

    records: Sequence[Record]
    found: int


def holds(record: Any, filters: Iterable[Match]) -> bool:
    """Whether all filters hold. `record` is a NamedTuple that has their fields."""
    return all(_holds(record, match) for match in filters)


def _holds(record: Any, match: Match) -> bool:
    values = record if match.field == ANY else (getattr(record, match.field),)
    compare = _COMPARISONS[match.operator]
    return any(compare(value, match.word) for value in values)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _numeric(compare: Callable[[float, float], bool]) -> Callable[[object, str], bool]:
    def compared(value: object, word: str) -> bool:
        left, right = number_of(_text(value)), number_of(word)
        return left is not None and right is not None and compare(left, right)

    return compared


def _textual(compare: Callable[[str, str], bool]) -> Callable[[object, str], bool]:
    return lambda value, word: compare(fold(_text(value)), fold(word))


_COMPARISONS: dict[str, Callable[[object, str], bool]] = {
    "==": _numeric(lambda left, right: left == right),
    "lt": _numeric(lambda left, right: left < right),
    "lt_equal": _numeric(lambda left, right: left <= right),
    "gt": _numeric(lambda left, right: left > right),
    "gt_equal": _numeric(lambda left, right: left >= right),
    "contains": _textual(lambda value, word: word in value),
    "begins": _textual(lambda value, word: value.startswith(word)),
    "ends": _textual(lambda value, word: value.endswith(word)),
    "eq": _textual(lambda value, word: value == word),
    "ne": _textual(lambda value, word: value != word),
    "matches": lambda value, word: matches(_text(value), word),
    "defined": lambda value, _word: value not in (None, ""),
    "undefined": lambda value, _word: value in (None, ""),
}


def ordered(records: Sequence[Record], orders: Sequence[Order]) -> list[Record]:
    """The first order counts most."""
    found = list(records)
    for order in reversed(orders):
        key = _KEYS[order.method]
        found.sort(key=lambda record: key(getattr(record, order.field)), reverse=order.is_reversed)
    return found


def _lexicographic(value: object) -> tuple[int, str]:
    return 0, fold(_text(value))


def _by_number(value: object) -> tuple[float, str]:
    text = _text(value)
    number = number_of(text)
    return (0.0 if number is None else number), text


def _zero_last(value: object) -> tuple[float, str]:
    number, text = _by_number(value)
    return (number or float("inf")), text


def _by_octets(value: object) -> tuple[int, str]:
    text = _text(value)
    try:
        return int(ipaddress.IPv4Address(text)), text
    except ValueError:
        return -1, text


_KEYS: dict[str, Callable[[object], tuple[float, str]]] = {
    "lexicographic": _lexicographic,
    "numeric": _by_number,
    "numeric_zero_as_max": _zero_last,
    "ipv4": _by_octets,
}


def paged(records: Sequence[Record], chunk: Chunk | None) -> Page[Record]:
    if chunk is None:
        return Page(records, len(records))
    return Page(records[chunk.start - 1 : chunk.end], len(records))
