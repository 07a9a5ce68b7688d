"""The marks: what was taken in and acknowledged, so that lines of closed messages are not taken for new ones.

For each server and file a set of byte ranges, nearly always one. Ranges, not a single mark, so that a shipper that
begins in the middle or two shippers of one file can never make a line count as seen that was not. And the messages that
cross the acknowledged offset: opened before it and closed behind it. After a crash the lines behind it are read again,
without those before it; what is left of such a message would look like one whose arrival was never seen.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

MOST_RANGES = 64
"""Of one file; more means that pieces come at random. The first are dropped: lines may repeat, none is lost."""
FILES_A_SERVER = 16
FORGET_AFTER_MS = 8 * 86_400_000
"""Raw records are kept for days; marks of files that were quiet for longer than any record lives are dropped."""


class FileRanges(msgspec.Struct, array_like=True):
    """Sorted, disjoint, non-adjacent ranges [start, end) of one file."""

    starts: list[int] = []
    ends: list[int] = []
    touched_ms: int = 0

    def covers(self, start: int, end: int) -> bool:
        place = bisect_left(self.ends, end)
        return place < len(self.ends) and self.starts[place] <= start

    def processed_until(self, start: int) -> int:
        """The end of the range that holds `start`, or `start` itself where none does."""
        place = bisect_left(self.ends, start + 1)
        if place < len(self.ends) and self.starts[place] <= start:
            return self.ends[place]
        return start

    def add(self, start: int, end: int) -> None:
        """Add a range; touching ranges become one."""
        ends = self.ends
        if ends and ends[-1] == start:  # the next piece of a growing file
            ends[-1] = end
            return
        starts = self.starts
        first = bisect_left(ends, start)
        last = first
        while last < len(starts) and starts[last] <= end:
            start, end = min(start, starts[last]), max(end, ends[last])
            last += 1
        starts[first:last] = [start]
        ends[first:last] = [end]
        if len(starts) > MOST_RANGES:
            del starts[0], ends[0]


class ProcessedRanges(msgspec.Struct, array_like=True):
    """All files of the servers of one partition."""

    servers: dict[str, dict[str, FileRanges]] = {}
    crossing: dict[str, dict[str, int]] = {}
    """Server → queue id → offset of the fetch that closed the message."""

    def file(self, server: str, file: str) -> FileRanges:
        files = self.servers.setdefault(server, {})
        found = files.get(file)
        if found is None:
            found = files[file] = FileRanges()
            if len(files) > FILES_A_SERVER:
                del files[min(files, key=lambda name: (name == file, files[name].touched_ms))]
        return found

    def add(self, server: str, file: str, start: int, end: int, now_ms: int) -> None:
        found = self.file(server, file)
        found.add(start, end)
        found.touched_ms = now_ms

    def cross(self, server: str, queue_id: str, closed_by_offset: int) -> None:
        self.crossing.setdefault(server, {})[queue_id] = closed_by_offset

    def forget_crossed(self, committed: int) -> None:
        """Messages whose closing fetch will not be read again."""
        for server, messages in list(self.crossing.items()):
            kept = {queue_id: offset for queue_id, offset in messages.items() if offset >= committed}
            if kept:
                self.crossing[server] = kept
            else:
                del self.crossing[server]

    def forget_quiet(self, now_ms: int) -> None:
        for server, files in list(self.servers.items()):
            for name, file in list(files.items()):
                if file.touched_ms < now_ms - FORGET_AFTER_MS:
                    del files[name]
            if not files:
                del self.servers[server]


_VERSION = b"\x01"
_decoder = msgspec.msgpack.Decoder(ProcessedRanges)


def encode_ranges(seen: ProcessedRanges) -> bytes:
    return _VERSION + msgspec.msgpack.encode(seen)


def decode_ranges(value: bytes | None) -> ProcessedRanges:
    """The inverse of `encode_ranges`; None gives an empty one. Raises ValueError for another version."""
    if value is None:
        return ProcessedRanges()
    if value[:1] != _VERSION:
        raise ValueError(f"marks of version {value[0]} were written by a newer Postwatch; run that version")
    return _decoder.decode(value[1:])
