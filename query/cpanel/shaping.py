"""How a script wants its list: filters, order, page and columns, in the words of WHM API 1 and of cPanel API 2. Pure.

Filters are joined by AND. `api.filter.a.field`, `.arg0` and `.type` belong together by their letter; API 2 has one
filter without a letter, or several with `_0`, `_1` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from postwatch.query.cpanel.errors import CallError
from postwatch.query.cpanel.expressions import ExpressionError, compiled
from postwatch.query.cpanel.parameters import Parameters, number_of, read_choice, read_flag, read_whole_number

ANY = "*"
NUMERIC = {
    "==": "==",
    "lt": "lt",
    "lt_equal": "lt_equal",
    "lt_handle_unlimited": "lt",
    "gt": "gt",
    "gt_equal": "gt_equal",
    "gt_handle_unlimited": "gt",
}
"""Nothing here is unlimited."""
TEXTUAL = ("contains", "begins", "ends", "eq", "ne", "matches")
PRESENCE = ("defined", "undefined")
OPERATORS = (*NUMERIC, *TEXTUAL, *PRESENCE)
METHODS = ("lexicographic", "numeric", "numeric_zero_as_max", "ipv4")
MOST_FILTERS = 20
MOST_CHARACTERS = 998
_WHM = re.compile(r"api\.(filter|sort|columns)\.([a-z]{1,2})(?:\.(field|arg0|type|method|reverse))?")
_API2 = re.compile(r"api2_(filter|sort)_(column|term|type|method|reverse)(?:_([0-9]{1,2}|[a-z]))?")
_API2_COLUMN = re.compile(r"api2_columns_([a-z]{1,2})")
_API2_NAMES = {"column": "field", "term": "arg0"}


@dataclass(frozen=True, slots=True)
class Match:
    """A filter: the field of a record, `*` for any, compared with a word."""

    field: str
    operator: str
    """One of NUMERIC's values, TEXTUAL or PRESENCE."""
    word: str


@dataclass(frozen=True, slots=True)
class Order:
    field: str
    method: str
    is_reversed: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """A page: `start` is that of its first record, from 1; `size` None: all from there."""

    start: int
    size: int | None
    is_verbose: bool

    @property
    def end(self) -> int | None:
        """How many records come up to its end."""
        return None if self.size is None else self.start - 1 + self.size


@dataclass(frozen=True, slots=True)
class Shaping:
    matches: tuple[Match, ...] = ()
    orders: tuple[Order, ...] = ()
    chunk: Chunk | None = None
    columns: tuple[str, ...] = ()
    tells_filters: bool = False
    """Whether the answer repeats the filters."""
    """None: all."""


def read_whm(parameters: Parameters, fields: Collection[str]) -> Shaping:
    """Raises CallError for what is not valid."""
    groups = _grouped(parameters, _whm_parts(parameters))
    columns = tuple(filter(None, (parts.get("", "") for parts in groups["columns"])))
    return Shaping(
        _matches(groups["filter"], fields, "api.filter") if read_flag(parameters, "api.filter.enable") else (),
        _orders(groups["sort"], fields, "api.sort") if read_flag(parameters, "api.sort.enable") else (),
        _chunk(parameters) if read_flag(parameters, "api.chunk.enable") else None,
        _known_columns(columns, fields) if read_flag(parameters, "api.columns.enable") else (),
        read_flag(parameters, "api.filter.enable") and read_flag(parameters, "api.filter.verbose"),
    )


def read_api2(parameters: Parameters, fields: Collection[str]) -> Shaping:
    """Raises CallError for what is not valid."""
    groups = _grouped(parameters, _api2_parts(parameters))
    columns = tuple(parameters[name].strip() for name in sorted(parameters) if _API2_COLUMN.fullmatch(name))
    return Shaping(
        _matches(groups["filter"], fields, "api2_filter") if read_flag(parameters, "api2_filter") else (),
        _orders(groups["sort"], fields, "api2_sort") if read_flag(parameters, "api2_sort") else (),
        _page(parameters) if read_flag(parameters, "api2_paginate") else None,
        _known_columns(columns, fields) if read_flag(parameters, "api2_columns") else (),
    )


def _whm_parts(parameters: Parameters) -> Iterator[tuple[str, str, str, str]]:
    for name in parameters:
        if found := _WHM.fullmatch(name):
            kind, letter, part = found.groups()
            if (part is None) == (kind == "columns"):
                yield kind, letter, part or "", name


def _api2_parts(parameters: Parameters) -> Iterator[tuple[str, str, str, str]]:
    for name in parameters:
        if found := _API2.fullmatch(name):
            kind, part, number = found.groups()
            yield kind, number or "", _API2_NAMES.get(part, part), name


def _grouped(parameters: Parameters, parts: Iterator[tuple[str, str, str, str]]) -> dict[str, list[dict[str, str]]]:
    """Kind → the parts of each letter or number, in their order."""
    by_key: dict[str, dict[str, dict[str, str]]] = {"filter": {}, "sort": {}, "columns": {}}
    for kind, key, part, name in parts:
        by_key[kind].setdefault(key, {})[part] = parameters[name]
    if any(len(found) > MOST_FILTERS for found in (by_key["filter"], by_key["sort"])):
        raise CallError("more than %(most)s filters or sorts", most=MOST_FILTERS)
    return {
        kind: [found[key] for key in sorted(found, key=lambda key: (len(key), key))] for kind, found in by_key.items()
    }


def _matches(groups: list[dict[str, str]], fields: Collection[str], prefix: str) -> tuple[Match, ...]:
    matches = []
    for parts in groups:
        field = parts.get("field", "").strip()
        if not field:  # clients send an empty field where nothing is to be filtered
            continue
        _check_field(field, (*fields, ANY), prefix)
        word, operator = parts.get("arg0", ""), parts.get("type", "").strip() or "contains"
        if operator not in OPERATORS:
            raise CallError(
                "%(prefix)s: %(operator)s is no filter type; use %(types)s",
                prefix=prefix,
                operator=operator[:40],
                types=", ".join(OPERATORS),
            )
        if len(word) > MOST_CHARACTERS:
            raise CallError("%(prefix)s: a word of more than %(most)s characters", prefix=prefix, most=MOST_CHARACTERS)
        if operator in NUMERIC and number_of(word) is None:
            raise CallError(
                "%(prefix)s: %(operator)s compares numbers, and %(word)s is none",
                prefix=prefix,
                operator=operator,
                word=repr(word[:40]),
            )
        if operator == "matches":
            _check_expression(word, prefix)
        matches.append(Match(field, NUMERIC.get(operator, operator), word))
    return tuple(matches)


def _check_expression(word: str, prefix: str) -> None:
    try:
        compiled(word)
    except ExpressionError as error:
        raise CallError(
            "%(prefix)s: %(word)s is no regular expression that can be served: %(why)s",
            prefix=prefix,
            word=repr(word[:40]),
            why=str(error)[:200],
        ) from None


def _orders(groups: list[dict[str, str]], fields: Collection[str], prefix: str) -> tuple[Order, ...]:
    orders = []
    for parts in groups:
        field = parts.get("field", "").strip()
        if field:
            _check_field(field, fields, prefix)
            method = read_choice(parts, "method", METHODS, METHODS[0])
            orders.append(Order(field, method, read_flag(parts, "reverse")))
    return tuple(orders)


def _check_field(field: str, fields: Collection[str], prefix: str) -> None:
    if field not in fields:
        raise CallError(
            "%(prefix)s: %(field)s is no field of these records; use %(fields)s",
            prefix=prefix,
            field=repr(field[:40]),
            fields=", ".join(fields),
        )


def _known_columns(columns: tuple[str, ...], fields: Collection[str]) -> tuple[str, ...]:
    for column in columns:
        _check_field(column, fields, "columns")
    return columns


def _chunk(parameters: Parameters) -> Chunk:
    if parameters.get("api.chunk.start", "").strip() == "-1":  # what cPanel's own clients send for all of it
        return Chunk(1, None, read_flag(parameters, "api.chunk.verbose"))
    start = read_whole_number(parameters, "api.chunk.start", 1, least=1)
    size = read_whole_number(parameters, "api.chunk.size", 0, least=1) or None
    return Chunk(start, size, read_flag(parameters, "api.chunk.verbose"))


def _page(parameters: Parameters) -> Chunk:
    size = read_whole_number(parameters, "api2_paginate_size", 100, least=1)
    page = read_whole_number(parameters, "api2_paginate_page", 0, least=1)
    start = read_whole_number(parameters, "api2_paginate_start", 1, least=1)
    return Chunk((page - 1) * size + 1 if page else start, size, True)
