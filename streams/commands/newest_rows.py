"""The newest row of each key, however many there are: what does not fit into memory waits in a temporary file.

Invariant: as ReplacingMergeTree has it, of the rows of one key the highest version stays, the last one of these where
several have it; tombstones are not told. Rows come in the order in which messages were queued, so how they were read
does not change the output.
"""

from __future__ import annotations

import heapq
import marshal
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_json import encode_row
from postwatch.streams.errors import StoreError

NO_ROOM = "a temporary file can't be written (TMPDIR names its folder)"

MOST_ROWS = 8_000
"""In memory; beyond, all of them go to the file, in order."""
_MOST_CHARACTERS = 16 << 20
"""Of log lines in memory; the same."""
_MOST_RUNS = 64
"""Read side by side; as many are made one first."""
_BLOCK_ROWS = 32

_Key = tuple[int, str, str, str, str, str]
_Kept = tuple[_Key, int, int, bytes]
"""Key, place of its run, version, and the row as JSON; empty: a tombstone."""


class _Run(NamedTuple):
    """Rows in the order of their keys: where their blocks stand in the file."""

    blocks: list[tuple[int, int]]


class NewestRows:
    """Add rows, then read them once."""

    def __init__(self) -> None:
        self._rows: dict[_Key, Outcome] = {}
        self._characters = 0
        self._file: IO[bytes] | None = None
        self._end = 0
        self._number = 0
        self._levels: list[list[_Run]] = []
        """Runs by how often they were made one: so each row is written anew a few times at most."""

    def add(self, fresh: Iterable[Outcome]) -> None:
        """Keep what is newer than what is known."""
        rows = self._rows
        for row in fresh:
            key = (row.queued_at, row.server, row.queue_id, row.recipient, row.account, row.direction)
            known = rows.get(key)
            if known is None or row.version >= known.version:
                rows[key] = row
                self._characters += sum(map(len, row.log_lines))
        if len(rows) >= MOST_ROWS or self._characters >= _MOST_CHARACTERS:
            self._add_run(0, self._take_rows())

    def lines(self) -> Iterator[bytes]:
        """Each row as a line of JSON. Nothing is left in the file."""
        runs = [self._read(run) for level in reversed(self._levels) for run in level]
        for _, _, _, text in _newest([*runs, self._take_rows()]):
            if text:
                yield text + b"\n"
        if self._file is not None:
            self._file.close()

    def _take_rows(self) -> Iterator[_Kept]:
        self._number += 1
        number, rows = self._number, self._rows
        self._rows, self._characters = {}, 0
        for key in sorted(rows):
            row = rows[key]
            yield key, number, row.version, b"" if row.is_deleted else encode_row(row)

    def _add_run(self, level: int, rows: Iterator[_Kept]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        runs = self._levels[level]
        runs.append(self._write(rows))
        if len(runs) >= _MOST_RUNS:
            self._levels[level] = []
            self._add_run(level + 1, _newest([self._read(run) for run in runs]))

    def _write(self, rows: Iterator[_Kept]) -> _Run:
        blocks = []
        kept: list[_Kept] = []
        for row in rows:
            kept.append(row)
            if len(kept) == _BLOCK_ROWS:
                blocks.append(self._append(kept))
                kept = []
        if kept:
            blocks.append(self._append(kept))
        return _Run(blocks)

    def _append(self, rows: list[_Kept]) -> tuple[int, int]:
        value = marshal.dumps(rows)
        start = self._end
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="postwatch-read-")  # noqa: SIM115  # `lines` closes it
            self._file.seek(start)
            self._file.write(value)
        except OSError as error:
            raise StoreError(f"{NO_ROOM}: {error.strerror or error}") from error
        self._end += len(value)
        return start, len(value)

    def _read(self, run: _Run) -> Iterator[_Kept]:
        assert self._file is not None
        for start, size in run.blocks:
            self._file.seek(start)
            yield from marshal.loads(self._file.read(size))


def _newest(runs: list[Iterator[_Kept]]) -> Iterator[_Kept]:
    """Of sorted rows the newest of each key, in order."""
    kept: _Kept | None = None
    for row in heapq.merge(*runs):
        if kept is None or row[0] != kept[0]:
            if kept is not None:
                yield kept
            kept = row
        elif row[2] >= kept[2]:
            kept = row
    if kept is not None:
        yield kept
