"""The acknowledged position never passes a record that Kafka doesn't have, whatever the order of the answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.files.fingerprint import START, Position
from postwatch.producers.files.in_flight import Ledger


def test_an_early_acknowledgement_waits_for_those_before() -> None:
    ledger = Ledger()
    first, second = Position(10, "a"), Position(20, "b")
    ledger.send(first)
    ledger.send(second)
    ledger.acknowledge(second)
    assert ledger.acknowledged == START
    assert not ledger.is_settled
    ledger.acknowledge(first)
    assert ledger.acknowledged == second
    assert ledger.is_settled


@given(st.permutations(range(1, 9)), st.integers(0, 8))
def test_in_any_order(order: list[int], answered: int) -> None:
    ledger = Ledger()
    for number in range(1, 9):
        ledger.send(Position(number, ""))
    for number in order[:answered]:
        ledger.acknowledge(Position(number, ""))
    without_a_hole = 0
    while without_a_hole + 1 in order[:answered]:
        without_a_hole += 1
    assert ledger.acknowledged.byte_offset == without_a_hole
    assert ledger.is_settled == (answered == 8)
