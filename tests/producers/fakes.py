"""Stand-ins for Kafka and the clock: a publisher that acknowledges when it's told to, and a world with log files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from postwatch.producers.files.checkpoint import load_checkpoint
from postwatch.producers.files.file_registry import FileRegistry
from postwatch.producers.record import Headers, Heartbeat, RawHeaders, decode_headers
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.ship_settings import FollowedGlob
from postwatch.producers.shipper import Shipper, ShipPlan


@dataclass
class Published:
    value: bytes
    headers: RawHeaders
    acknowledged: Callable[[], None]


@dataclass
class FakePublisher:
    """Takes records at once; acknowledges them in `poll` unless `holds_back`."""

    room_bytes: int = 1 << 30
    holds_back: bool = False
    records: list[Published] = field(default_factory=list)
    """Every record of lines ever taken."""
    heartbeats: list[Heartbeat] = field(default_factory=list)
    waiting: list[tuple[Callable[[], None], int, int]] = field(default_factory=list)

    def has_room(self) -> bool:
        return sum(size for _, size, _ in self.waiting) < self.room_bytes

    def publish(self, value: bytes, headers: Headers, acknowledged: Callable[[], None], now_ms: int) -> None:
        decoded = decode_headers(list(headers))
        if isinstance(decoded, RawHeaders):
            self.records.append(Published(value, decoded, acknowledged))
        else:
            self.heartbeats.append(decoded)
        self.waiting.append((acknowledged, len(value), now_ms))

    def poll(self, seconds: float) -> None:
        if not self.holds_back:
            self.acknowledge(len(self.waiting))

    def acknowledge(self, count: int) -> None:
        for _ in range(count):
            self.waiting.pop(0)[0]()

    def flush(self, seconds: float) -> bool:
        self.poll(seconds)
        return not self.waiting

    def waiting_ms(self, now_ms: int) -> int:
        return now_ms - self.waiting[0][2] if self.waiting else 0

    def unavailable(self) -> UnavailableError:
        return UnavailableError("Kafka does not answer")

    def lines(self) -> list[bytes]:
        return [line for record in self.records for line in record.value.splitlines(keepends=True)]


class MailServer:
    """A folder of logs and a shipper that follows `mainlog` in it, on a clock that the test moves."""

    def __init__(self, folder: Path, pattern: str = "mainlog") -> None:
        self.folder = folder
        self.mainlog = folder / "mainlog"
        self.checkpoint_file = folder / "state" / "checkpoint.json"
        self.checkpoint_file.parent.mkdir()
        self.globs: tuple[FollowedGlob, ...] = (FollowedGlob(str(folder / pattern), "exim-main"),)
        self.publisher = FakePublisher()
        self.health = Health()
        self.now_ms = time.time_ns() // 1_000_000
        self.start()

    def start(self) -> None:
        """A new process: it knows what the checkpoint tells."""
        plan = ShipPlan(self.globs, "UTC", self.checkpoint_file, linger_ms=250, heartbeat_ms=10_000)
        self.registry = FileRegistry(load_checkpoint(self.checkpoint_file), self.now_ms)
        outage = OutageLog("kafka", self.health)
        self.shipper = Shipper(plan, self.registry, self.publisher, self.health, outage, lambda: self.now_ms)

    def crash(self) -> None:
        """kill -9: what is under way may have reached Kafka, but nobody hears of it. Then a new process."""
        self.publisher.waiting.clear()
        self.registry.close()
        self.start()

    def restart(self) -> None:
        self.shipper.stop()
        self.start()

    def pass_time(self, milliseconds: int, step_ms: int = 300) -> None:
        """Turn after turn, as many as it takes for scans, lingers and saves to come due."""
        end_ms = self.now_ms + milliseconds
        self.shipper.turn()
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + step_ms)
            self.shipper.turn()

    def write(self, *lines: bytes, path: Path | None = None) -> None:
        with open(path or self.mainlog, "ab") as file:
            file.write(b"".join(lines))
        self.touch(path or self.mainlog)

    def touch(self, path: Path) -> None:
        """Changed now, by the clock of the test."""
        os.utime(path, ns=(self.now_ms * 1_000_000, self.now_ms * 1_000_000))

    def rename(self, name: str) -> Path:
        """Rotate by rename and create, as logrotate does it."""
        rotated = self.folder / name
        os.rename(self.mainlog, rotated)
        self.mainlog.touch()
        return rotated

    def copytruncate(self, name: str) -> Path:
        """Rotate by copy and truncate."""
        rotated = self.folder / name
        rotated.write_bytes(self.mainlog.read_bytes())
        os.truncate(self.mainlog, 0)
        self.touch(rotated)
        self.touch(self.mainlog)
        return rotated
