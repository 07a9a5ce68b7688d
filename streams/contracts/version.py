"""The bits of the column `version`, which orders the rows of one key. Pure.

From the highest: 2 bits for the number of arrivals that were seen, 42 for the time of the last event in ms, 4 for the
rank of the status, 1 for a retraction by the sink, 15 for the number of events. Fewer events never make a higher
version.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_ARRIVALS = 3
MOST_EVENTS = (1 << 15) - 1
ARRIVALS_SHIFT = 62
TIME_SHIFT = 20
RANK_SHIFT = 16
RETRACTED_BIT = 1 << 15
"""Set in a row that the sink retracts: above the number of its events, below whatever comes later. The same row may
come again, from an insert that its sink had given up or from a sink that stood still."""

FIRST_WHOLE_VERSION = 1 << ARRIVALS_SHIFT
"""Whole rows have this version or a higher one; partial ones, whose arrival was never seen, a lower one."""


def make_version(arrivals: int, updated_at: int, rank: int, events: int) -> int:
    """The version of a row. Events that there is no room for count as the most that there is room for.

    Each arrival that there is no room for, as where a message was requeued twice and then went through a filter, is a
    millisecond of the time: so its rows are above those of the arrival before within a second, which is what Postfix
    logs.
    """
    beyond = max(arrivals - MOST_ARRIVALS, 0)
    return (
        arrivals - beyond << ARRIVALS_SHIFT
        | updated_at + beyond << TIME_SHIFT
        | rank << RANK_SHIFT
        | (events if events < MOST_EVENTS else MOST_EVENTS)
    )


class VersionParts(NamedTuple):
    """What a version says."""

    arrivals: int
    updated_at: int
    rank: int
    is_retracted: bool
    """By the sink."""
    events: int


def read_version(version: int) -> VersionParts:
    """The inverse of `make_version`."""
    return VersionParts(
        version >> ARRIVALS_SHIFT,
        version >> TIME_SHIFT & (1 << ARRIVALS_SHIFT - TIME_SHIFT) - 1,
        version >> RANK_SHIFT & (1 << TIME_SHIFT - RANK_SHIFT) - 1,
        bool(version & RETRACTED_BIT),
        version & MOST_EVENTS,
    )


def is_whole(version: int) -> bool:
    """Whether the message's arrival was seen."""
    return version >= FIRST_WHOLE_VERSION


def retracted(version: int) -> int:
    """The version that hides a row of `version`, and nothing that is told later."""
    return version | RETRACTED_BIT
