"""Since when a group fails more than usual: the change point, to the quarter of an hour.

Invariant: the answer is one of the times that were counted, and it depends on nothing behind them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

MINUTE_MS = 60_000
BIN_MS = 5 * MINUTE_MS
QUARTER_MS = 15 * MINUTE_MS
_SMOOTHED = 6
"""Bins to each side that tell what is usual for one: half an hour."""
_LEAST_RATE = 0.01
_LEAST_QUIET = 24
"""Bins: two hours."""
_QUIET = 60.0
_SURER = 6.0
"""So much likelier an end must be than none (as a natural logarithm)."""


class Span(NamedTuple):
    """From its first quarter of an hour to the end of its last; `until_ms` 0: it goes on."""

    since_ms: int
    until_ms: int = 0


def find_change(first_ms: int, now: Sequence[int], days: Sequence[Sequence[int]]) -> Span:
    """When the failures of a group began to be more than usual, and whether that is over.

    `now`: how many in each bin of BIN_MS from `first_ms` on; `days`: the same for each day before, in bins of the same
    hours. Of all spans it is the one that makes the counts most likely, if within it a multiple of what is usual fails.
    """
    usual = _usual(len(now), days)
    start, end, likelihood = _unbroken(now, usual, is_open=True)
    inner_start, inner_end, inner = _unbroken(now, usual, is_open=False)
    is_over = inner_end < len(now) - QUARTER_MS // BIN_MS and inner > likelihood + _SURER
    if is_over:
        start, end = inner_start, inner_end
    begun_ms = first_ms + start * BIN_MS
    since_ms = _quarter(begun_ms + QUARTER_MS // 2)  # the nearest one
    if since_ms >= first_ms + len(now) * BIN_MS:  # which is still to come
        since_ms = _quarter(begun_ms)
    return Span(since_ms, _quarter(first_ms + end * BIN_MS + QUARTER_MS - 1) if is_over else 0)


def _usual(size: int, days: Sequence[Sequence[int]]) -> list[float]:
    """What is expected in each bin."""
    sums = [sum(day[number] for day in days) for number in range(size)]
    running = [0]
    for one in sums:
        running.append(running[-1] + one)
    found = []
    for number in range(size):
        first, last = max(number - _SMOOTHED, 0), min(number + _SMOOTHED + 1, size)
        mean = (running[last] - running[first]) / (last - first)
        found.append(max(mean / max(len(days), 1), _LEAST_RATE))
    return found


def _unbroken(now: Sequence[int], usual: Sequence[float], is_open: bool) -> tuple[int, int, float]:
    """The likeliest span that no long quiet time breaks: what failed before that was something else.

    Quiet is a time in which, at the span's own rate, so many would have failed that no night explains it.
    """
    first = 0
    while True:
        start, end, likelihood = _likeliest(now, usual, is_open, first)
        rate = sum(now[start:end]) / (end - start)
        busy = [number for number in range(start, end) if now[number]]
        behind = [
            later
            for earlier, later in pairwise(busy)
            if (quiet := later - earlier - 1) >= _LEAST_QUIET and quiet * rate >= _QUIET
        ]
        if not behind:
            return start, end, likelihood
        first = behind[-1]


def _likeliest(now: Sequence[int], usual: Sequence[float], is_open: bool, first: int) -> tuple[int, int, float]:
    """First bin, at `first` or behind it, the one behind the last, and by how much likelier it makes the counts."""
    size = len(now)
    seen, expected = [0], [0.0]
    for count, rate in zip(now, usual, strict=True):
        seen.append(seen[-1] + count)
        expected.append(expected[-1] + rate)
    best = (first, size, 0.0)
    # A span begins and ends with a bin in which something failed: any other is less likely.
    starts = [number for number in range(first, size) if now[number]]
    for start in starts:
        ends = [size] if is_open else [number + 1 for number in starts if number >= start]
        for end in ends:
            many, few = seen[end] - seen[start], expected[end] - expected[start]
            if many > few:
                gain = many * math.log(many / few) - (many - few)
                if gain > best[2]:
                    best = (start, end, gain)
    return best


def _quarter(at_ms: int) -> int:
    return at_ms // QUARTER_MS * QUARTER_MS
