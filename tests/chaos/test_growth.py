"""The judgement of the soak against memory whose nature is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.growth import MOST_GROWTH_MB, Rest, growth_mb, judge

Curve = Callable[[float], float]
SERIES = [(0.0, 100.0), (5.0, 240.0), (10.0, 180.0)]


def rests(curve: Curve, launches: tuple[int, int] = (1, 1)) -> list[Rest]:
    """After ten minutes and after thirty; `curve` is of minutes."""
    return [
        Rest(minute * 60, {"sink-1": curve(minute)}, {"sink-1": started})
        for minute, started in zip((10, 30), launches, strict=True)
    ]


def test_what_is_given_back_is_right() -> None:
    assert judge({"sink-1": SERIES}, rests(lambda minute: 100)) == []
    assert judge({"sink-1": SERIES}, rests(lambda minute: 120 - minute)) == []


def test_what_is_kept_and_kept_again_is_wrong_below_its_bound_too() -> None:
    assert judge({"sink-1": SERIES}, rests(lambda minute: 50 + 0.9 * minute)) == []
    [wrong] = judge({"sink-1": SERIES}, rests(lambda minute: 50 + 1.2 * minute))
    assert wrong == "sink-1 kept 12 MB more for every ten minutes"


def test_who_was_started_again_is_held_to_the_bound_alone() -> None:
    leaking = rests(lambda minute: 50 + 3 * minute, launches=(1, 2))
    assert judge({"sink-1": SERIES}, leaking) == []
    [wrong] = judge({"sink-1": [*SERIES, (15.0, 401.0)]}, leaking)
    assert "its bound" in wrong


def test_growth_is_told_for_ten_minutes_of_traffic() -> None:
    assert growth_mb("sink-1", rests(lambda minute: 100 + minute)) == pytest.approx(MOST_GROWTH_MB)


def test_one_sample_beyond_the_bound_is_wrong() -> None:
    assert judge({"sink-1": [*SERIES, (15.0, 401.0)]}, rests(lambda minute: 100)) == [
        "sink-1 held 401 MB, and its bound is 400 MB"
    ]


def test_a_few_minutes_tell_no_growth() -> None:
    before, after = rests(lambda minute: 50 + 3 * minute)
    assert growth_mb("sink-1", [before, after]) == pytest.approx(30)
    assert growth_mb("sink-1", [before, replace(after, seconds=before.seconds + 599)]) is None
    assert growth_mb("sink-1", [before]) is None


def test_who_is_down_during_a_rest_is_wrong() -> None:
    before, after = rests(lambda minute: 100)
    assert judge({"sink-1": SERIES}, [before, replace(after, private_mb={})]) == ["sink-1 did not run at a rest"]
