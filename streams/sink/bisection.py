"""The way of some rows into one table: whole if it can be, halved where it can't, until what is refused stands alone.

The rows still to be written are a stack of slices. An error that is not the rows' fault leaves it as it was, so that
the next try goes on where the last one ended. No row is dropped: it is written, or it is in `refused`, or on the stack.
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
    """Which of the rows it was."""
    row: pa.Table
    said: str
    """ClickHouse's words against it."""


class Insertion:
    """Rows on their way into a table through `insert`, which raises as streams/errors.py has it."""

    def __init__(self, rows: pa.Table, insert: Callable[[pa.Table], None]) -> None:
        self._rows = rows
        self._insert = insert
        self._stack = [Slice(0, rows.num_rows)] if rows.num_rows else []
        self.refused: list[RefusedRow] = []
        self.refusals = 0
        """How many inserts were refused, for the rows' fault or their number."""
        self.last_refusal = ""

    @property
    def done(self) -> bool:
        return not self._stack

    def step(self) -> None:
        """Try one slice. Raises UnavailableError, with everything as it was, when it should be tried again later."""
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
        else:  # a lone row can't be too much: the server is short of something
            raise UnavailableError(str(refusal)) from refusal
