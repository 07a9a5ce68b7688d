"""Since when: to the quarter of an hour, whatever is usual."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.query.standing_out.since import BIN_MS, MINUTE_MS, QUARTER_MS, find_change

DAY_BINS = 288
FIRST_MS = 1_795_500_000_000 // QUARTER_MS * QUARTER_MS


def _counts(chance: random.Random, rates: list[float]) -> list[int]:
    return [_poisson(chance, rate) for rate in rates]


def _poisson(chance: random.Random, rate: float) -> int:
    """How many arrivals there are in one unit of time."""
    number, at = 0, chance.expovariate(rate) if rate else 1.0
    while at < 1:
        number += 1
        at += chance.expovariate(rate)
    return number


@pytest.mark.parametrize("usual", [0.0, 0.2, 1.0, 5.0])
@pytest.mark.parametrize("bins_ago", [6, 12, 40, 200])
def test_it_began_within_a_quarter_of_an_hour_of_the_truth(usual: float, bins_ago: int) -> None:
    for seed in range(20):
        chance = random.Random(seed)
        began = DAY_BINS - bins_ago
        now = _counts(chance, [usual + (6 + 2 * usual if number >= began else 0) for number in range(DAY_BINS)])
        days = [_counts(chance, [usual] * DAY_BINS) for _ in range(7)]
        found = find_change(FIRST_MS, now, days)
        assert found.until_ms == 0
        assert abs(found.since_ms - (FIRST_MS + began * BIN_MS)) <= QUARTER_MS, (seed, usual, bins_ago)


def test_what_broke_off_for_hours_before_it_is_no_beginning() -> None:
    """Retries that come every eight hours, more of them from day to day, and half an hour ago something else."""
    for seed in range(20):
        chance = random.Random(seed)
        retries = [2.5 if number % 96 >= 80 else 0.0 for number in range(DAY_BINS)]
        now = _counts(chance, [one + (8 if number >= 280 else 0) for number, one in enumerate(retries)])
        days = [_counts(chance, [one / (1 + day) for one in retries]) for day in range(7)]
        found = find_change(FIRST_MS, now, days)
        assert found.since_ms >= FIRST_MS + 271 * BIN_MS, seed  # the retries of this hour may count
        assert found.until_ms == 0


def test_a_night_breaks_nothing_off() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        rates = [0.0 if number < 100 else 0.6 if 150 <= number < 230 else 5.0 for number in range(DAY_BINS)]
        found = find_change(FIRST_MS, _counts(chance, rates), [[0] * DAY_BINS] * 7)
        assert abs(found.since_ms - (FIRST_MS + 100 * BIN_MS)) <= QUARTER_MS, seed


def test_what_is_over_has_an_end() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        rates = [8.0 if 100 <= number < 130 else 0.5 for number in range(DAY_BINS)]
        found = find_change(FIRST_MS, _counts(chance, rates), [_counts(chance, [0.5] * DAY_BINS) for _ in range(7)])
        assert abs(found.since_ms - (FIRST_MS + 100 * BIN_MS)) <= QUARTER_MS
        assert abs(found.until_ms - (FIRST_MS + 130 * BIN_MS)) <= QUARTER_MS


def test_a_rhythm_that_is_the_same_each_day_is_no_beginning() -> None:
    chance = random.Random(1)
    rhythm = [1.0 + 6 * (number > 150) for number in range(DAY_BINS)]
    rates = [one * (4 if number >= 220 else 1) for number, one in enumerate(rhythm)]
    found = find_change(FIRST_MS, _counts(chance, rates), [_counts(chance, rhythm) for _ in range(7)])
    assert abs(found.since_ms - (FIRST_MS + 220 * BIN_MS)) <= QUARTER_MS


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(0, 7))
def test_the_answer_is_a_quarter_of_an_hour_within_what_was_counted(now: list[int], days: int) -> None:
    found = find_change(FIRST_MS, now, [[1] * len(now)] * days)
    assert found.since_ms % (15 * MINUTE_MS) == found.until_ms % (15 * MINUTE_MS) == 0
    assert FIRST_MS <= found.since_ms < FIRST_MS + len(now) * BIN_MS  # a time to come is no beginning
    assert found.until_ms == 0 or found.since_ms < found.until_ms <= FIRST_MS + len(now) * BIN_MS + QUARTER_MS
