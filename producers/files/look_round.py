"""Which open files a turn looks at: those that are written to, and by turns a part of the quiet ones.

A look is a call of the system. A server may have thousands of logs of which few are written to: to look at each of them
twenty times a second would take a tenth of a core. The time is always an argument.
"""

from __future__ import annotations

from collections.abc import Sequence

from postwatch.producers.files.known_file import OpenFile

QUIET_AFTER_MS = 30_000
FEWEST_QUIET = 50
"""So many quiet files are looked at in every turn."""
_TURNS = 100
"""Of more, a hundredth: with turns of 50 ms each one is looked at within 5 seconds."""


class LookRound:
    """Call `renew` after each scan, then `due` in each turn, and `wake` for a quiet file in which something is."""

    def __init__(self) -> None:
        self._awake: list[OpenFile] = []
        self._quiet: list[OpenFile] = []
        self._next_quiet = 0

    def renew(self, files: Sequence[OpenFile], now_ms: int) -> None:
        """`files` in the order in which they are read: a name's rotations before its live file."""
        self._awake, self._quiet = [], []
        for file in files:
            file.is_awake = not _is_quiet(file, now_ms)
            (self._awake if file.is_awake else self._quiet).append(file)

    def due(self) -> list[OpenFile]:
        """In the same order: a rotation is always awake. Quiet files in which nothing is are left out."""
        number = max(FEWEST_QUIET, -(-len(self._quiet) // _TURNS))
        start = self._next_quiet if self._next_quiet < len(self._quiet) else 0
        self._next_quiet = start + number
        part = self._quiet[start : start + number]
        return [*self._awake, *(file for file in part if not file.is_awake and not file.is_still())]

    def wake(self, file: OpenFile, now_ms: int) -> None:
        """Call after a look at it."""
        if not file.is_awake and not _is_quiet(file, now_ms):
            file.is_awake = True
            self._awake.append(file)

    def forget(self, file: OpenFile) -> None:
        """It was closed."""
        if file in self._awake:
            self._awake.remove(file)


def _is_quiet(file: OpenFile, now_ms: int) -> bool:
    if file.is_rotated or file.source.is_compressed or file.lingers_since_ms:
        return False
    return now_ms - file.active_ms >= QUIET_AFTER_MS
