"""The bits of `version`: what orders two rows of one key, and in which order of importance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.version import MOST_EVENTS, is_whole, make_version, retracted
from postwatch.streams.joining.message import RANKS

TIMES = st.integers(0, (1 << 42) - 1)
ARRIVALS = st.integers(0, 3)
RANK = st.integers(0, 15)
EVENTS = st.integers(0, MOST_EVENTS)
KNOWN = st.tuples(ARRIVALS, TIMES, RANK, EVENTS)


@given(KNOWN, KNOWN)
def test_arrivals_count_before_time_before_rank_before_events(
    one: tuple[int, int, int, int], other: tuple[int, int, int, int]
) -> None:
    assert (make_version(*one) < make_version(*other)) == (one < other)
    assert 0 <= make_version(*one) < 1 << 64


def test_every_rank_has_room() -> None:
    assert max(RANKS.values()) < 1 << 4


@pytest.mark.parametrize("events", [MOST_EVENTS + 1, 65_536, 10**9])
def test_more_events_than_there_is_room_for_change_no_rank(events: int) -> None:
    """A list with 70,000 recipients, each with a line of its own."""
    assert make_version(1, 5, 3, events) == make_version(1, 5, 3, MOST_EVENTS) < make_version(1, 5, 4, 0)


def test_more_arrivals_than_there_is_room_for_count_as_the_most() -> None:
    assert make_version(9, 5, 3, 1) == make_version(3, 5, 3, 1) < 1 << 64


@given(KNOWN, KNOWN)
def test_a_retraction_hides_its_row_and_nothing_that_is_told_later(
    row: tuple[int, int, int, int], later: tuple[int, int, int, int]
) -> None:
    assert retracted(make_version(*row)) > make_version(*row)
    if later[:3] > row[:3]:
        assert make_version(*later) > retracted(make_version(*row))


@given(KNOWN)
def test_a_row_is_whole_when_an_arrival_was_seen(known: tuple[int, int, int, int]) -> None:
    assert is_whole(make_version(*known)) == (known[0] > 0)
