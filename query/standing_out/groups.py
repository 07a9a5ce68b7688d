"""The groups that failures are counted in: which dimensions, in which combinations, and the counts of one group.

Invariant: a place names known values alone. What no log told (the empty text) is part of wider groups, and no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

PROVIDER, REASON, SERVER, SOURCE_IP, DOMAIN, ACCOUNT = DIMENSIONS = (
    "provider",
    "reason",
    "server",
    "source_ip",
    "domain",
    "account",
)
BASELINE_DAYS = 7

Level = tuple[str, ...]
"""Dimensions in the order of DIMENSIONS; none: all that was counted."""

LEVELS: tuple[Level, ...] = (
    (),
    *((one,) for one in DIMENSIONS),
    (PROVIDER, REASON),
    (PROVIDER, SERVER),
    (PROVIDER, SOURCE_IP),
    (REASON, SERVER),
    (REASON, SOURCE_IP),
    (REASON, DOMAIN),
    (REASON, ACCOUNT),
    (PROVIDER, REASON, SERVER),
    (PROVIDER, REASON, SOURCE_IP),
)
"""The combinations that a trouble may have. An account is of one domain, and an IP address of one server, as a rule, so
these are not combined. Who writes to one provider only is no trouble of that provider, so neither are those."""


class Place(NamedTuple):
    """A value for each dimension of a level."""

    level: Level
    values: tuple[str, ...]

    @property
    def named(self) -> dict[str, str]:
        return dict(zip(self.level, self.values, strict=True))

    def common(self, other: Place) -> Place:
        """What both name alike."""
        pairs = [pair for pair in self.named.items() if pair in other.named.items()]
        return Place(tuple(name for name, _ in pairs), tuple(value for _, value in pairs))


EVERYWHERE = Place((), ())


@dataclass(frozen=True, slots=True)
class Group:
    """How often something failed at a place: in the window, and in the same hours of the days before."""

    place: Place
    now: int
    days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of a window and its baseline."""

    groups: tuple[Group, ...]
    """Those with enough in the window, EVERYWHERE among them."""
    sizes: Mapping[Level, int]
    """How many groups there are at each level, those with too few in the window among them."""
