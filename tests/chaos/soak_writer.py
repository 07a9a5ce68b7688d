"""The logs of the soak's servers: Exim's lines at a steady rate, and a rotation every minute."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from postwatch.deploy.simulator import exim

from tests.benchmarks.workload import plain_arrival, plain_delivery

_ROTATION_SECONDS = 60.0
_BLOCKS_A_SECOND = 10
_IN_DELIVERY = 200
_STUCK_EVERY = 50


class SoakWriter:
    """Writes the logs of all servers from a thread of its own, from `start` to `stop`, as often as that is called.

    Every 50th message never completes.
    """

    def __init__(self, folder: Path, servers: Sequence[str], lines_a_second: int) -> None:
        self.paths = {server: folder / server / "mainlog" for server in servers}
        for path in self.paths.values():
            path.parent.mkdir(parents=True)
            path.touch()
        self.lines = 0
        self.messages = 0
        self._block_lines = lines_a_second // _BLOCKS_A_SECOND // len(servers)
        self._chance = random.Random(7)
        self._in_delivery: dict[str, deque[tuple[str, str]]] = {server: deque() for server in servers}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._write, name="soak-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread:
            self._thread.join()

    def _write(self) -> None:
        started = time.monotonic()
        rotate_at = started + _ROTATION_SECONDS
        for number in itertools.count(1):
            for server, path in self.paths.items():
                block = self.block(server)
                with path.open("ab") as log:
                    log.write(block)
            if time.monotonic() >= rotate_at:
                rotate_at += _ROTATION_SECONDS
                for path in self.paths.values():
                    _rotate(path)
            if self._stopping.wait(max(0.0, started + number / _BLOCKS_A_SECOND - time.monotonic())):
                return

    def block(self, server: str) -> bytes:
        """The next tenth of a second of a server's log."""
        at_ms = time.time_ns() // 1_000_000
        stamp = exim.stamp(at_ms)
        lines: list[str] = []
        waiting = self._in_delivery[server]
        while len(lines) < self._block_lines:
            self.messages += 1
            queue_id = exim.queue_id(at_ms, self.messages % 900_000)
            sender = f"user{self.messages % 997}@shop{self.messages % 40}.example"
            recipient = f"reader{self._chance.randrange(100_000)}@far{self.messages % 300}.example"
            lines.append(f"{stamp} {queue_id} {plain_arrival(sender, recipient, self._chance)}")
            if self.messages % _STUCK_EVERY:
                waiting.append((queue_id, recipient))
            if len(waiting) > _IN_DELIVERY:
                queue_id, recipient = waiting.popleft()
                lines.append(f"{stamp} {queue_id} {plain_delivery(recipient, self._chance)}")
                lines.append(f"{stamp} {queue_id} Completed")
        self.lines += len(lines)
        return "\n".join([*lines, ""]).encode()


def _rotate(path: Path) -> None:
    """As logrotate does that keeps four."""
    for number in range(3, 0, -1):
        older = path.with_name(f"mainlog.{number}")
        if older.exists():
            os.replace(older, path.with_name(f"mainlog.{number + 1}"))
    os.replace(path, path.with_name("mainlog.1"))
    path.touch()
