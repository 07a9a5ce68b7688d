"""The upper tail of a Poisson distribution, as a logarithm: chances of 1 in 10^300 and less are compared too."""

from __future__ import annotations

import math

_MOST_TERMS = 10_000
_SMALL_ENOUGH = 1e-12


def tail_log10(seen: float, expected: float) -> float:
    """log10 of the chance of `seen` events or more where `expected` are; 0 where no more than expected are seen.

    It is the regularized incomplete gamma function P(seen, expected), so `seen` need not be whole (DLMF 8.11.4).
    """
    if expected <= 0:
        raise ValueError("a rate of a Poisson distribution is above 0")
    if seen <= expected:
        return 0.0
    term = total = 1.0
    for number in range(1, _MOST_TERMS):
        term *= expected / (seen + number)
        total += term
        if term < total * _SMALL_ENOUGH:
            break
    chance = seen * math.log(expected) - expected - math.lgamma(seen + 1) + math.log(total)
    return min(chance / math.log(10), 0.0)
