"""The judgement of the soak against curves whose nature is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.chaos.growth import MOST_GROWTH_MB, growth_mb, judge

MINUTES = 30
Curve = Callable[[float], float]


def sampled(curve: Curve, minutes: float = MINUTES) -> list[tuple[float, float]]:
    """Every 5 s, of a noisy measurement; `curve` is of minutes."""
    chance = random.Random(1)
    return [(at, curve(at / 60) + chance.gauss(0, 5)) for at in range(0, round(minutes * 60), 5)]


def warmed_up(minute: float) -> float:
    return 100 + 100 * min(minute, 8) / 8


def restarted(minute: float) -> float:
    """Started again at odd times; a minute later it has what it had."""
    age = minute - max(at for at in (0, 3, 4, 9, 13, 14, 21, 26) if at <= minute)
    return 100 + 100 * min(age, 1)


def with_an_outage(minute: float) -> float:
    return 150 + (80 if 20 < minute < 23 else 0)


def with_a_step(minute: float) -> float:
    return 150 + (80 if minute > 12 else 0)


def merging(minute: float) -> float:
    """Merges come more and more often, of 200 MB each, for half of every minute at last."""
    return 350 + (200 if minute % 1 < minute / MINUTES / 2 else 0)


@pytest.mark.parametrize("curve", [warmed_up, restarted, with_an_outage, with_a_step])
def test_what_is_bounded_is_right(curve: Curve) -> None:
    assert judge({"sink-1": sampled(curve)}) == []


def test_what_is_given_back_is_no_growth() -> None:
    assert judge({"clickhouse": sampled(merging)}) == []
    [wrong] = judge({"clickhouse": sampled(lambda minute: merging(minute) + 2 * minute)})
    assert "grew by" in wrong


def leaking(minute: float) -> float:
    return 150 + 2 * minute


def leaking_between_restarts(minute: float) -> float:
    return restarted(minute) - 60 + 2 * minute


def leaking_in_steps(minute: float) -> float:
    return 100 + 20 * (minute // 5)


@pytest.mark.parametrize("curve", [leaking, leaking_between_restarts, leaking_in_steps])
def test_what_grows_on_is_wrong_below_its_bound_too(curve: Curve) -> None:
    [wrong] = judge({"sink-1": sampled(curve)})
    assert "grew by" in wrong


def test_who_warms_up_again_and_again_is_held_to_the_bound_alone() -> None:
    assert judge({"sink-2": sampled(leaking)}, restarted={"sink-2"}) == []
    [wrong] = judge({"sink-2": sampled(lambda minute: 260)}, restarted={"sink-2"})
    assert "its bound" in wrong


def test_the_slope_is_that_of_the_curve() -> None:
    assert growth_mb(sampled(lambda minute: 100 + minute)) == pytest.approx(MOST_GROWTH_MB, abs=1)


def test_one_sample_beyond_the_bound_is_wrong() -> None:
    series = sampled(warmed_up)
    series[200] = (series[200][0], 251.0)
    assert judge({"sink-1": series}) == ["sink-1 held 251 MB, and its bound is 250 MB"]


def test_a_few_minutes_tell_no_growth() -> None:
    assert growth_mb(sampled(leaking, minutes=6)) is None
    assert growth_mb([]) is None
