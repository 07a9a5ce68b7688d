"""Counters and gauges of a part that must be small, and the text that Prometheus reads of them (format 0.0.4).

Without labels, and moved by one thread. The other parts use prometheus_client, which loads a server and a client of
HTTP and OpenSSL: a seventh of a shipper's memory. What it tells of the process is told here under the same names.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Metric = TypeVar("Metric", "Counter", "Gauge")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PROCESS = Path("/proc/self")


class Counter:
    """Only rises, from 0."""

    __slots__ = ("value",)
    KIND = "counter"

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        self.value += amount


class Gauge:
    """Rises and falls."""

    __slots__ = ("value",)
    KIND = "gauge"

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value


class SmallMetrics:
    """Those of one process."""

    def __init__(self) -> None:
        self._metrics: dict[str, tuple[str, Counter | Gauge]] = {}

    def counter(self, name: str, documentation: str) -> Counter:
        return self._add(name, documentation, Counter())

    def gauge(self, name: str, documentation: str) -> Gauge:
        return self._add(name, documentation, Gauge())

    def values(self) -> dict[str, float]:
        return {name: metric.value for name, (_, metric) in self._metrics.items()}

    def expose(self) -> tuple[str, bytes]:
        """The content type and the text."""
        told = [(name, metric.KIND, text, metric.value) for name, (text, metric) in self._metrics.items()]
        lines = [
            f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {float(value)!r}\n"
            for name, kind, text, value in [*told, *_of_process()]
        ]
        return CONTENT_TYPE, "".join(lines).encode()

    def _add(self, name: str, documentation: str, metric: Metric) -> Metric:
        self._metrics[name] = documentation, metric
        return metric


def _of_process() -> Iterator[tuple[str, str, str, float]]:
    """What Linux tells (proc_pid_stat(5)); elsewhere nothing."""
    with suppress(OSError):
        fields = (_PROCESS / "stat").read_bytes().rpartition(b")")[2].split()  # from the third on
        ticks = os.sysconf("SC_CLK_TCK")
        yield "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", int(fields[20])
        resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        yield "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident
        started = _boot_time() + int(fields[19]) / ticks
        yield "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", started
        used = (int(fields[11]) + int(fields[12])) / ticks
        yield "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", used
        files = len(os.listdir(_PROCESS / "fd"))
        yield "process_open_fds", "gauge", "Number of open file descriptors.", files
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most_files = float("inf") if most == resource.RLIM_INFINITY else most
        yield "process_max_fds", "gauge", "Maximum number of open file descriptors.", most_files


def _boot_time() -> int:
    lines = Path("/proc/stat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("btime")), 0)
