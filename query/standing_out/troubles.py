"""The troubles of a window, one after the other: the group that stands out most, then what is left without it.

Each trouble is named at its own level. If one provider refuses one IP address, the failures of that pair make the
provider, the server and many accounts look odd too. They are counted again without the pair, so these shadows are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from postwatch.query.standing_out.groups import ACCOUNT, DOMAIN, Counts, Place
from postwatch.query.standing_out.surprise import Expectation, Judged, most_surprising

MOST_TROUBLES = 8
"""Each takes one more count."""

_MOST = 0.75

Count = Callable[[Sequence[Place]], Counts]
"""Counts everything that is at none of these places."""


def find_troubles(count: Count, days: int, growth: float = 1.0, most: int = MOST_TROUBLES) -> list[Judged]:
    """What stands out, most surprising first; empty: nothing does. `days` and `growth` as for Expectation."""
    counts = count(())
    usual = Expectation(counts, days, growth)
    whole = {one.place: one for one in counts.groups}
    found: dict[Place, Judged] = {}
    for _ in range(2 * most):
        judged = most_surprising(counts, Expectation(counts, days, growth))
        if judged is None:
            break
        place = _sender_of(judged, counts, usual)
        wider = next((common for common in map(place.common, found) if _is_wider(common, place)), None)
        if wider is None:
            found[place] = judged if place == judged.group.place else usual.judge(whole[place])
        else:
            found = {one: known for one, known in found.items() if one.common(wider) != wider}
            found[wider] = usual.judge(whole[wider])
        if len(found) == most:
            break
        counts = count(tuple(found))
    return sorted(found.values(), key=lambda one: -one.surprise)


def _sender_of(judged: Judged, counts: Counts, usual: Expectation) -> Place:
    """The account whose failures are most of what stands out of a domain, with or without one reason; else the place
    itself. Else the domain would be named beside its account, whose failures have other reasons too."""
    place = judged.group.place
    *others, last = place.level or ("",)
    if last != DOMAIN:
        return place
    for group in counts.groups:
        *before, account = group.place.values or ("",)
        is_account = group.place.level == (*others, ACCOUNT) and tuple(before) == place.values[:-1]
        is_of_it = is_account and account.endswith(f"@{place.values[-1]}")
        if is_of_it and group.now - usual.judge(group).expected > _MOST * (judged.group.now - judged.expected):
            return group.place
    return place


def _is_wider(common: Place, place: Place) -> bool:
    """Whether what is left of a place without a part of it stands out just so, or a sender fails in several ways. Then
    the part is not the trouble."""
    return common == place or ACCOUNT in common.level or DOMAIN in common.level
