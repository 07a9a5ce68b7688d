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
_LETTERS = {"string": "s", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "int64": "q", "timestamp": "q"}

ToArrays = Callable[[list[Any]], list[pa.Array]]
"""Rows → the arrays of their columns, and of each part of a NESTED one. Raises TypeError, ValueError or OverflowError
for a cell that is not of its column's type, or does not fit."""


def find_encoder(columns: Sequence[Column]) -> ToArrays | None:
    """The function for rows of these columns; None: the core is not compiled."""
    module = core_build.module_in_c(MODULE)
    if module is None:
        return None
    fill = module.fill
    kinds = "".join(map(_letters, columns))
    types = [[part.kind.arrow for part in column.parts] or [column.kind.arrow] for column in columns]
    offsets_type, text_type = pa.int32(), pa.string()

    def to_arrays(rows: list[Any]) -> list[pa.Array]:
        buffers = map(pa.py_buffer, fill(rows, kinds))
        arrays: list[pa.Array] = []
        for column, found in zip(columns, types, strict=True):
            if column.kind is NESTED:
                offsets = _array(offsets_type, buffers)
                arrays += [pa.ListArray.from_arrays(offsets, _array(one, buffers)) for one in found]
            elif column.kind is TEXTS:
                arrays.append(pa.ListArray.from_arrays(_array(offsets_type, buffers), _array(text_type, buffers)))
            else:
                arrays.append(_array(found[0], buffers))
        return arrays

    return to_arrays


def _letters(column: Column) -> str:
    """The column as `row_buffers.c` names it."""
    if column.kind is NESTED:
        return f"({''.join(map(_letters, column.parts))})"
    return "L" if column.kind is TEXTS else _LETTERS[column.kind.name]


def _array(kind: pa.DataType, buffers: Iterator[pa.Buffer]) -> pa.Array:
    first = next(buffers)
    if kind == pa.string():
        return pa.Array.from_buffers(kind, first.size // 4 - 1, [None, first, next(buffers)], null_count=0)
    return pa.Array.from_buffers(kind, first.size * 8 // kind.bit_width, [None, first], null_count=0)
