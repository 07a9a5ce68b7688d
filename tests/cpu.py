"""What a call costs, on a machine that does other things beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

_MOST_TRIES = 20
_NEVER_SLOW_SECONDS = 0.02
"""Of a line of 64 KiB: a square would cost seconds."""
_MOST_GROWTH = 3.2


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


def is_linear(work: Callable[[str], object], text: str, halves: Sequence[str] = ()) -> bool:
    """Whether twice the words cost about twice the time: whatever machine it is, four times as much is a square.

    `halves`: texts of the same kind with half the words, without any the first half of the text. The dearest counts,
    for each may be read in another way than the whole.
    """
    whole = least_cpu_seconds(lambda: work(text), _NEVER_SLOW_SECONDS, tries=5)
    if whole < _NEVER_SLOW_SECONDS:
        return True
    costs = [least_cpu_seconds(partial(work, half), tries=5) for half in halves or (text[: len(text) // 2],)]
    return whole < _MOST_GROWTH * max(costs)
