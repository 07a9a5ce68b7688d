"""Rows as the compiled core encodes them are those of pyarrow, byte for byte. Interpreted, these tests are skipped:
tests/deploy/test_core_build.py runs them with the compiled core."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.streams import core_build
from postwatch.streams.contracts import outcome_records
from postwatch.streams.contracts.arrow_stream import encode_stream
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.outcome_records import encode_outcomes
from postwatch.streams.contracts.row_buffers import MODULE, RowEncoder

from tests.streams.contracts.test_outcome import EXAMPLE

pytestmark = pytest.mark.skipif(core_build.running.kind != core_build.COMPILED, reason="the core is not compiled")

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
WORDS = st.integers(0, 65_535)
TIMES = st.integers(-(2**63), 2**63 - 1)
ATTEMPTS = st.tuples(TIMES, TEXTS, WORDS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS).map(Attempt._make)


def make_row(cells: dict[str, Any]) -> Outcome:
    return Outcome(**cells)


LINES = st.lists(TEXTS, max_size=3)
ROWS = st.fixed_dictionaries(
    {
        "account": TEXTS,
        "size_bytes": st.integers(0, 2**64 - 1),
        "queued_at": TIMES,
        "smtp_code": WORDS,
        "attempts": st.lists(ATTEMPTS, max_size=3).map(tuple),
        "log_lines": LINES | LINES.map(tuple),
        "version": st.integers(0, 2**64 - 1),
        "is_deleted": st.integers(0, 255),
    }
).map(make_row)


def by_pyarrow(rows: Sequence[Outcome]) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome_records, "_NEW_ENCODER", None)
        return encode_outcomes(rows)


def by_compiled_code(rows: Sequence[Outcome]) -> bytes:
    """Raises what makes `to_batch` turn to pyarrow."""
    encoder = new_encoder()
    encoder.add(list(rows))
    return encode_stream(pa.RecordBatch.from_arrays(encoder.take(), schema=outcome_records.SCHEMA))


def new_encoder() -> RowEncoder:
    assert outcome_records._NEW_ENCODER is not None
    return outcome_records._NEW_ENCODER()


@settings(deadline=None, max_examples=50)
@given(st.lists(ROWS, min_size=1, max_size=5))
def test_the_bytes_are_those_of_pyarrow(rows: list[Outcome]) -> None:
    assert by_compiled_code(rows) == by_pyarrow(rows)


def test_buffers_grow() -> None:
    long = Outcome(subject="é" * 5_000, attempts=tuple(Attempt(number) for number in range(50)), log_lines=["x"] * 300)
    rows = [Outcome(), long, Outcome(account="a"), long]
    assert by_compiled_code(rows) == by_pyarrow(rows)


@pytest.mark.parametrize(
    "odd",
    [
        {"smtp_code": 65_536},
        {"is_deleted": 256},
        {"is_deleted": -1},
        {"version": 2**64},
        {"queued_at": 2**63},
        {"subject": None},
        {"subject": b"bytes"},
        {"subject": "\ud800"},
        {"size_bytes": 1.0},
        {"size_bytes": True},
        {"attempts": (None,)},
        {"attempts": ((1, "x"),)},
        {"attempts": 3},
        {"log_lines": "lines"},
        {"log_lines": (None,)},
    ],
)
def test_a_cell_of_another_type_is_left_to_pyarrow(odd: dict[str, Any]) -> None:
    rows = [Outcome(), Outcome(**odd)]
    with pytest.raises((TypeError, ValueError, OverflowError)):
        by_compiled_code(rows)
    assert _told(encode_outcomes, rows) == _told(by_pyarrow, rows)


def _told(encode: Any, rows: list[Outcome]) -> Any:
    try:
        return encode(rows)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("kinds", ["x", "(s", "s)", "(L)", "((s))", "s" * 200])
def test_kinds_that_are_none_are_refused(kinds: str) -> None:
    with pytest.raises(ValueError, match="kinds"):
        import_module(MODULE).Rows(kinds).add([])


@pytest.mark.parametrize("rows", [None, (), [1], [()], [("a", "b")]])
def test_what_are_no_rows_is_refused(rows: Any) -> None:
    with pytest.raises(TypeError):
        import_module(MODULE).Rows("s").add(rows)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(ROWS, max_size=3), min_size=1, max_size=4).filter(any))
def test_rows_that_come_in_turns_make_the_same_bytes(turns: list[list[Outcome]]) -> None:
    encoder = new_encoder()
    for rows in turns:
        encoder.add(rows)
    encoded = encode_stream(pa.RecordBatch.from_arrays(encoder.take(), schema=outcome_records.SCHEMA))
    assert encoded == by_pyarrow([row for rows in turns for row in rows])


def test_what_is_refused_leaves_nothing_behind() -> None:
    encoder = new_encoder()
    encoder.add([EXAMPLE])
    with pytest.raises(OverflowError):
        encoder.add([EXAMPLE._replace(account="b"), EXAMPLE._replace(smtp_code=65_536)])
    encoder.add([EXAMPLE._replace(account="c")])
    batch = pa.RecordBatch.from_arrays(encoder.take(), schema=outcome_records.SCHEMA)
    assert batch.column("account").to_pylist() == [EXAMPLE.account, "c"]
    batch.validate(full=True)
    encoder.add([EXAMPLE])
    assert len(encoder.take()[0]) == 1
