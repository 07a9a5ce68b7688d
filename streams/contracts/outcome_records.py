"""Outcomes as Arrow: the records of `mail.outcomes`, and what is inserted into `deliveries`.

Apart from the columns themselves, so that parsers, joiner and `postwatch read` do without Arrow, which is slow to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from postwatch.streams.contracts.arrow_stream import encode_stream
from postwatch.streams.contracts.columns import NESTED, TEXTS, TIME, Column
from postwatch.streams.contracts.outcome import COLUMNS, Attempt, Outcome
from postwatch.streams.contracts.row_buffers import find_encoder
from postwatch.streams.contracts.row_contract import RowContract

CONTRACT = RowContract("an outcome", COLUMNS)
SCHEMA = CONTRACT.schema
"""The Arrow schema of `mail.outcomes`, and the columns of `deliveries`."""


def encode_outcomes(rows: Sequence[Outcome]) -> bytes:
    """Rows → one Arrow IPC stream with one batch, the value of a `mail.outcomes` record."""
    return encode_stream(to_batch(rows))


def decode_outcomes(value: bytes) -> pa.Table:
    """The value of a `mail.outcomes` record of any version → a table of SCHEMA. Raises ValueError."""
    record = CONTRACT.decode(value)
    if record.unfit:
        raise ValueError(record.unfit[0].said)
    return record.rows


def to_batch(rows: Sequence[Outcome]) -> pa.RecordBatch:
    """Rows → a record batch of SCHEMA, in the order given."""
    if not rows:
        return pa.RecordBatch.from_pylist([], schema=SCHEMA)
    if _ENCODE is not None:
        try:
            return pa.RecordBatch.from_arrays(_ENCODE(list(rows)), schema=SCHEMA)
        except (TypeError, ValueError, OverflowError):
            pass  # pyarrow takes more than a column's own type, and says what is wrong
    arrays: list[pa.Array] = []
    for make_arrays, values in zip(_ARRAY_MAKERS, zip(*rows, strict=True), strict=True):
        arrays += make_arrays(values)
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _offsets(lists: Sequence[Sequence[Any]]) -> pa.Array:
    offsets = [0]
    total = 0
    for item in lists:
        total += len(item)
        offsets.append(total)
    return pa.array(offsets, pa.int32())


def _array_maker(column: Column) -> Callable[[Sequence[Any]], list[pa.Array]]:
    """A function from the values of a column to its Arrow arrays: one, or one for each part of a nested column."""
    if column.kind is NESTED:
        kinds = [part.kind.arrow for part in column.parts]
        empty: list[tuple[Any, ...]] = [()] * len(kinds)

        def make_nested(lists: Sequence[Any]) -> list[pa.Array]:
            offsets = _offsets(lists)
            columns = list(zip(*[item for one in lists for item in one], strict=True)) or empty
            return [
                pa.ListArray.from_arrays(offsets, pa.array(values, kind))
                for values, kind in zip(columns, kinds, strict=True)
            ]

        return make_nested
    kind = column.kind.arrow
    if pa.types.is_list(kind):

        def make_list(lists: Sequence[Any]) -> list[pa.Array]:
            values = pa.array([item for one in lists for item in one], kind.value_type)
            return [pa.ListArray.from_arrays(_offsets(lists), values)]

        return make_list

    def make_plain(values: Sequence[Any]) -> list[pa.Array]:
        return [pa.array(values, kind)]

    return make_plain


_ARRAY_MAKERS = [_array_maker(column) for column in COLUMNS]
_ENCODE = find_encoder(COLUMNS)


def from_table(table: pa.Table) -> list[Outcome]:
    """A decoded table back to rows: the inverse of `to_batch`. Raises ValueError on attempts of unequal length."""

    def values(name: str) -> list[Any]:
        column = table.column(name)
        if column.type == TIME.arrow:
            column = column.cast(pa.int64())
        elif column.type == TIME.listed().arrow:
            column = column.cast(pa.list_(pa.int64()))
        return list(column.to_pylist())

    def nested(column: Column) -> Iterator[tuple[Attempt, ...]]:
        for lists in zip(*(values(f"{column.name}.{part.name}") for part in column.parts), strict=True):
            yield tuple(map(Attempt._make, zip(*lists, strict=True)))

    fields = [
        nested(column)
        if column.kind is NESTED
        else map(tuple, values(column.name))
        if column.kind is TEXTS
        else values(column.name)
        for column in COLUMNS
    ]
    return [Outcome._make(row) for row in zip(*fields, strict=True)]
