"""The way of rows into a table: every row is written, refused alone, or still to be written, whatever happens."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.sink.bisection import Insertion

from tests.streams.fakes import FakeTable


def numbers(count: int) -> pa.Table:
    return pa.table({"n": range(count)})


def finish(insertion: Insertion) -> int:
    """Step until nothing is left; how often it had to wait."""
    waits = 0
    while not insertion.done:
        try:
            insertion.step()
        except UnavailableError:
            waits += 1
    return waits


def test_rows_without_fault_are_one_insert() -> None:
    table = FakeTable()
    insertion = Insertion(numbers(1000), table.insert)
    insertion.step()
    assert insertion.done
    assert (insertion.refusals, insertion.refused, table.tries) == (0, [], [1000])


def test_no_rows_are_no_insert() -> None:
    table = FakeTable()
    assert Insertion(numbers(0), table.insert).done
    assert table.tries == []


def test_one_refused_row_is_found_in_few_inserts() -> None:
    table = FakeTable(poison=frozenset({700}))
    insertion = Insertion(numbers(1000), table.insert)
    finish(insertion)
    [refused] = insertion.refused
    assert (refused.index, refused.row.to_pylist(), refused.said) == (700, [{"n": 700}], "poison")
    assert sorted(table.taken) == [n for n in range(1000) if n != 700]
    assert len(table.tries) <= 2 * 10 + 1
    assert (insertion.refusals, insertion.last_refusal) == (11, "poison")


def test_a_lone_row_that_is_too_much_waits() -> None:
    table = FakeTable(room=0)
    insertion = Insertion(numbers(1), table.insert)
    with pytest.raises(UnavailableError, match="too much"):
        insertion.step()
    table.room = 1
    finish(insertion)
    assert table.taken == [0]


def test_a_retry_goes_on_where_the_last_try_ended() -> None:
    table = FakeTable(poison=frozenset({0}))
    insertion = Insertion(numbers(4), table.insert)
    insertion.step()
    insertion.step()
    table.away = frozenset({len(table.tries) + 1})
    with pytest.raises(UnavailableError):
        insertion.step()
    table.away = frozenset()
    table.tries.clear()
    finish(insertion)
    assert table.tries == [1, 1, 2]


@given(st.integers(0, 60), st.frozensets(st.integers(0, 59)), st.integers(1, 60), st.frozensets(st.integers(1, 200)))
def test_every_row_is_written_once_or_refused(
    count: int, poison: frozenset[int], room: int, away: frozenset[int]
) -> None:
    table = FakeTable(poison, room, away)
    insertion = Insertion(numbers(count), table.insert)
    finish(insertion)
    everything = set(range(count))
    assert sorted(table.taken) == sorted(everything - poison)
    assert [refused.index for refused in insertion.refused] == sorted(everything & poison)
