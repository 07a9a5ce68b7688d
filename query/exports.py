"""Reports as files for other programs: CSV that a spreadsheet may open, JSON that a terminal may show.

What strangers wrote can't start a formula in CSV, and can't reach the terminal as a control character in JSON.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from postwatch.query.statements import Delivery
from postwatch.query.wording import visible
from postwatch.streams.contracts.columns import NESTED, TEXTS, TIME, Column, Kind
from postwatch.streams.contracts.outcome import COLUMNS, iso_time
from pydantic import BaseModel

_FIRST_COLUMNS = (
    "updated_at recipient result status response reason sender subject queued_at delay_ms account direction"
    " original_recipient server queue_id message_id size_bytes smtp_code enhanced_code remote_host remote_ip"
    " remote_provider tls router transport client_host client_ip authenticated_as auth_method attempts"
    " next_queue_id parent_queue_id"
).split()
"""In this order for people; any other column comes behind them."""


def _exported_columns() -> list[Column]:
    exported = {column.name: column for column in COLUMNS if column.about.in_csv}
    return [exported.pop(name) for name in _FIRST_COLUMNS] + [*exported.values()]


def _as_it_is(value: object) -> object:
    return value


_EXPORTED = _exported_columns()
CSV_COLUMNS = [*(column.name for column in _EXPORTED), "id"]
"""Of the attempts their number is exported, of other lists the values, separated by blanks."""

_SPELLING: dict[Kind, Callable[[Any], object]] = {TIME: iso_time, NESTED: len, TEXTS: " ".join}
_SPELLED = [(COLUMNS.index(column), _SPELLING.get(column.kind, _as_it_is)) for column in _EXPORTED]
"""Of each of these columns its place in a row, and how a value of it is written."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r")
"""The four of double width too, which are read as the others where such are written."""
_INNER_FORMULA = re.compile(r"(;[\s\"']*)(?=[=+@\uff1d\uff0b\uff0d\uff20-])")
"""Where a comma is the decimal mark, spreadsheets part a line at semicolons, also inside a cell."""
_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def to_csv(rows: Iterable[Delivery], has_heading: bool = True) -> str:
    """Rows → CSV."""
    return csv_text(
        CSV_COLUMNS if has_heading else (),
        ([*(spell(row[place]) for place, spell in _SPELLED), row.id] for row in rows),
    )


def csv_text(heading: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Values → CSV with a heading, if one is given; lines ending in CRLF (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    if heading:
        writer.writerow(heading)
    for row in rows:
        writer.writerow(map(_cell, row))
    return text.getvalue()


def _cell(value: object) -> str:
    if not isinstance(value, str):
        return "" if value is None else str(value)
    # OWASP, "CSV Injection": an apostrophe makes a spreadsheet take the cell as text.
    guard = "'" if value.startswith(_FORMULA_STARTS) else ""
    shown = visible(value)
    return guard + (_INNER_FORMULA.sub(r"\1'", shown) if ";" in shown else shown)


def to_json(shape: BaseModel) -> str:
    """A shape → indented JSON. Controls that JSON lets stand raw are escaped, which changes no value."""
    return _escaped(shape.model_dump_json(indent=2))


def to_ndjson(shapes: Iterable[BaseModel]) -> str:
    """Shapes → JSON, one on a line."""
    return "".join(f"{_escaped(shape.model_dump_json())}\n" for shape in shapes)


def _escaped(json_text: str) -> str:
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)
