"""The tail against known answers and against the sum of the distribution."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.query.standing_out.poisson import tail_log10


@pytest.mark.parametrize(
    ("seen", "expected", "chance"),
    [
        (1, 0.5, 0.3934693402873666),  # 1 - e^-0.5
        (3, 1.0, 0.08030139707139419),
        (10, 3.0, 0.0011024881301856614),
        (20, 5.0, 3.452135820914455e-07),
    ],
)
def test_known_chances(seen: float, expected: float, chance: float) -> None:
    assert tail_log10(seen, expected) == pytest.approx(math.log10(chance), rel=1e-9)


@given(st.integers(1, 80), st.floats(0.01, 60))
def test_it_is_the_sum_of_the_distribution(seen: int, expected: float) -> None:
    if seen <= expected:
        assert tail_log10(seen, expected) == 0
        return
    below = math.fsum(math.exp(n * math.log(expected) - expected - math.lgamma(n + 1)) for n in range(seen, seen + 400))
    assert tail_log10(seen, expected) == pytest.approx(min(math.log10(below), 0), rel=1e-6, abs=1e-9)


def test_chances_too_small_for_a_float_are_told_apart() -> None:
    assert -20_000 < tail_log10(6000, 10) < tail_log10(5000, 10) < -400


@given(st.floats(0.02, 1000), st.floats(1, 5000), st.floats(0.1, 500))
def test_more_is_never_more_likely(expected: float, seen: float, more: float) -> None:
    assert tail_log10(seen + more, expected) <= tail_log10(seen, expected) <= 0


def test_nothing_expected_is_no_rate() -> None:
    with pytest.raises(ValueError, match="above 0"):
        tail_log10(3, 0)
