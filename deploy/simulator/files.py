"""Simulated servers as folders of real log files: FOLDER/SERVER/mainlog or maillog, FOLDER/domains, FOLDER/truth.json.

The edge of the simulator: it knows the clock and the disk. A line's truth counts only once the line is written.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO

from postwatch.deploy.simulator.simulation import LogLine, Simulation
from postwatch.deploy.simulator.truth import Truth, write_truth
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.lifecycle import now_ms

HOUR_MS = 3_600_000
_KEPT_ROTATIONS = 9


@dataclass(frozen=True, slots=True)
class Schedule:
    """How much mail, and when."""

    history_messages: int
    """Messages of the past, most of them recent; their lines are written at once."""
    history_hours: float
    messages_per_second: float
    """Of all servers together, from now on."""
    seconds: float
    seed: int = 1
    steady_an_hour: float = 0
    """Besides, so many messages in each hour of `steady_days`: what is usual, for reports that compare."""
    steady_days: int = 0

    def arrivals(self, now_ms: int) -> Iterator[int]:
        """When each message comes, ascending."""
        chance = random.Random(self.seed)
        span_ms = self.history_hours * HOUR_MS
        past = [int(chance.random() ** 3 * span_ms) for _ in range(self.history_messages)]
        usual = random.Random(self.seed)
        steady_ms = self.steady_days * 24 * HOUR_MS
        past += [usual.randrange(steady_ms) for _ in range(int(self.steady_an_hour * steady_ms / HOUR_MS))]
        for age_ms in sorted(past, reverse=True):
            yield now_ms - 1 - age_ms
        at_ms = float(now_ms)
        end_ms = now_ms + self.seconds * 1000
        while self.messages_per_second > 0:
            at_ms += chance.expovariate(self.messages_per_second) * 1000
            if at_ms >= end_ms:
                return
            yield int(at_ms)


class ServerLogs:
    """The logs of the simulated servers. Use it in a `with` block."""

    def __init__(self, folder: Path, simulation: Simulation) -> None:
        """Makes the folders. Raises BadInputError where they can't be written or hold logs already."""
        self.truth = Truth()
        self._folder = folder
        self._names = {server: mta.log_name for server, mta in simulation.mtas.items()}
        self._files: dict[str, BinaryIO] = {}
        self._unflushed: set[str] = set()
        try:
            for server in self._names:
                self.path(server).parent.mkdir(parents=True, exist_ok=True)
                self._files[server] = self._new_file(server)
            owners = sorted(simulation.provider.domains().items())
            (folder / "domains").write_text("".join(f"{domain}: {owner}\n" for domain, owner in owners))
            (folder / "resellers").write_text(
                "".join(f"{owner}: {name}\n" for owner, name in sorted(simulation.provider.resellers().items()))
            )
        except OSError as error:
            self.close()
            remedy = "; name a folder that holds no logs yet" if isinstance(error, FileExistsError) else ""
            raise BadInputError(f"{error.filename} can't be written: {error.strerror}{remedy}") from error

    def __enter__(self) -> ServerLogs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, server: str) -> Path:
        return self._folder / server / self._names[server]

    def write(self, line: LogLine) -> None:
        """The line reaches the file at the next `flush`, at the latest."""
        self._files[line.server].write(line.text.encode() + b"\n")
        self._unflushed.add(line.server)
        self.truth.apply(line.rows)

    def flush(self) -> None:
        for server in self._unflushed:
            self._files[server].flush()
        self._unflushed.clear()

    def rotate(self) -> None:
        """Every log becomes mainlog.1, mainlog.1 becomes mainlog.2 and so on, as logrotate does it."""
        for server, file in self._files.items():
            file.close()
            path = self.path(server)
            for number in range(_KEPT_ROTATIONS, 0, -1):
                older = path.with_name(f"{path.name}.{number}")
                if older.exists():
                    os.replace(older, path.with_name(f"{path.name}.{number + 1}"))
            os.replace(path, path.with_name(f"{path.name}.1"))
            self._files[server] = self._new_file(server)

    def write_truth(self) -> Path:
        """The status of every recipient, by the lines written so far."""
        path = self._folder / "truth.json"
        write_truth(path, self.truth.rows())
        return path

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _new_file(self, server: str) -> BinaryIO:
        return open(self.path(server), "xb")


def play(
    simulation: Simulation, schedule: Schedule, logs: ServerLogs, stopping: Event, rotate_seconds: float = 0
) -> Iterator[int]:
    """Write the past at once and the present as it comes; yields how many lines, about once a second and at the end.

    `rotate_seconds` rotates every log so often; 0 never does. Ends early, at a whole line, when `stopping` is set.
    """
    start_ms = now_ms()
    end_ms = start_ms + int(schedule.seconds * 1000)
    next_rotation_ms = start_ms + rotate_seconds * 1000 if rotate_seconds else end_ms
    next_word_ms = start_ms + 1000
    count = 0
    for line in simulation.lines(schedule.arrivals(start_ms), end_ms, present_ms=start_ms):
        wait_ms = line.at_ms - now_ms()
        if wait_ms > 0:
            logs.flush()
            stopping.wait(wait_ms / 1000)
        if stopping.is_set():
            break
        if line.at_ms >= next_rotation_ms:
            next_rotation_ms += rotate_seconds * 1000
            logs.rotate()
        logs.write(line)
        count += 1
        if line.at_ms >= next_word_ms:
            next_word_ms = line.at_ms + 1000
            yield count
    logs.flush()
    yield count


def write_bulk(path: Path, lines: int, seed: int = 1, first_ms: int = 1_790_000_000_000) -> int:
    """One server's log of so many lines, ten messages a second, as fast as they can be made; returns its bytes."""
    simulation = Simulation(seed, servers=1)
    arrivals = range(first_ms, first_ms + lines * 1000, 100)
    size_bytes = 0
    with open(path, "wb", buffering=1 << 20) as file:
        for number, line in enumerate(simulation.lines(arrivals, arrivals.stop)):
            if number == lines:
                break
            size_bytes += file.write(line.text.encode() + b"\n")
    return size_bytes
