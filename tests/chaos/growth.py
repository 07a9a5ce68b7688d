"""Whether what a part holds is bounded: under its bound all the time, at rest no more than at the rest before. Pure.

Under load memory is taken and given back, by fetches, outages and merges, and ClickHouse merges nearly all the time
once its table is large: the lowest that it holds under load says how much it merges. At rest all that was written is in
the table, nothing is merged, and a part holds only what it never gives back. A leak is part of that.

Growth is told of private memory. Code and mapped files are the kernel's, which keeps and drops them in pieces of up to
16 MB. A part that was started again between two rests warms up again, and is held to its bound alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Series = Sequence[tuple[float, float]]
"""(Seconds since the start, MB resident), in the order of time."""

BOUNDS_MB = {"broker": 500, "clickhouse": 800, "join": 320, "sink": 400, "ship": 70}
"""By the name of the part up to its first hyphen; docs/bounds.md says what they are made of."""
MOST_GROWTH_MB = 10.0
"""In ten minutes."""
_SHORTEST_SECONDS = 600.0


@dataclass(frozen=True)
class Rest:
    """What every part holds while nothing is to be done."""

    seconds: float
    """Of traffic until then."""
    private_mb: Mapping[str, float]
    launches: Mapping[str, int]
    """How often each part was started until then."""


def judge(samples: Mapping[str, Series], rests: Sequence[Rest]) -> list[str]:
    """What is wrong, in words; nothing where every part is bounded."""
    wrong = []
    for part, series in samples.items():
        most = max(mb for _, mb in series)
        if most > bound_mb(part):
            wrong.append(f"{part} held {most:.0f} MB, and its bound is {bound_mb(part)} MB")
        if any(part not in rest.private_mb for rest in rests):
            wrong.append(f"{part} did not run at a rest")
        growth = growth_mb(part, rests)
        if growth is not None and growth > MOST_GROWTH_MB:
            wrong.append(f"{part} kept {growth:.0f} MB more for every ten minutes")
    return wrong


def growth_mb(part: str, rests: Sequence[Rest]) -> float | None:
    """MB in ten minutes of traffic from the first rest to the last.

    None where that can't be told from warming up: less than ten minutes, or the part was started again in between, or
    did not run at one of them.
    """
    before, after = rests[0], rests[-1]
    if part not in before.private_mb or part not in after.private_mb:
        return None
    seconds = after.seconds - before.seconds
    if seconds < _SHORTEST_SECONDS or before.launches[part] != after.launches[part]:
        return None
    return (after.private_mb[part] - before.private_mb[part]) / seconds * 600


def bound_mb(part: str) -> int:
    return BOUNDS_MB[part.partition("-")[0]]
