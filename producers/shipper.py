"""The shipper's loop: scan, read, publish, remember, and tell that this server lives.

Nothing is read that Kafka has no room for, and nothing is remembered that Kafka has not acknowledged. An identity is in
the checkpoint before the first record that carries it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import structlog
from postwatch.producers import ship_metrics as metrics
from postwatch.producers.files.checkpoint import Checkpoint, save_checkpoint
from postwatch.producers.files.discovery import Discovery
from postwatch.producers.files.file_registry import FileRegistry
from postwatch.producers.files.fingerprint import Position
from postwatch.producers.files.known_file import KnownFile, OpenFile
from postwatch.producers.files.tail import Chunk, Tail, TruncatedError
from postwatch.producers.publisher import Publisher
from postwatch.producers.record import MAX_RECORD_BYTES, Headers, Heartbeat, RawHeaders
from postwatch.producers.service.health import Health
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.ship_settings import FollowedGlob

log = structlog.get_logger()

VERSION = version("postwatch")

SCAN_MS = 1_000
SAVE_MS = 1_000
IDLE_POLL_SECONDS = 0.05
"""How long a turn waits when there is nothing to read: short beside the linger."""
_REST = 20
"""A look at thousands of files that are written to takes its time: so many times as long passes before the next, so
that it takes a twentieth of a core at most."""
_LONGEST_IDLE_POLL_SECONDS = 0.5
_SCAN_REST = 400
"""The same for a scan of thousands of files: a quarter of a hundredth of a core."""
_LONGEST_SCAN_MS = 10_000
_SAVE_REST = 1_000
"""The same for a checkpoint that tells no more than until when this shipper looked: a thousandth of a core."""
_LONGEST_SAVE_MS = 60_000
READS_IN_A_TURN = 16
"""So that acknowledgements, heartbeats and a signal don't wait behind a backlog."""
KAFKA_AWAY_MS = 5_000
"""No acknowledgement for so long is a reason to complain."""
FLUSH_SECONDS = 10.0


class ShipPlan(NamedTuple):
    """What one shipper does: its settings, checked."""

    globs: tuple[FollowedGlob, ...]
    tz: str
    checkpoint_file: Path
    linger_ms: int
    heartbeat_ms: int


class Shipper:
    """Call `turn` until it's time to `stop`. Both raise PublishError."""

    def __init__(
        self,
        plan: ShipPlan,
        registry: FileRegistry,
        publisher: Publisher,
        health: Health,
        outage: OutageLog,
        clock_ms: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._discovery = Discovery(plan.globs)
        self._registry = registry
        self._publisher = publisher
        self._health = health
        self._outage = outage
        """Kafka's."""
        self._clock_ms = clock_ms
        self._last_turn_ms = self._last_line_ms = 0
        self._started_ms = clock_ms()
        self._next_scan_ms = self._next_save_ms = self._next_idle_save_ms = self._next_heartbeat_ms = 0
        self._is_heartbeat_in_flight = self._has_progress = self._has_beaten = False
        self._is_paused = self._is_unsaved = False

    def turn(self) -> None:
        """One round of everything; waits a little when there was nothing to read."""
        now_ms = self._clock_ms()
        if now_ms < self._last_turn_ms:  # the machine's clock was set back: don't wait until it has caught up
            self._next_scan_ms = self._next_save_ms = self._next_idle_save_ms = self._next_heartbeat_ms = 0
        self._last_turn_ms = now_ms
        is_scan_due = now_ms >= self._next_scan_ms
        if is_scan_due:
            self._scan(now_ms)  # identifies every file
        due = self._registry.looks.due()
        if not is_scan_due:
            self._registry.identify(due, now_ms)
        if self._registry.has_news and not self._is_unsaved:
            self._save(now_ms)
        has_more = not self._registry.has_news and self._read_files(due, now_ms)
        self._beat(now_ms)
        self._publisher.poll(0 if has_more else self._idle_seconds(now_ms))
        has_news = self._has_progress or self._registry.has_news
        if now_ms >= (self._next_save_ms if has_news else self._next_idle_save_ms) and (has_news or self._has_beaten):
            self._save(now_ms)

    def stop(self) -> None:
        """Wait for what is in flight, write the last checkpoint, close the files."""
        if not self._publisher.flush(FLUSH_SECONDS):
            log.warning("stopped_unacknowledged", remedy="nothing is lost: it is read again at the next start")
        self._save(self._clock_ms())
        self._registry.close()

    def _idle_seconds(self, started_ms: int) -> float:
        rest_seconds = (self._clock_ms() - started_ms) * _REST / 1000
        return min(max(IDLE_POLL_SECONDS, rest_seconds), _LONGEST_IDLE_POLL_SECONDS)

    def _scan(self, now_ms: int) -> None:
        found, read_errors = self._discovery.look(self._registry.held)
        self._registry.scan(found, read_errors, now_ms)
        took_ms = self._clock_ms() - now_ms
        self._next_scan_ms = now_ms + min(max(SCAN_MS, took_ms * _SCAN_REST), _LONGEST_SCAN_MS)
        metrics.FILES.set(len(self._registry.open))
        metrics.LAG_BYTES.set(self._registry.lag_bytes())
        self._tell_health(now_ms)

    def _read_files(self, files: Iterable[OpenFile], now_ms: int) -> bool:
        """Read what is there, a name's rotations before its live file: whether more can be read at once."""
        unfinished: set[str] = set()
        for file in files:
            live_path = file.found.live_path
            if self._registry.is_awaited(file, now_ms):
                continue
            if live_path not in unfinished and not self._read_file(file, now_ms):
                unfinished.add(live_path)
            self._registry.looks.wake(file, now_ms)
        has_room = self._publisher.has_room()
        if not has_room and not self._is_paused:
            metrics.PAUSES.inc()
        self._is_paused = not has_room
        return bool(unfinished) and has_room

    def _read_file(self, file: OpenFile, now_ms: int) -> bool:
        """Whether nothing is left in the file that could be published now."""
        path = file.found.path
        try:
            for _ in range(READS_IN_A_TURN):
                if not file.tail or not file.known or not self._has_lines(file, file.tail, now_ms):
                    self._registry.close_idle(file, now_ms)
                    return True
                if not self._publisher.has_room():
                    return False
                self._publish(file, file.tail, file.known, now_ms)
                self._registry.read_errors.settle(path)
            return False
        except TruncatedError:
            self._registry.truncated(file, now_ms)
            self._next_scan_ms = 0
        except OSError as error:
            if not file.source.is_compressed or not file.is_rotated:
                self._registry.read_errors.complain(path, error.strerror or str(error))
            else:
                self._registry.give_up(file, error.strerror or str(error), now_ms)
        return True

    def _has_lines(self, file: OpenFile, tail: Tail, now_ms: int) -> bool:
        """Whether a record is worth reading: it is full, has waited for the linger, or nothing can join it."""
        unread_bytes = tail.unread_bytes()
        if unread_bytes < 0:
            raise TruncatedError
        if file.source.status == file.idle_at:
            file.lingers_since_ms = 0
            return False
        if unread_bytes == 0 or unread_bytes >= MAX_RECORD_BYTES or file.is_rotated:
            return True  # without a growth, too: it may have been written again to the same size
        if not file.lingers_since_ms or now_ms < file.lingers_since_ms:
            file.lingers_since_ms = now_ms
        return now_ms - file.lingers_since_ms >= self._plan.linger_ms

    def _publish(self, file: OpenFile, tail: Tail, known: KnownFile, now_ms: int) -> None:
        status = file.source.status  # before it is read: what comes meanwhile changes it
        skipped_before = tail.skipped_nuls
        chunks = tail.read()
        metrics.SKIPPED_NUL_BYTES.inc(tail.skipped_nuls - skipped_before)
        file.lingers_since_ms = 0
        if not chunks:
            file.idle_at = status
        for chunk in chunks:
            known.in_flight.send(chunk.end)
            acknowledged = partial(self._acknowledged, known, chunk.end, len(chunk.value), chunk.value.count(b"\n"))
            self._publisher.publish(chunk.value, self._headers(file, known, chunk, now_ms), acknowledged, now_ms)
            if chunk.is_cut:
                metrics.CUT_LINES.inc()
                self._registry.losses.cut_lines += 1
                log.warning("line_cut", path=file.found.path, byte_offset=chunk.byte_offset)
        if chunks:
            file.active_ms = self._last_line_ms = now_ms

    def _headers(self, file: OpenFile, known: KnownFile, chunk: Chunk, now_ms: int) -> Headers:
        return RawHeaders(
            format=file.found.format,
            tz=self._plan.tz,
            file=known.identity.fingerprint,
            byte_offset=chunk.byte_offset,
            end_offset=chunk.end.byte_offset,
            sent_ms=now_ms,
        ).encode()

    def _acknowledged(self, known: KnownFile, end: Position, size_bytes: int, lines: int) -> None:
        known.in_flight.acknowledge(end)
        self._has_progress = True
        metrics.RECORDS.inc()
        metrics.BYTES.inc(size_bytes)
        metrics.LINES.inc(lines)

    def _beat(self, now_ms: int) -> None:
        """One heartbeat at a time: while Kafka is away they don't pile up."""
        if now_ms < self._next_heartbeat_ms or self._is_heartbeat_in_flight:
            return
        beat = Heartbeat(
            now_ms,
            self._last_line_ms,
            self._registry.lag_bytes(),
            len(self._registry.open),
            VERSION,
            self._started_ms,
            self._registry.losses.truncations,
            self._registry.losses.unread_files,
            self._registry.losses.cut_lines,
        )
        self._is_heartbeat_in_flight = True
        self._publisher.publish(b"", beat.encode(), self._heartbeat_acknowledged, now_ms)
        self._next_heartbeat_ms = now_ms + self._plan.heartbeat_ms

    def _heartbeat_acknowledged(self) -> None:
        self._is_heartbeat_in_flight = False
        self._has_beaten = True  # a checkpoint tells, too, until when this shipper looked
        metrics.HEARTBEATS.inc()

    def _save(self, now_ms: int) -> None:
        self._next_save_ms = now_ms + SAVE_MS
        started_ms = self._clock_ms()
        files = tuple(known.saved() for known in self._registry.known)
        try:
            save_checkpoint(self._plan.checkpoint_file, Checkpoint(self._registry.scanned_ms, files))
        except OSError as error:
            self._is_unsaved = True
            metrics.CHECKPOINT_ERRORS.inc()
            reason = f"{self._plan.checkpoint_file} can't be written: {error.strerror}"
            self._health.complain("checkpoint", reason)
            log.error("checkpoint_unwritable", reason=reason, remedy="free disk space or correct the permissions")
            return
        took_ms = self._clock_ms() - started_ms
        self._next_idle_save_ms = now_ms + min(max(SAVE_MS, took_ms * _SAVE_REST), _LONGEST_SAVE_MS)
        self._is_unsaved = self._has_progress = self._has_beaten = self._registry.has_news = False
        self._health.settle("checkpoint")
        metrics.CHECKPOINT_TIME.set(now_ms / 1000)

    def _tell_health(self, now_ms: int) -> None:
        waiting_ms = self._publisher.waiting_ms(now_ms)
        if waiting_ms >= KAFKA_AWAY_MS:
            self._outage.away(f"{self._publisher.unavailable()}; no acknowledgement for {waiting_ms // 1000} s")
        else:
            self._outage.back()
        if read_errors := str(self._registry.read_errors):
            self._health.complain("files", read_errors)
        else:
            self._health.settle("files")
