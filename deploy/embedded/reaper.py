"""Ends the process groups of a parent that died without ending them itself.

Run as a script in a session of its own; standard input is a pipe from the parent, one line a group: `+PGID` when it
began, `-PGID` when it ended. When the pipe closes, however the parent died, what is left gets SIGTERM, and SIGKILL
after GRACE_SECONDS. Imports nothing of the project: it must start in no time and weigh nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 8.0
_POLL_SECONDS = 0.05


def follow(lines: Iterable[str]) -> set[int]:
    """Read the pipe to its end → the groups that are still there."""
    groups: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    return groups


def end_groups(groups: set[int], grace_seconds: float = GRACE_SECONDS) -> None:
    """SIGTERM, wait, SIGKILL. Returns at once when there is nothing to end."""
    alive = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace_seconds
    while alive and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        alive = {group for group in alive if _signal(group, 0)}
    for group in alive:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    end_groups(follow(sys.stdin))
