"""What a command uses: time, CPU of it and its children, and the memory of all of them together."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import psutil

_EVERY_SECONDS = 0.05


class Used(NamedTuple):
    seconds: float
    cpu_seconds: float
    most_bytes: int
    """Of all its processes; what they share counts once."""


def measure_command(
    command: Sequence[str], environment: Mapping[str, str] | None = None, statuses: Collection[int] = (0,)
) -> Used:
    """Run it to its end; what it prints is thrown away. Raises CalledProcessError for another exit status.

    `environment`: besides that of this process.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    own = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        first = psutil.Process(running.pid)
        most = 0
        while running.poll() is None:
            with contextlib.suppress(psutil.Error):  # one may end while it is looked at
                processes = [first, *first.children(recursive=True)]
                most = max(most, sum(_memory(process) for process in processes))
            time.sleep(_EVERY_SECONDS)
        seconds = time.perf_counter() - started
    if running.returncode not in statuses:
        raise subprocess.CalledProcessError(running.returncode, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Used(seconds, cpu_seconds, most)


def _memory(process: psutil.Process) -> int:
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
