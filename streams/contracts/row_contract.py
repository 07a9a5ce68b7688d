"""Reads records of any version of a contract: what comes out has exactly the columns that this version knows.

The producer of a record may be older or newer than its reader. A column that the record lacks gets its default; one
that the reader does not know is left out. Names are compared exactly: `Subject` is not `subject`. A number that does
not fit is never wrapped: its row is set aside, whole, as it came. A record without the required columns is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from postwatch.streams.contracts.arrow_stream import decode_stream, encode_stream
from postwatch.streams.contracts.columns import Column, StoredColumn, stored_columns


@dataclass(frozen=True, slots=True)
class UnfitRow:
    """A row with a number that is out of range here."""

    value: bytes
    """The row as an Arrow stream of its own, with all columns that the record had."""
    said: str


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """The rows of a record, and what was done to its columns."""

    rows: pa.Table
    unknown: tuple[str, ...] = ()
    """Columns of the record that were left out."""
    missing: tuple[str, ...] = ()
    """Columns that the record lacks; they have their defaults."""
    unfit: tuple[UnfitRow, ...] = ()


class RowContract:
    """The columns that this version knows."""

    def __init__(self, noun: str, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._noun = noun
        self._stored = stored_columns(columns)
        self.schema: pa.Schema = pa.schema([pa.field(one.name, one.kind.arrow, nullable=False) for one in self._stored])

    def decode(self, value: bytes) -> DecodedRecord:
        """An Arrow stream → its rows, with the columns of `schema`. Raises ValueError for what is no such record."""
        table = decode_stream(value)
        if table.schema.equals(self.schema, check_metadata=True):
            return DecodedRecord(table)
        try:
            return self._normalise(table)
        except pa.ArrowException as error:
            raise ValueError(f"the columns are not those of {self._noun}: {error}") from error

    def _normalise(self, table: pa.Table) -> DecodedRecord:
        names = table.column_names
        known = {column.name for column in self._stored}
        missing = tuple(column.name for column in self._stored if column.name not in names)
        lacking = [column.name for column in self._stored if column.is_required and column.name not in names]
        if lacking:
            raise ValueError(f"the columns are not those of {self._noun}: {', '.join(lacking)} missing")
        if len(set(names)) < len(names):
            raise ValueError(f"the columns are not those of {self._noun}: two have the same name")
        unfit = {}
        for column in self._stored:
            if column.name in names:
                for index, number, kind in _numbers_out_of_range(_one_array(table[column.name]), column.kind.arrow):
                    unfit[index] = f"{column.name}: {number} is out of range for {kind}"
        fitting = table.take([index for index in range(table.num_rows) if index not in unfit]) if unfit else table
        return DecodedRecord(
            self._with_defaults(fitting),
            tuple(name for name in names if name not in known),
            missing,
            tuple(UnfitRow(encode_stream(table.take([index])), said) for index, said in sorted(unfit.items())),
        )

    def _with_defaults(self, table: pa.Table) -> pa.Table:
        arrays: dict[str, pa.Array] = {}
        lengths: dict[str, pa.Array] = {}
        for column in self._stored:
            if column.name in table.column_names:
                array = arrays[column.name] = _converted(table[column.name], column)
                if column.nested_in:
                    lengths.setdefault(column.nested_in, pc.list_value_length(array))
        for column in self._stored:
            if column.name not in arrays:
                arrays[column.name] = _defaults(column, table.num_rows, lengths.get(column.nested_in))
        return pa.Table.from_arrays([arrays[name] for name in self.schema.names], schema=self.schema)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _numbers_out_of_range(array: pa.Array, wanted: pa.DataType) -> Iterator[tuple[int, int, pa.DataType]]:
    """The rows that hold a number which `wanted` has no room for, the number, and the type that has no room."""
    if _is_list(array.type) and _is_list(wanted):
        rows = pc.list_parent_indices(array)
        for index, number, kind in _numbers_out_of_range(pc.list_flatten(array), wanted.value_type):
            yield rows[index].as_py(), number, kind
    elif pa.types.is_integer(array.type) and pa.types.is_integer(wanted):
        least, most = _range(wanted)
        own_least, own_most = _range(array.type)
        outside = pa.repeat(pa.scalar(False), len(array))
        if own_least < least:
            outside = pc.or_(outside, pc.less(array, pa.scalar(least, array.type)))
        if own_most > most:
            outside = pc.or_(outside, pc.greater(array, pa.scalar(most, array.type)))
        for index in pc.indices_nonzero(outside).to_pylist():
            yield index, array[index].as_py(), wanted


def _range(kind: pa.DataType) -> tuple[int, int]:
    bits = kind.bit_width
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if pa.types.is_signed_integer(kind) else (0, (1 << bits) - 1)


def _converted(column: pa.ChunkedArray, wanted: StoredColumn) -> pa.Array:
    """The column in the type that we store it in, where this changes no value. Raises ValueError where it would."""
    array, kind = _one_array(column), wanted.kind.arrow
    if array.type != kind:
        if not _is_kin(array.type, kind):
            raise ValueError(f"column {wanted.name} holds {array.type} instead of {kind}")
        array = array.cast(kind)
    if array.null_count or (_is_list(kind) and pc.list_flatten(array).null_count):
        raise ValueError(f"column {wanted.name} holds NULL")
    return array


def _is_kin(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether both are numbers, both texts, and so on: no text is read as a number."""
    if _is_list(wanted):
        return _is_list(found) and _is_kin(found.value_type, wanted.value_type)
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(found))
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(found) and found.tz)
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def _defaults(column: StoredColumn, rows: int, lengths: pa.Array | None) -> pa.Array:
    """The default for each row. A part of a NESTED column has as many elements in each row as its other parts."""
    kind = column.kind.arrow
    if not column.nested_in:
        return pa.repeat(pa.scalar(column.default, kind), rows)
    offsets = [0]
    for length in lengths.to_pylist() if lengths is not None else [0] * rows:
        offsets.append(offsets[-1] + length)
    values = pa.repeat(pa.scalar(column.default, kind.value_type), offsets[-1])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
