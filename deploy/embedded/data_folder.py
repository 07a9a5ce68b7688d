"""A data folder and the right to it: one embedded stack at a time.

The right is a file lock, which no crash leaves behind. The reaper of a killed stack holds it too until the last process
is gone, so a successor never meets a broker that is still writing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from postwatch.deploy.embedded import reaper
from postwatch.producers.service.errors import BadInputError

_POLL_SECONDS = 0.1
_LAST_RITES_SECONDS = reaper.GRACE_SECONDS + 2.0


@contextmanager
def claimed(folder: Path) -> Iterator[int]:
    """The folder, made if it is missing, is this process's own; gives the lock's file descriptor.

    Raises BadInputError where it can't be written or another process has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BadInputError(
            f"the data folder {folder} can't be written ({error.strerror}); choose another with --data"
        ) from error
    try:
        _lock(folder, descriptor)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(folder: Path, descriptor: int) -> None:
    deadline = time.monotonic() + _LAST_RITES_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
        if _is_alive(holder) or time.monotonic() > deadline:
            raise BadInputError(
                f"the data folder {folder} is in use by process {holder}; "
                "end that one first, or choose another folder with --data"
            )
        time.sleep(_POLL_SECONDS)


def _is_alive(holder: str) -> bool:
    """Whether the process that wrote its number is there; if not, its reaper is at work and will soon let go."""
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
