"""A part of the embedded stack: what to execute, and how one sees that it works.

The same object is started and awaited by a test and watched by the supervisor. It keeps its ports and its folder, so a
part that is killed and started again is found where it was.
"""

from __future__ import annotations

import http.client
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from postwatch.deploy.embedded.process import Child, Children, own_children
from postwatch.producers.service.errors import UnavailableError

_START_SECONDS = 180.0
_STOP_SECONDS = 8.0
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 2.0
_TAIL_BYTES = 16_384
_MAX_BODY_BYTES = 65_536


class Part(ABC):
    """One process. `launch` and `exit_status` are for the supervisor; `start`, `stop` and `kill` wait."""

    def __init__(self, name: str, log_path: Path, children: Children | None = None) -> None:
        self.name = name
        self.log_path = log_path
        self._children = children
        self._child: Child | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What to execute."""

    def environment(self) -> Mapping[str, str]:
        """Variables beside those of the parent."""
        return {}

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it does its work now. Must answer soon."""

    def complaints(self) -> Mapping[str, str]:
        """What it says is wrong at the moment, by name. Must answer soon."""
        return {}

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._child.pid if self._child else 0

    def launch(self) -> None:
        """Start the process and return at once."""
        children = self._children or own_children()
        self._child = children.start(self.command(), self.log_path, self.environment())

    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._child.exit_status() if self._child else 0

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        if self._child:
            self._child.terminate()

    def start(self) -> None:
        """Start it and wait until it is ready. Raises UnavailableError with the end of its log."""
        self.launch()
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_ready():
            if self.exit_status() is not None:
                raise UnavailableError(f"{self.name} ended while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise UnavailableError(f"{self.name} is not ready after {_START_SECONDS:.0f} s:\n{self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, timeout_seconds: float = _STOP_SECONDS) -> None:
        """End it in good order, or the hard way when that takes too long."""
        if self._child:
            self._child.stop(timeout_seconds)
            self._child = None

    def kill(self) -> None:
        """kill -9."""
        if self._child:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def log_tail(self, lines: int = 12) -> str:
        """The last lines of its log, for people."""
        try:
            with self.log_path.open("rb") as log_file:
                log_file.seek(max(0, self.log_path.stat().st_size - _TAIL_BYTES))
                found = log_file.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(found[-lines:])


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def get(host: str, port: int, path: str) -> Answer | None:
    """The answer to GET `path` there; None where none comes."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read(_MAX_BODY_BYTES))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
