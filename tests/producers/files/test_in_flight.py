"""The acknowledged position never passes a record that Kafka doesn't have, whatever the order of the answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.files.fingerprint import START, Position
from postwatch.producers.files.in_flight import InFlightTracker


def test_an_early_acknowledgement_waits_for_those_before() -> None:
    tracker = InFlightTracker()
    first, second = Position(10, "a"), Position(20, "b")
    tracker.send(first)
    tracker.send(second)
    tracker.acknowledge(second)
    assert tracker.acknowledged == START
    assert not tracker.is_settled
    tracker.acknowledge(first)
    assert tracker.acknowledged == second
    assert tracker.is_settled


@given(st.permutations(range(1, 9)), st.integers(0, 8))
def test_in_any_order(order: list[int], answered: int) -> None:
    tracker = InFlightTracker()
    for number in range(1, 9):
        tracker.send(Position(number, ""))
    for number in order[:answered]:
        tracker.acknowledge(Position(number, ""))
    without_a_hole = 0
    while without_a_hole + 1 in order[:answered]:
        without_a_hole += 1
    assert tracker.acknowledged.byte_offset == without_a_hole
    assert tracker.is_settled == (answered == 8)
