"""Rows as JSON, in a tenth of the time that `to_json_object` takes: what `postwatch read` spends most on.

Invariant: the bytes are those of `to_json_object`, encoded; a test compares them.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from postwatch.streams.contracts.columns import NESTED, TIME, Column
from postwatch.streams.contracts.outcome import COLUMNS, Outcome, iso_time

_SECOND_MS = 1000


def _shape(name: str, columns: tuple[Column, ...]) -> Any:
    """A struct with the columns in their order: msgspec writes it without a dict."""
    return msgspec.defstruct(name, [(column.name, Any) for column in columns])


_ATTEMPTS = next(place for place, column in enumerate(COLUMNS) if column.kind is NESTED)
_QUEUED, _UPDATED = (place for place, column in enumerate(COLUMNS) if column.kind is TIME)
_PARTS = COLUMNS[_ATTEMPTS].parts
_Row = _shape("Row", COLUMNS)
_Try = _shape("Try", _PARTS)
assert [place for place, part in enumerate(_PARTS) if part.kind is TIME] == [0]
_encoder = msgspec.json.Encoder()


@functools.lru_cache(4096)
def _second(second: int) -> str:
    return iso_time(second * _SECOND_MS)[:-4]


def _iso(at_ms: int) -> str:
    """As `iso_time`; hundreds of rows share a second."""
    second, ms = divmod(at_ms, _SECOND_MS)
    return f"{_second(second)}{ms:03}Z"


def encode_row(row: Outcome) -> bytes:
    """One row as people and scripts read it, without a newline."""
    fields: list[Any] = list(row)
    fields[_QUEUED] = _iso(fields[_QUEUED])
    fields[_UPDATED] = _iso(fields[_UPDATED])
    fields[_ATTEMPTS] = [_Try(_iso(one[0]), *one[1:]) for one in fields[_ATTEMPTS]]
    return _encoder.encode(_Row(*fields))
