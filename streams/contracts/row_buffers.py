"""Rows → Arrow arrays by compiled code (`row_buffers.c`), where the core is compiled.

pyarrow takes a list of objects for each column, and so reads all rows once for each of their columns, when they are no
longer in the processor's cache. What comes out here is the same, byte for byte, or an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from postwatch.streams import core_build
from postwatch.streams.contracts.columns import NESTED, TEXTS, Column

MODULE = "postwatch_core_rows"
_OFFSETS, _TEXT = pa.int32(), pa.string()
_LETTERS = {"string": "s", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "int64": "q", "timestamp": "q"}


class RowEncoder:
    """Rows of these columns that become one batch, each encoded when it is added."""

    def __init__(self, columns: Sequence[tuple[Column, list[pa.DataType]]], encoded: Any) -> None:
        self._columns = columns
        """Each with its type, or those of its parts: asked for once, and not for each record."""
        self._encoded = encoded

    def add(self, rows: list[Any]) -> None:
        """All of them, or none: raises TypeError, ValueError or OverflowError for a cell that is not of its column's
        type, or does not fit."""
        self._encoded.add(rows)

    def take(self) -> list[pa.Array]:
        """The arrays of the columns, and of each part of a NESTED one. The next rows begin anew."""
        buffers = map(pa.py_buffer, self._encoded.take())
        arrays: list[pa.Array] = []
        for column, types in self._columns:
            if column.kind is NESTED:
                offsets = _array(_OFFSETS, buffers)
                arrays += [pa.ListArray.from_arrays(offsets, _array(one, buffers)) for one in types]
            elif column.kind is TEXTS:
                arrays.append(pa.ListArray.from_arrays(_array(_OFFSETS, buffers), _array(_TEXT, buffers)))
            else:
                arrays.append(_array(types[0], buffers))
        return arrays


def find_encoder(columns: Sequence[Column]) -> Callable[[], RowEncoder] | None:
    """What makes an encoder for rows of these columns; None: the core is not compiled."""
    module = core_build.module_in_c(MODULE)
    if module is None:
        return None
    rows, kinds = module.Rows, "".join(map(_letters, columns))
    typed = [(column, [part.kind.arrow for part in column.parts] or [column.kind.arrow]) for column in columns]
    return lambda: RowEncoder(typed, rows(kinds))


def _letters(column: Column) -> str:
    """The column as `row_buffers.c` names it."""
    if column.kind is NESTED:
        return f"({''.join(map(_letters, column.parts))})"
    return "L" if column.kind is TEXTS else _LETTERS[column.kind.name]


def _array(kind: pa.DataType, buffers: Iterator[pa.Buffer]) -> pa.Array:
    first = next(buffers)
    if kind == _TEXT:
        return pa.Array.from_buffers(kind, first.size // 4 - 1, [None, first, next(buffers)], null_count=0)
    return pa.Array.from_buffers(kind, first.size * 8 // kind.bit_width, [None, first], null_count=0)
