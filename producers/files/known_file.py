"""What the shipper remembers of a file: who it is, what Kafka has of it, and where it was seen last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from postwatch.producers.files.checkpoint import SavedFile
from postwatch.producers.files.discovery import FileKey, FoundFile
from postwatch.producers.files.fingerprint import START, Identity, Position
from postwatch.producers.files.in_flight import InFlightTracker
from postwatch.producers.files.source import Source
from postwatch.producers.files.tail import Tail

_NEVER = (-1, -1)


class KnownFile:
    """A file by its content, whatever its name is now and whether it is open or not. Slotted: there may be many."""

    __slots__ = ("identity", "in_flight", "is_finished", "is_open", "key", "live_path", "path", "seen_ms")

    def __init__(
        self, identity: Identity, found: FoundFile | SavedFile, now_ms: int, acknowledged: Position = START
    ) -> None:
        self.identity = identity
        self.in_flight = InFlightTracker(acknowledged)
        self.live_path = found.live_path
        self.path = found.path
        self.key = found.key
        self.is_open = False
        self.is_finished = False
        """Rotated and read to its end, or reported as missing: nobody waits for it."""
        self.seen_ms = now_ms

    @property
    def is_busy(self) -> bool:
        """Open, or with records in flight: what Kafka has of it still changes."""
        return self.is_open or not self.in_flight.is_settled

    def saved(self) -> SavedFile:
        return SavedFile(
            self.identity, self.in_flight.acknowledged, self.live_path, self.path, self.key, self.is_finished
        )


def restore(saved: SavedFile, now_ms: int) -> KnownFile:
    """The inverse of `KnownFile.saved`."""
    known = KnownFile(saved.identity, saved, now_ms, saved.acknowledged)
    known.is_finished = saved.is_finished
    return known


class OpenFile:
    """An open file. `tail` is None until its first whole line tells which file it is."""

    __slots__ = (
        *("active_ms", "found", "idle_at", "is_awake", "is_rotated", "key", "known", "lingers_since_ms"),
        *("source", "tail", "was"),
    )

    def __init__(self, source: Source, found: FoundFile, now_ms: int) -> None:
        self.source = source
        self.key = FileKey(source.device, source.inode)
        self.found = found
        self.is_rotated = found.is_rotated
        self.known: KnownFile | None = None
        self.tail: Tail | None = None
        self.active_ms = now_ms
        """When it last brought a line or was rotated."""
        self.is_awake = True
        """Whether every turn looks at it."""
        self.was: KnownFile | None = None
        """What the file was until it was truncated."""
        self.lingers_since_ms = 0
        """When the oldest line was seen that waits for more lines in its record; 0: none waits."""
        self.idle_at = _NEVER
        """Its source's status when a read found no whole line: read again when that changes."""

    def attach(self, known: KnownFile) -> None:
        """Go on reading a known file. Raises OSError, or TruncatedError when it has just become another one."""
        self.tail = Tail(self.source, known.identity, known.in_flight.acknowledged)
        self.known, self.idle_at = known, _NEVER
        known.is_open, known.is_finished = True, False
        known.path, known.key = self.found.path, self.key

    def lag_bytes(self) -> int:
        """What it holds and Kafka has not acknowledged; 0 where it can't be told, for then reading complains.

        Of a quiet file as the last look saw it.
        """
        behind = self.known.in_flight.acknowledged.byte_offset if self.known else 0
        if not self.is_awake:
            return max(0, self.source.status[0] - behind)
        try:
            return max(0, self.source.unread_bytes(behind))
        except OSError:
            return 0

    def refresh(self) -> None:
        """Take the time of its last change from the open file, for no name tells it any more."""
        with contextlib.suppress(OSError):
            self.found = self.found._replace(modified_ms=self.source.look()[1] // 1_000_000)

    def is_still(self) -> bool:
        """Whether a read would find nothing: the file, which is not compressed, is as it was when one did."""
        try:
            return self.source.look() == self.idle_at
        except OSError:
            return False  # whoever reads it complains

    def detach(self) -> None:
        self.was, self.known, self.tail, self.idle_at = self.known, None, None, _NEVER
        if self.was:
            self.was.is_open = False


class Verdict(NamedTuple):
    """Which known file a rotation is; valid while its name, size and modification time stay the same."""

    known: KnownFile | None
    is_settled: bool
    """Nothing of it is left to read."""


def recognise(source: Source, start: bytes, known_files: Iterable[KnownFile]) -> KnownFile | None:
    """The one of these whose beginning this is and that proves the bytes before its position. Raises OSError."""
    for known in sorted(known_files, key=lambda known: known.key != (source.device, source.inode)):
        position = known.in_flight.acknowledged
        if known.identity.begins(start) and position.holds(
            source.read_at(position.byte_offset - position.proof_bytes, position.proof_bytes)
        ):
            return known
    return None
