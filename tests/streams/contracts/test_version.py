"""The bits of `version`: what orders two rows of one key, and in which order of importance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.outcome import DELIVERED, Outcome
from postwatch.streams.contracts.version import (
    MOST_ARRIVALS,
    MOST_EVENTS,
    is_whole,
    make_version,
    read_version,
    retracted,
)
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.message import RANKS, RETRACTED
from postwatch.streams.parsers.events import WHOLE, Event
from postwatch.streams.parsers.lines import LineCounts, parse_lines

from tests.cpu import least_cpu_seconds
from tests.streams.joining.test_golden import LOGS, SERVER, lines_of, parser_of_all
from tests.streams.joining.test_joiner import BOOK, part, tried

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


@given(st.integers(0, (1 << 42) - 9), RANK, EVENTS, RANK, EVENTS, st.integers(MOST_ARRIVALS, MOST_ARRIVALS + 4))
def test_an_arrival_beyond_the_most_counts_within_a_second(
    at: int, rank: int, events: int, other_rank: int, other_events: int, arrivals: int
) -> None:
    """A message that was requeued twice and then went through a filter arrives for the fourth time."""
    earlier = make_version(arrivals, at, rank, events)
    assert earlier < make_version(arrivals + 1, at, other_rank, other_events)
    assert earlier < make_version(MOST_ARRIVALS, at + 1000, other_rank, other_events) or at + 1000 >= 1 << 42


@given(KNOWN)
def test_a_version_can_be_read(known: tuple[int, int, int, int]) -> None:
    arrivals, updated_at, rank, events = known
    assert read_version(make_version(*known)) == (arrivals, updated_at, rank, False, events)
    assert read_version(retracted(make_version(*known))) == (arrivals, updated_at, rank, True, events)


def _golden_rows() -> Iterator[Outcome]:
    for log in LOGS:
        joiner = Joiner(AccountBook(None))
        joiner.add(SERVER, parse_lines(parser_of_all(), lines_of(log), LineCounts()).events)
        yield from joiner.take_dirty()[0]


def test_the_joiner_packs_its_versions_in_the_same_way() -> None:
    """It does so without a call, for speed."""
    rows = list(_golden_rows())
    assert len(rows) > 90
    for row in rows:
        parts = read_version(row.version)
        assert make_version(parts.arrivals, parts.updated_at, parts.rank, parts.events) == row.version
        beyond = parts.updated_at - row.updated_at
        assert beyond == 0 or (parts.arrivals == MOST_ARRIVALS and beyond == len(row.next_queue_id.split()) - 2)
        behind = {RANKS[DELIVERED] + 1, RANKS[DELIVERED] + 2}  # what a forward became
        assert parts.rank in {RANKS[row.status], RANKS[DELIVERED], RANKS[RETRACTED]} | behind  # inferred, tombstones
        assert parts.events >= len(row.attempts)


def test_a_message_with_more_events_than_there_is_room_for_keeps_its_status_and_time() -> None:
    """A list with 70,000 recipients, each with a line of its own, of which each costs the same."""
    joiner = Joiner(BOOK)
    parts = (f"envelope {number}" for number in range(70_000))
    events: list[Event] = [part("A1", 5_000, name, sender="ann@here.example") for name in (WHOLE, *parts)]
    assert least_cpu_seconds(lambda: joiner.add(SERVER, events), tries=1) < 6  # a tenth of a second
    joiner.add(SERVER, [tried("A1", 6_000, "bob@far.example")])
    [row] = joiner.take_dirty()[0]
    assert read_version(row.version)[1:] == (6_000, RANKS[DELIVERED], False, MOST_EVENTS)


def test_every_rank_has_room() -> None:
    assert max(RANKS.values()) < 1 << 4


@pytest.mark.parametrize("events", [MOST_EVENTS + 1, 65_536, 10**9])
def test_more_events_than_there_is_room_for_change_no_rank(events: int) -> None:
    """A list with 70,000 recipients, each with a line of its own."""
    assert make_version(1, 5, 3, events) == make_version(1, 5, 3, MOST_EVENTS) < make_version(1, 5, 4, 0)


def test_each_arrival_that_there_is_no_room_for_counts_as_a_millisecond() -> None:
    assert make_version(9, 5, 3, 1) == make_version(3, 11, 3, 1) < 1 << 64


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
