"""Simulated servers that write their logs at a steady rate, and what is true of all that they wrote.

A line is written whole, its truth taken in at once; rotations happen between two lines, as the writer's own or while it
waits. Every line also goes into a copy that nobody rotates, for the judge.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from postwatch.deploy.simulator import exim
from postwatch.deploy.simulator.files import Schedule
from postwatch.deploy.simulator.simulation import LogLine, Simulation
from postwatch.deploy.simulator.truth import DELIVERED, Truth
from postwatch.producers.service.lifecycle import now_ms

MESSAGES_PER_SECOND = 80.0
HISTORY_MESSAGES = 1_000
POSTFIX_SERVERS = 1
_HISTORY_HOURS = 48
_DAY_SECONDS = 86_400.0
HOUR_MS = 3_600_000


@dataclass
class ServerLog:
    """The log of one server, its rotations, and the copy."""

    folder: Path
    server: str
    stamp: Callable[[int], str]
    clock_off_ms: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    lines: int = 0
    halves: list[bytes] = field(default_factory=list)
    """Pieces of lines of no interest that a rotation tore apart."""

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True)
        self._live = self.path.open("ab", buffering=0)
        self._copy = self.copy_path.open("ab")

    @property
    def path(self) -> Path:
        return self.folder / self.server / "mainlog"

    @property
    def copy_path(self) -> Path:
        return self.folder / f"{self.server}.whole"

    def write(self, line: LogLine) -> None:
        """Append a line with the stamp of this server's clock."""
        text = line.text.removeprefix(self.stamp(line.at_ms))
        with self.lock:
            self._write(f"{self.stamp(line.at_ms + self.clock_off_ms)}{text}\n".encode())

    def write_unparsable(self, number: int) -> bytes:
        """Append a line that claims to be a delivery and is none; returns it as the dead letter has it."""
        queue_id = exim.queue_id(1_700_000_000_000 + number * 1000, 1)
        with self.lock:
            line = f"{exim.stamp(now_ms())} {queue_id} => torn@cust".encode() + b"\xff"
            self._write(line + b"\n")
        return line

    def rename(self) -> None:
        """Rotate as logrotate does by default."""
        with self.lock:
            self._shift()
            os.replace(self.path, self.path.with_name("mainlog.1"))
            self._live.close()
            self._live = self.path.open("ab", buffering=0)

    def copytruncate(self) -> None:
        """Copy, then truncate; the writer pauses, for what it wrote in between would be lost by the method itself."""
        with self.lock:
            self._copytruncate()

    def copytruncate_within_line(self, number: int) -> None:
        """The same between the halves of a line; one of no interest, for the method itself destroys it."""
        line = f"{exim.stamp(now_ms())} Start queue run: pid={number}\n".encode()
        first, second = line[:26], line[26:]
        with self.lock:
            self._live.write(first)
            self._copytruncate()
            self._live.write(second)
            self.halves += [first, second.rstrip(b"\n")]

    def close(self) -> None:
        self._live.close()
        self._copy.close()

    def _write(self, line: bytes) -> None:
        self._live.write(line)
        self._copy.write(line)
        self.lines += 1

    def _copytruncate(self) -> None:
        self._shift()
        shutil.copyfile(self.path, self.path.with_name("mainlog.1"))
        os.truncate(self.path, 0)

    def _shift(self) -> None:
        number = 1
        while self.path.with_name(f"mainlog.{number}").exists():
            number += 1
        for older in range(number - 1, 0, -1):
            os.replace(self.path.with_name(f"mainlog.{older}"), self.path.with_name(f"mainlog.{older + 1}"))


class Traffic:
    """The writer of all servers' logs, in a thread of its own until `stop`."""

    def __init__(self, folder: Path, seed: int, servers: int) -> None:
        """So many servers run Exim, and POSTFIX_SERVERS more Postfix."""
        self._simulation = Simulation(seed, servers + POSTFIX_SERVERS, POSTFIX_SERVERS)
        self._schedule = Schedule(HISTORY_MESSAGES, _HISTORY_HOURS, MESSAGES_PER_SECOND, _DAY_SECONDS, seed)
        self.truth = Truth()
        self.logs = {name: ServerLog(folder, name, mta.stamp) for name, mta in self._simulation.mtas.items()}
        self.domains_file = folder / "domains"
        owners = sorted(self._simulation.provider.domains().items())
        self.domains_file.write_text("".join(f"{domain}: {owner}\n" for domain, owner in owners))
        self._newest: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    @property
    def servers(self) -> list[str]:
        return list(self.logs)

    @property
    def lines(self) -> int:
        return sum(log.lines for log in self.logs.values())

    def newest_delivered(self) -> dict[str, str]:
        """Server → queue id of the delivery that it logged last."""
        return dict(self._newest)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End at a whole line."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for log in self.logs.values():
            log.close()

    def _write(self) -> None:
        start_ms = now_ms()
        end_ms = start_ms + int(_DAY_SECONDS * 1000)
        for line in self._simulation.lines(self._schedule.arrivals(start_ms), end_ms, present_ms=start_ms):
            wait_ms = line.at_ms - now_ms()
            if wait_ms > 0:
                self._stopping.wait(wait_ms / 1000)
            if self._stopping.is_set():
                return
            self._take(line)

    def _take(self, line: LogLine) -> None:
        self.logs[line.server].write(line)
        self.truth.apply(line.rows)
        for row in line.rows:
            if row.status == DELIVERED:
                self._newest[row.server] = row.queue_id
