"""What a call costs, on a machine that does other things beside it."""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST_TRIES = 20


def least_cpu_seconds(work: Callable[[], object], enough: float = 0.0, tries: int = _MOST_TRIES) -> float:
    """CPU time of this thread alone, the least of some tries; no further one once it is below `enough`."""
    least = float("inf")
    for _ in range(tries):
        started = time.thread_time()
        work()
        least = min(least, time.thread_time() - started)
        if least < enough:
            break
    return least
