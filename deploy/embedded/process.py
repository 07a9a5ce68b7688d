"""Child processes that never outlive their parent.

Each child leads a process group of its own, so that Ctrl-C in the terminal reaches only the parent, which ends the
children in its own order; a `reaper` ends them should the parent be killed. Output is appended to a file.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from postwatch.deploy.embedded import reaper

_KILL_SECONDS = 5.0


class Child:
    """A started process and the group that it leads."""

    def __init__(self, process: subprocess.Popen[bytes], forget: Callable[[int], None]) -> None:
        self._process = process
        self._forget = forget
        self.pid = process.pid

    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        status = self._process.poll()
        if status is not None:
            self._reap()
        return status

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group at once and wait for the process."""
        self._signal(signal.SIGKILL)
        self._process.wait(_KILL_SECONDS)
        self._reap()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it ended in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        return self.exit_status() is not None

    def stop(self, timeout_seconds: float) -> None:
        """SIGTERM; SIGKILL for what is still there after the timeout."""
        self.terminate()
        if not self.wait(timeout_seconds):
            self.kill()

    def _reap(self) -> None:
        # Whatever it left behind in its group would hold its ports and its data folder.
        self._signal(signal.SIGKILL)
        self._forget(self.pid)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter: macOS, for a group of zombies
            os.killpg(self.pid, number)


class Children:
    """Starts processes that end with this one, even when it is killed."""

    def __init__(self, held: Sequence[int] = ()) -> None:
        """`held` are file descriptors that stay open until the last child of a killed parent is gone: locks."""
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=held,
        )
        self._running: dict[int, Child] = {}

    def start(self, command: Sequence[str], log_path: Path, environment: Mapping[str, str] | None = None) -> Child:
        """Start a process; `environment` adds to this process's own."""
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log_file:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._tell(f"+{process.pid}")
        child = self._running[process.pid] = Child(process, self._forget)
        return child

    def close(self) -> None:
        """Kill whatever still runs, then let the reaper go."""
        for child in list(self._running.values()):
            child.kill()
        if self._reaper.stdin:
            self._reaper.stdin.close()
        self._reaper.wait(reaper.GRACE_SECONDS + _KILL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self, pid: int) -> None:
        if self._running.pop(pid, None):
            self._tell(f"-{pid}")

    def _tell(self, line: str) -> None:
        pipe = self._reaper.stdin
        if pipe and not pipe.closed:
            pipe.write(line.encode() + b"\n")
            pipe.flush()


@functools.cache
def own_children() -> Children:
    """The children of this process, killed at its exit at the latest."""
    children = Children()
    atexit.register(children.close)
    return children
