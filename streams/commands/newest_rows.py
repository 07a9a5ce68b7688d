"""The newest row of each key, however many there are: what does not fit into memory waits in a temporary file.

Invariant: as ReplacingMergeTree has it, of the rows of one key the highest version stays, the last one of these where
several have it; tombstones are not told. Rows come in the order in which messages were queued, so how they were read
does not change the output.

Most rows come nearly in that order, so whole stretches of a run stand before all others: they are cut out in one piece.
"""

from __future__ import annotations

import heapq
import marshal
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import IO, NamedTuple

from postwatch.streams.contracts.packed_rows import PackedRows
from postwatch.streams.errors import StoreError

NO_ROOM = "a temporary file can't be written (TMPDIR names its folder)"

MOST_ROWS = 8_000
"""In memory; beyond, all of them go to the file, in order."""
_MOST_BYTES = 16 << 20
"""Of lines in memory; the same."""
_MOST_RUNS = 64
"""Read side by side; as many are made one first."""
_BLOCK_ROWS = 64
_BLOCK_BYTES = 1 << 18


class _Block(NamedTuple):
    """Some rows of a run, in the order of their keys."""

    keys: list[bytes]
    versions: list[int]
    ends: list[int]
    """Where the line of each row ends in `text`."""
    text: bytes


class _Piece(NamedTuple):
    """Rows of a block that stand before all others."""

    block: _Block
    start: int
    stop: int

    def text(self) -> bytes:
        block, start, stop = self
        return block.text[block.ends[start - 1] if start else 0 : block.ends[stop - 1]]


_Run = list[tuple[int, int]]
"""Rows in the order of their keys: where their blocks stand in the file."""


class NewestRows:
    """Add rows, then read them once."""

    def __init__(self) -> None:
        self._rows: dict[bytes, tuple[int, bytes]] = {}
        """Key → version and line."""
        self._size = 0
        self._file: IO[bytes] | None = None
        self._end = 0
        self._levels: list[list[_Run]] = []
        """Runs by how often they were made one, in order; so each row is written anew a few times at most."""

    def add(self, fresh: PackedRows) -> None:
        """Keep what is newer than what is known."""
        rows = self._rows
        for key, version, line in zip(*fresh, strict=True):
            known = rows.get(key)
            if known is None or version >= known[0]:
                rows[key] = version, line
                self._size += len(line)
        if len(rows) >= MOST_ROWS or self._size >= _MOST_BYTES:
            self._add_run(0, self._take_rows())

    def texts(self) -> Iterator[bytes]:
        """All rows, as whole lines of JSON, many at once. Nothing is left in the file."""
        runs = [self._read(run) for level in reversed(self._levels) for run in level]
        for piece in _newest([*runs, self._take_rows()]):
            text = piece.text()
            if text:
                yield text
        if self._file is not None:
            self._file.close()

    def _take_rows(self) -> Iterator[_Block]:
        rows = self._rows
        self._rows, self._size = {}, 0
        block = _NewBlock()
        for key in sorted(rows):
            version, line = rows[key]
            block.add([key], [version], [len(line)], line)
            if block.is_full():
                yield block.take()
        if block.keys:
            yield block.take()

    def _add_run(self, level: int, blocks: Iterable[_Block]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        runs = self._levels[level]
        runs.append([self._append(block) for block in blocks])
        if len(runs) >= _MOST_RUNS:
            self._levels[level] = []
            self._add_run(level + 1, _blocks(_newest([self._read(run) for run in runs])))

    def _append(self, block: _Block) -> tuple[int, int]:
        value = marshal.dumps(tuple(block))
        start = self._end
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="postwatch-read-")  # noqa: SIM115  # `texts` closes it
            self._file.seek(start)
            self._file.write(value)
        except OSError as error:
            raise StoreError(f"{NO_ROOM}: {error.strerror or error}") from error
        self._end += len(value)
        return start, len(value)

    def _read(self, run: _Run) -> Iterator[_Block]:
        assert self._file is not None
        for start, size in run:
            self._file.seek(start)
            yield _Block(*marshal.loads(self._file.read(size)))


class _NewBlock:
    """A block that is being filled."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.keys: list[bytes] = []
        self._versions: list[int] = []
        self._sizes: list[int] = []
        self._texts: list[bytes] = []
        self._size = 0

    def add(self, keys: list[bytes], versions: list[int], sizes: list[int], text: bytes) -> None:
        self.keys += keys
        self._versions += versions
        self._sizes += sizes
        self._texts.append(text)
        self._size += len(text)

    def is_full(self) -> bool:
        return len(self.keys) >= _BLOCK_ROWS or self._size >= _BLOCK_BYTES

    def take(self) -> _Block:
        block = _Block(self.keys, self._versions, list(accumulate(self._sizes)), b"".join(self._texts))
        self._clear()
        return block


def _blocks(pieces: Iterable[_Piece]) -> Iterator[_Block]:
    """The same rows in blocks that are full."""
    new = _NewBlock()
    for piece in pieces:
        (keys, versions, ends, _), start, stop = piece
        begins = [ends[start - 1] if start else 0, *ends[start:stop]]
        sizes = [end - begin for begin, end in pairwise(begins)]
        new.add(keys[start:stop], versions[start:stop], sizes, piece.text())
        if new.is_full():
            yield new.take()
    if new.keys:
        yield new.take()


class _Cursor:
    """The next row of a run."""

    def __init__(self, blocks: Iterator[_Block]) -> None:
        self._blocks = blocks
        self.block = _Block([], [], [], b"")
        self.place = 0

    def key(self) -> bytes | None:
        """None: there are no more rows."""
        if self.place == len(self.block.keys):
            block = next(self._blocks, None)
            if block is None:
                return None
            self.block, self.place = block, 0
        return self.block.keys[self.place]


def _newest(runs: list[Iterator[_Block]]) -> Iterator[_Piece]:
    """Of sorted runs, the earliest first, the newest row of each key, in order."""
    cursors = [_Cursor(run) for run in runs]
    heads = [(key, order) for order, cursor in enumerate(cursors) if (key := cursor.key()) is not None]
    heapq.heapify(heads)
    while heads:
        key, order = heapq.heappop(heads)
        cursor = newest = cursors[order]
        tied = [order]
        stop = cursor.place + 1
        if heads and heads[0][0] == key:
            while heads and heads[0][0] == key:
                tied.append(heapq.heappop(heads)[1])
                other = cursors[tied[-1]]
                if other.block.versions[other.place] >= newest.block.versions[newest.place]:
                    newest = other
            yield _Piece(newest.block, newest.place, newest.place + 1)
        else:
            keys = cursor.block.keys
            stop = bisect_left(keys, heads[0][0], stop) if heads else len(keys)
            yield _Piece(cursor.block, cursor.place, stop)
        cursor.place = stop
        for one in tied:
            if one != order:
                cursors[one].place += 1
            following = cursors[one].key()
            if following is not None:
                heapq.heappush(heads, (following, one))
