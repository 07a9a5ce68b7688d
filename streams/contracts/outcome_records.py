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


class OutcomeRecord:
    """Rows that become the value of one record. The compiled core encodes them as they come, so they need not be kept
    until there are enough: they are still in the processor's cache, and their memory is free for the next."""

    def __init__(self) -> None:
        self._encoder = _NEW_ENCODER() if _NEW_ENCODER is not None else None
        self._has_encoded = False
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[Outcome] = []

    def add(self, rows: list[Outcome]) -> None:
        """Rows that follow."""
        if self._encoder is None:
            self._rows += rows
            return
        try:
            self._encoder.add(rows)
        except _UNFIT:
            self._close_batch()
            self._batches.append(_by_pyarrow(rows))
        else:
            self._has_encoded = True

    def take(self) -> bytes:
        """The value. The next rows begin anew."""
        self._close_batch()
        batches, self._batches = self._batches, []
        return encode_stream(batches[0] if len(batches) == 1 else pa.Table.from_batches(batches, SCHEMA))

    def _close_batch(self) -> None:
        if self._has_encoded and self._encoder is not None:
            self._batches.append(pa.RecordBatch.from_arrays(self._encoder.take(), schema=SCHEMA))
            self._has_encoded = False
        elif self._rows:
            self._batches.append(to_batch(self._rows))
            self._rows = []


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
    if _NEW_ENCODER is not None:
        encoder = _NEW_ENCODER()
        try:
            encoder.add(list(rows))
        except _UNFIT:
            pass
        else:
            return pa.RecordBatch.from_arrays(encoder.take(), schema=SCHEMA)
    return _by_pyarrow(rows)


def _by_pyarrow(rows: Sequence[Outcome]) -> pa.RecordBatch:
    """It takes more than a column's own type, and says what is wrong."""
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
_NEW_ENCODER = find_encoder(COLUMNS)
_UNFIT = (TypeError, ValueError, OverflowError)
"""What the compiled encoder raises."""


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
