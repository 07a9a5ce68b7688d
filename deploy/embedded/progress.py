"""What a start looks like to whoever waits for it: lines with the seconds since the beginning.

On a terminal the last line says what is awaited, and is written over; elsewhere only the lasting lines appear.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TextIO

_CLEAR = "\r\x1b[K"


class Progress:
    """Writes to one stream, standard error as a rule, from one thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._began = time.monotonic()
        self._waits = ""

    def tell(self, line: str) -> None:
        """A line that stays."""
        self._clear()
        print(f"{self._seconds()}  {line}", file=self._stream, flush=True)

    def wait_for(self, names: Sequence[str]) -> None:
        """Say what is awaited, until the next line."""
        if self._is_terminal:
            self._clear()
            columns = shutil.get_terminal_size().columns  # a line that wraps can't be written over
            self._waits = f"{self._seconds()}  waiting for {', '.join(names)} …"[: columns - 1]
            print(self._waits, end="", file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._waits:
            print(_CLEAR, end="", file=self._stream)
            self._waits = ""

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:6.1f} s"
