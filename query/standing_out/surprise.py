"""How surprising the count of a group is, against the same hours of the days before.

The chance that so many fail is the tail of a Poisson distribution. Three things make it cautious: something is expected
of a group without a past too; failures come in bursts, so several count as one (the dispersion); and of many groups
some look odd by chance (the number of groups). More mail than usual, all in all, raises what is expected; less does not
lower it.

Where two groups hold the same failures, the one is sharper in which fewer were to be expected: with a prior by the
shares of its values. So of an IP address that one provider refuses, the pair is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postwatch.query.standing_out.groups import LEVELS, Counts, Group, Level
from postwatch.query.standing_out.poisson import tail_log10

LEAST_EVENTS = 10
"""A group with fewer in the window never stands out."""
LEAST_SURPRISE = 4.0
"""The threshold: with nothing broken, one look in ten thousand has a group above it."""
LEAST_TIMES = 1.5
"""What is not so many times as expected is no trouble, however sure it is."""
_PRIOR_DAYS = 1.0
_LEAST_EXPECTED = 0.5
"""Of any group: that it never failed before does not make it impossible."""
_LEAST_PRIOR = 1e-6
_POOL_DAYS = 6.0
"""So many days of a group's own ups and downs count as much as those of all groups of its level."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A group, what was expected of it, and how little chance explains the difference."""

    group: Group
    expected: float
    surprise: float
    """Such a group is there by chance once in 10 to the power of this many looks."""
    sharpness: float
    """The same with what its values lead to expect: what tells the level that a trouble has."""

    @property
    def stands_out(self) -> bool:
        is_much = self.group.now >= LEAST_EVENTS and self.group.now >= LEAST_TIMES * self.expected
        return is_much and self.surprise >= LEAST_SURPRISE


class Expectation:
    """What is usual, by the baseline of all groups."""

    def __init__(self, counts: Counts, days: int, growth: float = 1.0) -> None:
        """`days`: how many of the baseline are known; `growth`: so many times as much mail is sent as then."""
        if days < 1:
            raise ValueError("without a day before nothing is usual")
        self._days = days
        self._growth = max(growth, 1.0)
        self._sizes = counts.sizes
        everywhere = next((one for one in counts.groups if not one.place.level), None)
        self._total = sum(everywhere.days[:days]) if everywhere else 0
        self._shares = {
            (one.place.level[0], one.place.values[0]): self._share(one)
            for one in counts.groups
            if len(one.place.level) == 1
        }
        self._dispersions = {level: _pooled(_pasts(counts.groups, days, level)) for level in LEVELS}
        self._usual = _pooled(_pasts(counts.groups, days))

    def judge(self, group: Group) -> Judged:
        past = group.days[: self._days]
        rate = (sum(past) + _PRIOR_DAYS * self._prior(group)) / (self._days + _PRIOR_DAYS)
        looks = math.log10(max(self._sizes.get(group.place.level, 1), 1) * len(LEVELS))
        # What is expected is itself known from some days only, the less so the more it is scaled up.
        unsure = 1 + self._growth / (self._days + _PRIOR_DAYS)

        def surprise(expected: float, dispersion: float) -> float:
            return -tail_log10(group.now / (dispersion * unsure), expected / (dispersion * unsure))

        sharp = self._growth * rate
        expected = max(sharp, _LEAST_EXPECTED)
        # One dispersion for all levels, for they are compared by their sharpness.
        sharpness = surprise(sharp, self._usual)
        return Judged(group, expected, surprise(expected, self._dispersion(group, past)) - looks, sharpness)

    def _prior(self, group: Group) -> float:
        """What a group fails a day if its dimensions have nothing to do with each other."""
        shares = [
            self._shares.get((name, value), 1 / max(self._sizes.get((name,), 1), 1))
            for name, value in group.place.named.items()
        ]
        return max(self._total / self._days * math.prod(shares), _LEAST_PRIOR)

    def _share(self, group: Group) -> float:
        of_level = max(self._sizes.get(group.place.level, 1), 1)
        return (sum(group.days[: self._days]) + 1) / (self._total + of_level)

    def _dispersion(self, group: Group, past: Sequence[int]) -> float:
        pooled = self._dispersions.get(group.place.level, self._usual)
        own = _fano(past)
        if own is None:
            return pooled
        weight = len(past) - 1
        return max((_POOL_DAYS * pooled + weight * own) / (_POOL_DAYS + weight), 1.0)


def growth_of(now: int, days: Sequence[int]) -> float:
    """How many times as much mail as usual is sent; never less than 1: where much fails, less is delivered."""
    usual = sum(days) / len(days) if days else 0.0
    return max(now / usual, 1.0) if usual else 1.0


def _pasts(groups: Iterable[Group], days: int, level: Level | None = None) -> list[Sequence[int]]:
    return [one.days[:days] for one in groups if level is None or one.place.level == level]


def _pooled(pasts: Sequence[Sequence[int]]) -> float:
    """The variance of all groups over their means; at least that of a Poisson distribution."""
    means = variances = 0.0
    for past in pasts:
        if len(past) > 1:
            mean = sum(past) / len(past)
            means += mean
            variances += sum((one - mean) ** 2 for one in past) / (len(past) - 1)
    return max(variances / means, 1.0) if means else 1.0


def _fano(past: Sequence[int]) -> float | None:
    """Variance over mean; None: nothing happened, or there is one day only."""
    if len(past) < 2 or not any(past):
        return None
    mean = sum(past) / len(past)
    return sum((one - mean) ** 2 for one in past) / (len(past) - 1) / mean


def most_surprising(counts: Counts, expectation: Expectation) -> Judged | None:
    """The sharpest group of those that stand out; None: nothing does."""
    judged = [expectation.judge(one) for one in counts.groups if one.now >= LEAST_EVENTS]
    return max((one for one in judged if one.stands_out), key=lambda one: one.sharpness, default=None)
