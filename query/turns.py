"""Turns to read the tables: so many statements run at a time, and one viewer never takes all of them.

Invariant: whoever waits for a turn holds none, and no viewer has more waiting than may run for him: a thread that waits
is one that answers nobody else.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from postwatch.query.errors import BusyError


class Turns:
    """`most` at a time, half of them for one viewer. An empty name is the server itself, which only has its turn."""

    def __init__(self, most: int, wait_seconds: float) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._wait_seconds = wait_seconds
        self._share = max(1, most // 2)
        self._changed = threading.Condition()
        self._asked: Counter[str] = Counter()
        """Statements of each viewer, those that wait too."""
        self._running: Counter[str] = Counter()

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Raises BusyError at once where enough of this viewer's wait already, and after a while where none comes."""
        with self._share_of(name) if name else contextlib.nullcontext():
            if not self._free.acquire(timeout=self._wait_seconds):
                raise BusyError("enough reports are being made already; try again soon")
            try:
                yield
            finally:
                self._free.release()

    @contextlib.contextmanager
    def _share_of(self, name: str) -> Iterator[None]:
        with self._changed:
            if self._asked[name] >= 2 * self._share:
                raise BusyError(f"{name} has {self._asked[name]} reports being made already; try again soon")
            self._asked[name] += 1
            try:
                if not self._changed.wait_for(lambda: self._running[name] < self._share, self._wait_seconds):
                    raise BusyError(f"{name} has {self._share} reports being made already; try again soon")
            except BaseException:
                self._forget(self._asked, name)
                raise
            self._running[name] += 1
        try:
            yield
        finally:
            with self._changed:
                self._forget(self._running, name)
                self._forget(self._asked, name)
                self._changed.notify_all()

    @staticmethod
    def _forget(counter: Counter[str], name: str) -> None:
        counter[name] -= 1
        if not counter[name]:
            del counter[name]
