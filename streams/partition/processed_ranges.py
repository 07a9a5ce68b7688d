"""Processed ranges: the byte ranges of each log file whose lines are acknowledged.

They keep duplicate lines of closed messages from looking like new messages. A file nearly always has one range. It may
have more, so that a shipper that begins in the middle, or a second shipper, never hides a line that was not processed.

The messages that cross the acknowledged offset (opened before it, closed after it) are kept beside them: after a crash
only their last lines are read again, which would look like messages without an arrival.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec
from postwatch.streams.settings import LONGEST_RETRY_MS

MOST_RANGES = 64
"""Ranges of one file. Beyond that the first are dropped: lines may be processed twice, none is lost."""
FILES_A_SERVER = 16
FORGET_AFTER_MS = LONGEST_RETRY_MS
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
        """The end of the range that contains `start`, or `start` itself where no range does."""
        place = bisect_left(self.ends, start + 1)
        if place < len(self.ends) and self.starts[place] <= start:
            return self.ends[place]
        return start

    def goes_on(self, start: int, end: int, now_ms: int) -> bool:
        """Whether this is the next piece of a growing file, as nearly all are; then it is added."""
        ends = self.ends
        if not ends or ends[-1] != start:
            return False
        ends[-1] = end
        self.touched_ms = now_ms
        return True

    def add(self, start: int, end: int, now_ms: int) -> None:
        """Add a range; touching ranges become one."""
        if self.goes_on(start, end, now_ms):
            return
        self.touched_ms = now_ms
        ends = self.ends
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
        files = self.servers.get(server)
        if files is None:
            files = self.servers[server] = {}
        found = files.get(file)
        if found is None:
            found = files[file] = FileRanges()
            if len(files) > FILES_A_SERVER:
                del files[min(files, key=lambda name: (name == file, files[name].touched_ms))]
        return found

    def add(self, server: str, file: str, start: int, end: int, now_ms: int) -> None:
        self.file(server, file).add(start, end, now_ms)

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


def encode_ranges(ranges: ProcessedRanges) -> bytes:
    return _VERSION + msgspec.msgpack.encode(ranges)


def decode_ranges(value: bytes | None) -> ProcessedRanges:
    """The inverse of `encode_ranges`; None gives an empty one. Raises ValueError for another version."""
    if value is None:
        return ProcessedRanges()
    if value[:1] != _VERSION:
        raise ValueError(f"processed ranges of version {value[0]} were written by a newer Postwatch; run that version")
    return _decoder.decode(value[1:])
