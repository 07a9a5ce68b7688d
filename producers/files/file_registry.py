"""The files that a shipper knows: which are open, which it waits for, which it has read to the end.

A file keeps its identity through renames, copies and compression. A rotation is read before the file that took its
name. Files rotated before the shipper's first start stay unread. The time is always an argument.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass

import structlog
from postwatch.producers import ship_metrics as metrics
from postwatch.producers.files.checkpoint import Checkpoint
from postwatch.producers.files.compression import SUFFIXES, UnreadableError
from postwatch.producers.files.discovery import FileKey, FoundFile, ReadError
from postwatch.producers.files.fingerprint import HEAD_BYTES, identify
from postwatch.producers.files.known_file import KnownFile, OpenFile, Verdict, recognise, restore
from postwatch.producers.files.look_round import LookRound
from postwatch.producers.files.read_errors import ReadErrors
from postwatch.producers.files.source import open_source
from postwatch.producers.files.tail import TruncatedError

log = structlog.get_logger()

SETTLE_MS = 2_000
"""A rotation that changed so recently, and isn't recognised, may still be copied or compressed: look again later."""
FILE_CLOCK_MS = 1_000
"""File systems note times more coarsely than the clock tells them."""
UNDECIDED_MS = 10_000
"""A live file waits so long for such a rotation to be read before it, for its lines are the older ones."""
ROTATED_IDLE_MS = 60_000
"""A daemon's processes write to a rotated file for a while; it is closed when nothing came for so long."""
MISSED_AFTER_MS = 60_000
"""A file that wasn't read to its end and can't be found for so long is reported."""
FORGET_AFTER_MS = 24 * 3_600_000
"""A file that can't be found for so long does not come back."""


@dataclass(slots=True)
class Losses:
    """What was not sent as it stood, since the shipper's start; its heartbeats tell."""

    truncations: int = 0
    unread_files: int = 0
    cut_lines: int = 0


class FileRegistry:
    """The files of a shipper."""

    def __init__(
        self, checkpoint: Checkpoint | None, now_ms: int, make_nonce: Callable[[], str] = lambda: os.urandom(8).hex()
    ) -> None:
        self.open: list[OpenFile] = []
        """In the order in which they are read."""
        self.looks = LookRound()
        self.known: list[KnownFile] = []
        self._known_as: dict[str, tuple[KnownFile, ...]] = {}
        """By the live name. Two logs of one daemon may begin with the same line, so others are not asked."""
        self._remember(restore(saved, now_ms) for saved in (checkpoint.files if checkpoint else ()))
        self.has_news = checkpoint is None
        """Files were registered, or it's the first look of all: a checkpoint must be saved before more is published."""
        self.read_errors = ReadErrors()
        self.losses = Losses()
        self.scanned_ms = checkpoint.scanned_ms if checkpoint else now_ms
        """Rotations that have not changed since then need no further look."""
        self.held: Set[FileKey] = frozenset()
        """What is open under the name that its daemon writes to."""
        self._found: Sequence[FoundFile] = ()
        """By the last scan."""
        self._unheld: Sequence[FoundFile] = ()
        """Of these, rotations and what is not open: what each scan has to look at, though nothing has changed."""
        self._found_errors: list[ReadError] = []
        self._scan_errors: list[ReadError] = []
        self._since_ms = self.scanned_ms - FILE_CLOCK_MS
        self._verdicts: dict[FoundFile, Verdict] = {}
        self._undecided: dict[FileKey, tuple[str, int]] = {}
        """Rotations that are too young to tell, or are copies of a file with records in flight: their live path,
        and since when."""
        self._refused: set[FileKey] = set()
        """Rotations of a kind that can't be read, and that were reported."""
        self._make_nonce = make_nonce

    def scan(self, found: Sequence[FoundFile], read_errors: Sequence[ReadError], now_ms: int) -> None:
        """Take up what discovery saw: renames, new files, rotations with something unread, files that are missing.

        The very list of the scan before says that no name and no status has changed, so that of the files that are
        held there is nothing to find out.
        """
        self._scan_errors = list(read_errors)
        has_changed = found is not self._found or self._scan_errors != self._found_errors
        if has_changed:
            self._found, self._found_errors, self._unheld = found, list(read_errors), found
            self._follow_renames(found, now_ms)
        opened = {file.key for file in self.open}
        for file in self._unheld:
            if file.key in opened:
                continue
            if file.is_rotated:
                self._consider(file, now_ms)
            elif opener := self._open(file, now_ms):
                self.open.append(opener)
        self.read_errors.replace_scan(self._scan_errors)
        self._verdicts = {file: self._verdicts[file] for file in self._unheld if file in self._verdicts}
        if self._refused:
            self._refused &= {file.key for file in found}
        if has_changed or len(self.open) != len(opened):
            self.open.sort(key=lambda file: (file.found.live_path, not file.is_rotated, file.found.modified_ms))
            opened = {file.key for file in self.open}
            self.held = {file.key for file in self.open if not file.is_rotated}
            self._unheld = [file for file in found if file.is_rotated or file.key not in self.held]
        undecided = [
            file
            for file in self._unheld
            if file.is_rotated
            and file.key not in opened
            and file not in self._verdicts
            and file.modified_ms > self._since_ms
        ]
        self.scanned_ms = min([now_ms, *(file.modified_ms for file in undecided)])
        self._undecided = {
            file.key: self._undecided.get(file.key, (file.live_path, now_ms))
            for file in undecided
            if not file.path.endswith(SUFFIXES)  # what it is made of lies beside it until it is complete
        }
        self._undecided |= {
            file.key: (file.live_path, now_ms)
            for file, verdict in self._verdicts.items()
            if file.key not in opened and not verdict.is_settled and verdict.known and not verdict.known.is_open
        }
        self.identify(self.open, now_ms)
        self.looks.renew(self.open, now_ms)
        self._review_known(now_ms)

    def is_awaited(self, file: OpenFile, now_ms: int) -> bool:
        """Whether a live file must not be read yet, because a rotation of it may turn out to come first."""
        return not file.is_rotated and any(
            live_path == file.found.live_path and now_ms - since_ms < UNDECIDED_MS
            for live_path, since_ms in self._undecided.values()
        )

    def identify(self, files: Iterable[OpenFile], now_ms: int) -> None:
        """Give each of these that has its first line by now the identity it had, or a new one."""
        for file in files:
            if file.tail is None and (file.source.is_compressed or not file.is_still()):
                try:
                    self._identify(file, now_ms)
                except TruncatedError:
                    continue  # changed between two reads: the next turn sees what it is now
                except OSError as error:
                    self.read_errors.complain(file.found.path, error.strerror or str(error))

    def truncated(self, file: OpenFile, now_ms: int) -> None:
        """The file is another one now; what was left of the old one may be found in a copy."""
        metrics.TRUNCATIONS.inc()
        self.losses.truncations += 1
        log.warning("file_truncated", path=file.found.path, read_bytes=file.tail.byte_offset if file.tail else 0)
        file.detach()
        file.active_ms = now_ms
        if file.was:
            file.was.seen_ms = now_ms

    def close_idle(self, file: OpenFile, now_ms: int) -> bool:
        """Close a rotated file that is read to its end and acknowledged, and to which nobody writes any more."""
        if not file.is_rotated or (file.known and not file.known.in_flight.is_settled):
            return False
        if file.source.is_growing and now_ms - file.active_ms < ROTATED_IDLE_MS:
            return False
        if file.source.is_unfinished and file.found.path.endswith(SUFFIXES):  # KumoMTA's own files have none
            self.give_up(file, "it ends within a frame of zstd", now_ms)
            return True
        unfinished = file.tail.unread_bytes() if file.tail else file.source.unread_bytes(0)
        if unfinished > 0 and not file.source.is_unfinished:
            metrics.UNFINISHED_LINES.inc()
            log.warning("last_line_unfinished", path=file.found.path, unread_bytes=unfinished)
        self._close(file, now_ms)
        return True

    def give_up(self, file: OpenFile, reason: str, now_ms: int) -> None:
        """A compressed rotation is damaged: the rest of it stays unread."""
        metrics.UNREAD_ROTATIONS.inc()
        self.losses.unread_files += 1
        log.error(
            "rotation_unread",
            path=file.found.path,
            reason=reason,
            remedy="recover what is readable with zcat, bzcat, xzcat, zstdcat or unzip",
        )
        self._close(file, now_ms)

    def lag_bytes(self) -> int:
        """What the open files hold and Kafka has not acknowledged."""
        return sum(file.lag_bytes() for file in self.open)

    def close(self) -> None:
        for file in self.open:
            file.source.close()
        self.open = []

    def _follow_renames(self, found: Sequence[FoundFile], now_ms: int) -> None:
        by_key = {file.key: file for file in found}
        for file in self.open:
            seen = by_key.get(file.key)
            if seen is None and os.path.dirname(file.found.path) in {one.path for one in self._scan_errors}:
                continue  # its folder can't be listed: no sign that it was rotated
            was_rotated, file.is_rotated = file.is_rotated, seen is None or seen.is_rotated
            if file.is_rotated and not was_rotated:
                metrics.ROTATIONS.inc()
                log.info("file_rotated", path=file.found.path, new_path=seen.path if seen else "")
                file.active_ms = now_ms
                if seen is None:
                    file.refresh()  # it is the newest rotation now, which its time tells
            if seen:
                file.found = seen
                if file.known:
                    file.known.path = seen.path

    def _open(self, file: FoundFile, now_ms: int) -> OpenFile | None:
        try:
            opened = OpenFile(open_source(file.path), file, now_ms)
        except FileNotFoundError:
            return None  # rotated since the folder was listed
        except UnreadableError as error:
            self._refuse(file, str(error))
            return None
        except OSError as error:
            self._scan_errors.append(ReadError(file.path, error.strerror or str(error)))
            return None
        if opened.key != file.key:  # another file has taken the name since: the next scan sees it
            opened.source.close()
            return None
        return opened

    def _refuse(self, file: FoundFile, reason: str) -> None:
        """A rotation of a kind that can't be read is told of once. Nothing is lost if it was read before."""
        if not file.is_rotated:
            self._scan_errors.append(ReadError(file.path, reason))
            return
        self._verdicts[file] = Verdict(None, is_settled=True)
        if file.modified_ms > self._since_ms and file.key not in self._refused:
            metrics.FILE_ERRORS.inc()
            log.error("rotation_unreadable", path=file.path, reason=reason)
            self._refused.add(file.key)

    def _consider(self, file: FoundFile, now_ms: int) -> None:
        """A rotation that isn't open: read what is unread of it."""
        verdict = self._verdicts.get(file)
        if verdict and verdict.known:
            verdict.known.seen_ms = now_ms
        if verdict and (verdict.is_settled or (verdict.known and verdict.known.is_busy)):
            return
        opened = self._open(file, now_ms)
        if opened is None:
            return
        try:
            verdict = self._judge(opened, now_ms)
            if verdict:
                self._verdicts[file] = verdict
        except TruncatedError:
            log.info("rotation_changed", path=file.path)
        except OSError as error:
            self._verdicts[file] = Verdict(None, is_settled=True)
            if file.modified_ms > self._since_ms:
                self.give_up(opened, error.strerror or str(error), now_ms)
                return
        if opened.known:
            self.open.append(opened)
        else:
            opened.source.close()

    def _judge(self, file: OpenFile, now_ms: int) -> Verdict | None:
        """Which known file a rotation is, and whether it is read. None: it may not be complete; look again later."""
        may_change = now_ms - file.found.modified_ms < SETTLE_MS and not file.found.is_segment
        if may_change and not file.source.is_growing:
            return None
        start = file.source.read_at(0, HEAD_BYTES)
        known = recognise(file.source, start, self._known_as.get(file.found.live_path, ()))
        if known is None:
            if may_change:
                return None
            if file.found.modified_ms > self._since_ms:
                self._register(file, start, now_ms)
            return Verdict(file.known, is_settled=file.known is None)
        known.seen_ms = now_ms
        if known.is_busy:
            return Verdict(known, is_settled=False)
        unread_bytes = file.source.unread_bytes(known.in_flight.acknowledged.byte_offset)
        if unread_bytes <= 0:
            known.is_finished = True
            return Verdict(known, is_settled=True)
        log.info("rotation_found", path=file.found.path, was=known.path, unread_bytes=unread_bytes)
        file.attach(known)
        return Verdict(known, is_settled=False)

    def _identify(self, file: OpenFile, now_ms: int) -> None:
        status = file.source.status
        start = file.source.read_at(0, HEAD_BYTES)
        same_name = self._known_as.get(file.found.live_path, ())
        idle = (known for known in same_name if not known.is_busy and known is not file.was)
        known = recognise(file.source, start, idle)
        if known:
            file.attach(known)
            log.info("file_resumed", path=file.found.path, byte_offset=known.in_flight.acknowledged.byte_offset)
        else:
            self._register(file, start, now_ms)
        if file.tail is None:
            file.idle_at = status

    def _register(self, file: OpenFile, start: bytes, now_ms: int) -> None:
        identity = identify(start, self._make_nonce())
        if identity is None:
            return
        known = KnownFile(identity, file.found, now_ms)
        file.attach(known)
        self._know(known)
        self.has_news = True
        log.info("file_followed", path=file.found.path, fingerprint=identity.fingerprint)

    def _remember(self, files: Iterable[KnownFile]) -> None:
        """These and no others."""
        known_files, self.known, self._known_as = [*files], [], {}
        for known in known_files:
            self._know(known)

    def _know(self, known: KnownFile) -> None:
        self.known.append(known)
        self._known_as[known.live_path] = (*self._known_as.get(known.live_path, ()), known)

    def _close(self, file: OpenFile, now_ms: int) -> None:
        if file.known:
            file.known.is_open, file.known.is_finished, file.known.seen_ms = False, True, now_ms
        self._verdicts[file.found] = Verdict(file.known, is_settled=True)
        file.source.close()
        if file in self.open:
            self.open.remove(file)
            self.looks.forget(file)

    def _review_known(self, now_ms: int) -> None:
        """Report the files that are gone with something unread, and forget those that don't come back."""
        idle = [known for known in self.known if not known.is_busy]
        for known in idle:
            if not known.is_finished and now_ms - known.seen_ms >= MISSED_AFTER_MS:
                known.is_finished = True
                metrics.UNREAD_ROTATIONS.inc()
                self.losses.unread_files += 1
                log.error(
                    "rotation_unread",
                    path=known.path,
                    reason=f"nothing is found that goes on at byte {known.in_flight.acknowledged.byte_offset}",
                    remedy=f"put it back, or decompress it, as {known.live_path}.1",
                )
        if any(now_ms - known.seen_ms >= FORGET_AFTER_MS for known in idle):
            self._remember(known for known in self.known if known.is_busy or now_ms - known.seen_ms < FORGET_AFTER_MS)
