"""Inserts rows into one table. A slice that ClickHouse refuses is halved, until the refused rows stand alone.

A stack of slices holds the rows that are still to be written. An error that the rows did not cause leaves the stack as
it was, and the next try goes on there. No row is dropped: it is written, in `refused`, or on the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.errors import OversizedInsertError, RefusedRowsError


@dataclass(frozen=True, slots=True)
class Slice:
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class RefusedRow:
    index: int
    """Its position in the rows of the insertion."""
    row: pa.Table
    said: str
    """The error message of ClickHouse."""


class Insertion:
    """Inserts rows through `insert`, which raises the errors of streams/errors.py."""

    def __init__(self, rows: pa.Table, insert: Callable[[pa.Table], None]) -> None:
        self._rows = rows
        self._insert = insert
        self._stack = [Slice(0, rows.num_rows)] if rows.num_rows else []
        self.refused: list[RefusedRow] = []
        self.refusals = 0
        """How many inserts were refused, because of a row or because of their size."""
        self.last_refusal = ""

    @property
    def done(self) -> bool:
        return not self._stack

    def step(self) -> None:
        """Try one slice. Raises UnavailableError when the caller should try again later; then nothing has changed."""
        part = self._stack[-1]
        rows = self._rows.slice(part.first, part.count)
        try:
            self._insert(rows)
        except (RefusedRowsError, OversizedInsertError) as refusal:
            self.refusals += 1
            self.last_refusal = str(refusal)
            self._divide(part, rows, refusal)
        else:
            self._stack.pop()

    def _divide(self, part: Slice, rows: pa.Table, refusal: RefusedRowsError | OversizedInsertError) -> None:
        if part.count > 1:
            half = part.count // 2
            self._stack[-1:] = [Slice(part.first + half, part.count - half), Slice(part.first, half)]
        elif isinstance(refusal, RefusedRowsError):
            self._stack.pop()
            self.refused.append(RefusedRow(part.first, rows, str(refusal)))
        else:  # one row is never too large: the server lacks memory or disk
            raise UnavailableError(str(refusal)) from refusal
