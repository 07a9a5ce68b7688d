"""The newest row of each key, however many there are: what does not fit into memory waits in temporary files.

Invariant: as ReplacingMergeTree has it, of the rows of one key the highest version stays, the last one of these where
several have it; tombstones are not told. Rows come in the order in which messages were queued, so how they were read
does not change the output.

Lines are written once, as they come, and read once. What is sorted and merged are the entries that tell where they are.
"""

from __future__ import annotations

import io
import marshal
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import IO

from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.packed_rows import key_of, pack_rows, place_of
from postwatch.streams.errors import StoreError

NO_ROOM = "a temporary file can't be written (TMPDIR names its folder)"

MOST_ROWS = 8_000
"""Whose entries are in memory; beyond, all of them go to a file, in order."""
_MOST_BYTES = 8 << 20
"""Of lines in memory; beyond, they go to a file as well."""
_MOST_RUNS = 64
"""Read side by side; as many are made one first."""
_BLOCK_ROWS = 250
_READ_BYTES = 1 << 20
"""Of lines, at once."""
_SKIPPED_BYTES = 1 << 12
"""Between two lines that are read at once."""

_Entries = list[bytes]
_Run = list[tuple[int, int]]
"""Entries in order: where their blocks stand in the file."""


class NewestRows:
    """Add rows, then read them once."""

    def __init__(self) -> None:
        self._entries: _Entries = []
        self._lines = _Spool()
        self._blocks = _Spool()
        self._levels: list[list[_Run]] = []
        """Runs by how often they were made one, in order; so each entry is written anew a few times at most."""

    def add(self, rows: list[Outcome]) -> None:
        packed = pack_rows(rows, self._lines.end)
        self._lines.append(packed.text)
        self._entries += packed.entries
        if len(self._entries) >= MOST_ROWS:
            self._add_run(0, self._take_entries())

    def texts(self) -> Iterator[bytes]:
        """All rows, as whole lines of JSON, many at once. Nothing is left in the files."""
        runs = [self._read(run) for level in reversed(self._levels) for run in level]
        for entries in _newest(_merge([*runs, self._take_entries()])):
            yield from self._read_lines(entries)
        self._lines.close()
        self._blocks.close()

    def _take_entries(self) -> Iterator[_Entries]:
        entries, self._entries = sorted(self._entries), []
        return _cut(entries)

    def _add_run(self, level: int, blocks: Iterable[_Entries]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        runs = self._levels[level]
        runs.append([self._blocks.append(marshal.dumps(part)) for block in blocks for part in _cut(block)])
        if len(runs) >= _MOST_RUNS:
            self._levels[level] = []
            self._add_run(level + 1, _newest(_merge([self._read(run) for run in runs])))

    def _read(self, run: _Run) -> Iterator[_Entries]:
        for begin, end in run:
            yield marshal.loads(self._blocks.read(begin, end))

    def _read_lines(self, entries: _Entries) -> Iterator[bytes]:
        some: list[tuple[int, int]] = []
        size = 0
        for begin, end in map(place_of, entries):
            some.append((begin, end))
            size += end - begin
            if size >= _READ_BYTES:
                yield self._read_places(some)
                some, size = [], 0
        if size:
            yield self._read_places(some)

    def _read_places(self, places: list[tuple[int, int]]) -> bytes:
        """What stands at each place, in their order. Places that are near each other are read at once."""
        found: dict[int, bytes] = {}
        stretch: list[tuple[int, int]] = []
        for place in sorted(places):
            if stretch and place[0] > stretch[-1][1] + _SKIPPED_BYTES:
                self._read_stretch(stretch, found)
                stretch = []
            stretch.append(place)
        self._read_stretch(stretch, found)
        return b"".join([found[begin] for begin, end in places if begin < end])

    def _read_stretch(self, places: list[tuple[int, int]], found: dict[int, bytes]) -> None:
        first = places[0][0]
        text = self._lines.read(first, places[-1][1])
        for begin, end in places:
            if begin < end:
                found[begin] = text[begin - first : end - first]


class _Spool:
    """Bytes that are appended and read again: in memory while they are few, then in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] = io.BytesIO()
        self.end = 0

    def append(self, value: bytes) -> tuple[int, int]:
        """Where they begin and end."""
        begin, self.end = self.end, self.end + len(value)
        try:
            if self.end > _MOST_BYTES and isinstance(self._file, io.BytesIO):
                held = self._file.getvalue()
                self._file = tempfile.TemporaryFile(prefix="postwatch-read-")  # noqa: SIM115  # `close`
                self._file.write(held)
            self._file.seek(begin)
            self._file.write(value)
            self._file.flush()
        except OSError as error:
            raise StoreError(f"{NO_ROOM}: {error.strerror or error}") from error
        return begin, self.end

    def read(self, begin: int, end: int) -> bytes:
        self._file.seek(begin)
        return self._file.read(end - begin)

    def close(self) -> None:
        self._file.close()


def _cut(entries: _Entries) -> Iterator[_Entries]:
    for start in range(0, len(entries), _BLOCK_ROWS):
        yield entries[start : start + _BLOCK_ROWS]


def _merge(runs: Iterable[Iterator[_Entries]]) -> Iterator[_Entries]:
    """The entries of all runs in order. Up to where the first block ends all are in memory, and to sort stretches that
    are in order is to merge them.
    """
    heads = [(next(run, []), run) for run in runs]
    while heads := [(block, run) for block, run in heads if block]:
        bound = min(block[-1] for block, _ in heads)
        found: _Entries = []
        for place, (block, run) in enumerate(heads):
            stop = bisect_right(block, bound)
            if stop:
                found += block[:stop]
                heads[place] = block[stop:] or next(run, []), run
        found.sort()
        yield found


def _newest(blocks: Iterable[_Entries]) -> Iterator[_Entries]:
    """Of entries in order, the last one of each key."""
    last: _Entries = []
    for block in blocks:
        block = last + block
        last = block[-1:]
        newest = [one for one, following in pairwise(block) if not following.startswith(key_of(one))]
        if newest:
            yield newest
    if last:
        yield last
