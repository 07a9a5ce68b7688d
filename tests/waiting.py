"""Waiting for a condition instead of a fixed time.

The time-outs are for what never comes. A shared machine that is busy takes several times as long as an idle one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 60.0
"""Seconds. A client of a test waits so long for an answer; that of the library gives up after 5."""
Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], what: str, *, seconds: float = PATIENCE) -> Found:
    """Ask until the answer is true, and return it. Raises AssertionError that says what did not come.

    It is asked once more after that time: an answer that took long is about the time before.
    """
    deadline = time.monotonic() + seconds
    while True:
        asked_at = time.monotonic()
        found = condition()
        if found:
            return found
        if asked_at > deadline:
            raise AssertionError(f"waited {seconds} s in vain until {what}")
        # To ask costs the parts under test more than it costs here: an answer that took long is not asked for at once.
        took = time.monotonic() - asked_at
        time.sleep(min(max(0.02, 4 * took), 0.25))
