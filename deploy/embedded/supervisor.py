"""Starts parts as soon as what they need is there, starts those again that die, and ends them all.

One thread calls `tick`; nothing else touches the parts. A part that dies time and again before it was ever ready is an
error with the end of its log: something is wrong that no repetition heals. One that has worked is started again for
ever, ever more slowly. What parts complain of at their health address is told too.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postwatch.deploy.embedded.part import Part
from postwatch.producers.service.errors import UnavailableError

MAX_LOG_BYTES = 10 * 1024 * 1024
STOP_SECONDS = 4.0
"""For those that use others, and then as much for the others: both within the 10 s that ending may take."""
_FALSE_STARTS = 3
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_STEADY_SECONDS = 60.0
"""A part that ran for so long has earned a quick restart."""
_LOOK_AT_LOGS_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Task:
    """Work of a moment, done once in this process."""

    name: str
    run: Callable[[], Iterable[str]]
    """Returns lines that say what was done. What it raises ends everything."""
    needs: frozenset[str] = frozenset()


@dataclass(slots=True)
class Watched:
    """A part, and what is known of it."""

    part: Part
    needs: frozenset[str] = frozenset()
    """Names of the parts and tasks that must be ready or done before its first start."""
    address: str = ""
    """Where people find it; that a part without one works is no news."""
    is_used_by_others: bool = False
    """It ends last."""
    is_launched: bool = False
    was_ready: bool = False
    false_starts: int = 0
    backoff_seconds: float = _FIRST_BACKOFF_SECONDS
    launched_at: float = 0.0
    launch_again_at: float = 0.0
    complaints: Mapping[str, str] = field(default_factory=dict)
    """What its health address said at the last look."""
    told: set[str] = field(default_factory=set)
    """Names of complaints that people were told of."""


class Supervisor:
    """Call `tick` until it is time to `stop`."""

    def __init__(self, parts: Sequence[Watched], tasks: Sequence[Task], tell: Callable[[str], None]) -> None:
        self._parts = parts
        self._tasks = tasks
        self._tell = tell
        self._ready: set[str] = set()
        self._look_at_logs_at = 0.0

    def waiting_for(self) -> list[str]:
        """Names of the parts that have not worked yet; empty once all have."""
        return [watched.part.name for watched in self._parts if not watched.was_ready]

    def tick(self) -> None:
        """Look after everything once. Raises UnavailableError when a part does not come up at all."""
        now = time.monotonic()
        for watched in self._parts:
            if not watched.is_launched:
                self._launch_when_due(watched, now)
            elif (status := watched.part.exit_status()) is not None:
                self._handle_exit(watched, status, now)
            elif not watched.was_ready and watched.part.is_ready():
                watched.was_ready = True
                self._ready.add(watched.part.name)
                if watched.address:
                    self._tell(f"{watched.part.name} works at {watched.address}")
        for task in self._tasks:
            if task.name not in self._ready and task.needs <= self._ready:
                for line in task.run():
                    self._tell(line)
                self._ready.add(task.name)
        if now >= self._look_at_logs_at:
            self._look_at_logs_at = now + _LOOK_AT_LOGS_SECONDS
            for watched in self._parts:
                bound_log(watched.part.log_path)
                self._tell_complaints(watched)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End what uses others first, then the others; SIGKILL for what is too slow."""
        for is_used_by_others in (False, True):
            end_parts(
                [watched.part for watched in self._parts if watched.is_used_by_others is is_used_by_others], seconds
            )

    def _tell_complaints(self, watched: Watched) -> None:
        """One line when a complaint has stood for two looks, and one when all are over."""
        name, before = watched.part.name, watched.complaints
        watched.complaints = watched.part.complaints() if watched.is_launched else {}
        for complaint in sorted(watched.complaints.keys() & before.keys() - watched.told):
            self._tell(f"{name} complains: {watched.complaints[complaint]}")
            watched.told.add(complaint)
        if watched.told and not watched.complaints and watched.is_launched:
            self._tell(f"{name} has no complaint any more")
        watched.told &= watched.complaints.keys()

    def _launch_when_due(self, watched: Watched, now: float) -> None:
        if now >= watched.launch_again_at and watched.needs <= self._ready:
            watched.part.launch()
            watched.is_launched = True
            watched.launched_at = now

    def _handle_exit(self, watched: Watched, status: int, now: float) -> None:
        part = watched.part
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if not watched.was_ready:
            watched.false_starts += 1
            if watched.false_starts == _FALSE_STARTS:
                raise UnavailableError(
                    f"{part.name} {how} and does not come up; the end of {part.log_path}:\n{part.log_tail()}"
                )
        if now - watched.launched_at > _STEADY_SECONDS:
            watched.backoff_seconds = _FIRST_BACKOFF_SECONDS
        self._tell(f"{part.name} {how}; it is started again in {watched.backoff_seconds:g} s, see {part.log_path}")
        watched.is_launched = False
        watched.launch_again_at = now + watched.backoff_seconds
        watched.backoff_seconds = min(watched.backoff_seconds * 2, _LONGEST_BACKOFF_SECONDS)


def end_parts(parts: Sequence[Part], seconds: float) -> None:
    """SIGTERM to all of them at once, SIGKILL to those that are there after that time."""
    for part in parts:
        part.terminate()
    deadline = time.monotonic() + seconds
    while any(part.exit_status() is None for part in parts) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for part in parts:
        part.kill()


def bound_log(path: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Keep a log and an older one. Its writer appends, so a cut file has no gap."""
    try:
        if path.stat().st_size > max_bytes:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
    except FileNotFoundError:
        return
