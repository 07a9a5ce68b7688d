"""Whether what a part holds is bounded: under its bound all the time, and not on its way there. Pure.

Memory rises while a part warms up or after it was started again, is taken and given back by merges and outages, and
rises steadily in none of these; what a leak takes never comes back. So growth is the slope of the floor over the last
two thirds: each point is the lowest decile of five minutes, and the slope is the median of those between all pairs of
points (Theil and Sen). It is asked only of parts that live through the last two thirds: who is started again and again
warms up again and again. What is taken for a while and given back is held to the bound.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Container, Mapping, Sequence

Series = Sequence[tuple[float, float]]
"""(Seconds since the start, MB resident), in the order of time."""

BOUNDS_MB = {"broker": 500, "clickhouse": 800, "join": 320, "sink": 250, "ship": 70}
"""By the name of the part up to its first hyphen; ARCHITECTURE.md says what they are made of."""
MOST_GROWTH_MB = 10.0
"""In ten minutes."""
_WINDOW_SECONDS = 300.0
_STEP_SECONDS = 60.0
_FEWEST_POINTS = 10


def judge(samples: Mapping[str, Series], restarted: Container[str] = ()) -> list[str]:
    """What is wrong, in words; nothing where every part is bounded. `restarted`: in the last two thirds."""
    steady = {part: series for part, series in samples.items() if part not in restarted}
    return [*_beyond_bounds(samples), *_growing(steady)]


def growth_mb(series: Series) -> float | None:
    """MB in ten minutes over the last two thirds; None: too short to tell growth from warming up."""
    points = _floors(series)
    if len(points) < _FEWEST_POINTS:
        return None
    slopes = [(mb - before) / (at - earlier) for (earlier, before), (at, mb) in itertools.combinations(points, 2)]
    return statistics.median(slopes) * 600


def bound_mb(part: str) -> int:
    return BOUNDS_MB[part.partition("-")[0]]


def _beyond_bounds(samples: Mapping[str, Series]) -> list[str]:
    wrong = []
    for part, series in samples.items():
        most = max(mb for _, mb in series)
        if most > bound_mb(part):
            wrong.append(f"{part} held {most:.0f} MB, and its bound is {bound_mb(part)} MB")
    return wrong


def _growing(samples: Mapping[str, Series]) -> list[str]:
    wrong = []
    for part, series in samples.items():
        growth = growth_mb(series)
        if growth is not None and growth > MOST_GROWTH_MB:
            wrong.append(f"{part} grew by {growth:.0f} MB in ten minutes, on and on")
    return wrong


def _floors(series: Series) -> list[tuple[float, float]]:
    """The lowest deciles of five minutes, a minute apart, that lie in the last two thirds as a whole."""
    if not series:
        return []
    end = series[-1][0]
    points = []
    start = end / 3
    while start + _WINDOW_SECONDS <= end + 1:
        window = sorted(mb for at, mb in series if start <= at < start + _WINDOW_SECONDS)
        if window:
            points.append((start, window[len(window) // 10]))
        start += _STEP_SECONDS
    return points
