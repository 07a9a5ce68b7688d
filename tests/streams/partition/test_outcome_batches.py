"""Rows come in turns, and go in as few records as hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import OutcomeRecord, decode_outcomes, encode_outcomes, from_table
from postwatch.streams.partition.outcome_batches import (
    MAX_BATCH_BYTES,
    MAX_BATCH_ROWS,
    MAX_EVIDENCE_BYTES,
    encode_rows,
)


def numbered(begin: int, end: int, line: str = "a line") -> list[Outcome]:
    return [Outcome(queue_id=f"Q{number}", log_lines=(line,)) for number in range(begin, end)]


def decoded(values: Iterator[bytes]) -> list[list[Outcome]]:
    return [from_table(decode_outcomes(value)) for value in values]


def test_turns_share_a_record() -> None:
    turns = [numbered(0, 3), [], numbered(3, 4)]
    assert decoded(encode_rows(turns)) == [numbered(0, 4)]
    assert list(encode_rows(turns)) == [encode_outcomes(numbered(0, 4))]


@pytest.mark.parametrize("turns", [[], [[]], [[], []]])
def test_no_rows_are_no_record(turns: list[list[Outcome]]) -> None:
    assert not list(encode_rows(turns))


def test_a_record_has_a_bounded_number_of_rows() -> None:
    first, second = MAX_BATCH_ROWS - 10, 2 * MAX_BATCH_ROWS
    records = decoded(encode_rows([numbered(0, first), numbered(first, second), numbered(second, second + 1)]))
    assert [len(rows) for rows in records] == [MAX_BATCH_ROWS, MAX_BATCH_ROWS, 1]
    assert [row for rows in records for row in rows] == numbered(0, second + 1)


def test_a_record_has_bounded_bytes_of_lines() -> None:
    line = "x" * MAX_EVIDENCE_BYTES
    fitting = MAX_BATCH_BYTES // MAX_EVIDENCE_BYTES
    records = decoded(encode_rows([numbered(0, fitting - 1, line), numbered(fitting - 1, fitting + 1, line)]))
    assert [len(rows) for rows in records] == [fitting, 1]


def test_of_too_many_lines_the_first_and_the_last_are_kept() -> None:
    lines = tuple(f"{number} {'x' * 1_000}" for number in range(2 * MAX_EVIDENCE_BYTES // 1_000))
    [[row]] = decoded(encode_rows([[Outcome(log_lines=lines)]]))
    assert row.log_lines == (lines[0], lines[-1])


def test_a_turn_is_asked_for_when_the_one_before_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Recorded(OutcomeRecord):
        def add(self, rows: list[Outcome]) -> None:
            events.append(f"{len(rows)} encoded")
            super().add(rows)

    def turns() -> Iterator[Sequence[Outcome]]:
        for number in range(2):
            events.append("asked")
            yield numbered(number, number + 1)

    monkeypatch.setattr("postwatch.streams.partition.outcome_batches.OutcomeRecord", Recorded)
    assert len(list(encode_rows(turns()))) == 1
    assert events == ["asked", "1 encoded", "asked", "1 encoded"]


def test_a_turn_that_the_compiled_encoder_refuses_is_in_the_record_too() -> None:
    class Text(str):
        __slots__ = ()

    odd = Outcome(account=Text("b"))  # pyarrow takes it as a text, the compiled core as no text of its own
    [rows] = decoded(encode_rows([[Outcome(account="a")], [odd], [Outcome(account="c")]]))
    assert [row.account for row in rows] == ["a", "b", "c"]
