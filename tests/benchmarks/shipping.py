"""The shipper alone: a file that grows as fast as the disk takes it, into Kafka; its speed and its largest memory."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.producers.files.look_round import QUIET_AFTER_MS

from tests.benchmarks.stack import Lane, Stack
from tests.benchmarks.workload import make_lines

_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 15.0
"""Until a scan has told quiet files from others."""
_BLOCK_BYTES = 4 * 1024 * 1024


class ShipSpeed(NamedTuple):
    """One run."""

    lines: int
    size_bytes: int
    records: int
    seconds: float
    """From the first byte written to Kafka's acknowledgement of the last line."""
    cpu_seconds: float
    resident_bytes: int
    """The most that it had."""


def write_log(path: Path, mix: str, lines: int) -> int:
    """One server's log of about so many lines; returns how many."""
    written = 0
    with path.open("wb", buffering=1 << 20) as file:
        for line in make_lines(mix, lines):
            file.write(line + b"\n")
            written += 1
    return written


def measure_shipper(
    stack: Stack, source: Path, lines: int, timeout_seconds: float, python: Path | None = None
) -> ShipSpeed:
    """Copy `source`, which has so many lines, into a file while it is followed. `python`: of its own environment."""
    deadline = time.monotonic() + timeout_seconds
    port = choose_port()
    with stack.lane() as lane:
        log = lane.folder / "mainlog"
        _append(log, b"2026-11-23 00:00:00 Start queue run: pid=1\n")
        part = lane.start_shipper("web001.bench.example", log, f"{LOOPBACK}:{port}", python)
        _await_lines(lane, port, 1, deadline)
        before, started = lane.cpu_seconds()[part.name], time.monotonic()
        with source.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                _append(log, block)
        _await_lines(lane, port, 1 + lines, deadline)
        seconds = time.monotonic() - started
        cpu_seconds = lane.cpu_seconds()[part.name] - before
        records = read_counter(port, "postwatch_ship_records_total") - 1
        return ShipSpeed(lines, source.stat().st_size, records, seconds, cpu_seconds, most_resident_bytes(part.pid))


class QuietShipper(NamedTuple):
    """Files that it follows, and to which nothing is written any more."""

    files: int
    cpu_share: float
    """Of one core."""
    resident_bytes: int
    """The most that it had."""


def measure_quiet(
    stack: Stack, files: int, seconds: float, timeout_seconds: float, python: Path | None = None
) -> QuietShipper:
    """The shipper over so many files of one line each, for so long, once it holds them for quiet."""
    deadline = time.monotonic() + timeout_seconds
    port = choose_port()
    with stack.lane() as lane:
        folder = lane.folder / "logs"
        folder.mkdir()
        for number in range(files):
            (folder / f"{number}.log").write_text(f"2026-11-23 00:00:00 Start queue run: pid={number}\n")
        part = lane.start_shipper("web001.bench.example", folder / "*.log", f"{LOOPBACK}:{port}", python)
        _await_lines(lane, port, files, deadline)
        time.sleep(QUIET_AFTER_MS / 1000 + _SETTLE_SECONDS)
        before, started = lane.cpu_seconds()[part.name], time.monotonic()
        time.sleep(seconds)
        used, took = lane.cpu_seconds()[part.name] - before, time.monotonic() - started
        return QuietShipper(files, used / took, most_resident_bytes(part.pid))


def _append(log: Path, block: bytes) -> None:
    with log.open("ab", buffering=0) as file:
        file.write(block)


def _await_lines(lane: Lane, port: int, lines: int, deadline: float) -> None:
    while read_counter(port, "postwatch_ship_lines_total") < lines:
        lane.check()
        if time.monotonic() > deadline:
            raise RuntimeError("the shipper is not through in time")
        time.sleep(_POLL_SECONDS)


def read_counter(port: int, name: str) -> int:
    """0 while nobody answers yet."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except OSError:
        return 0
    finally:
        connection.close()
    return next((int(float(line.split()[1])) for line in text.splitlines() if line.startswith(f"{name} ")), 0)


def most_resident_bytes(pid: int) -> int:
    """Linux keeps the largest; elsewhere what it has now."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(psutil.Process(pid).memory_info().rss)
