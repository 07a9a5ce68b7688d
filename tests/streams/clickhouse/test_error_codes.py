"""What ClickHouse says against an insert is sorted into: bisect, halve, wait."""

from __future__ import annotations

import pytest
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.clickhouse.error_codes import (
    REMEDIES,
    ROWS_AT_FAULT,
    TOO_MANY_PARTS,
    TOO_MUCH_AT_ONCE,
    classify_error,
    explain,
)
from postwatch.streams.errors import OversizedInsertError, RefusedRowsError

PARTITIONS = "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100). (TOO_MANY_PARTS)"
PARTS = "Code: 252. DB::Exception: Too many parts (3000) in table. Merges are processing slower than inserts."


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (469, "Constraint `sane` is violated", RefusedRowsError),
        (190, "Code: 190. DB::Exception: Elements of Nested must have equal sizes", RefusedRowsError),
        (241, "Memory limit exceeded", OversizedInsertError),
        (252, PARTITIONS, OversizedInsertError),
        (252, PARTS, UnavailableError),
        (60, "Table postwatch.deliveries does not exist", UnavailableError),
        (53, "CAST AS Array can only be performed between same-dimensional types", UnavailableError),
        (159, "Timeout exceeded", UnavailableError),
        (33, "Cannot read all data", UnavailableError),
        (987_654, "never heard of", UnavailableError),
    ],
)
def test_an_answer_is_sorted(code: int, text: str, expected: type[Exception]) -> None:
    assert type(classify_error(code, text)) is expected


def test_a_row_that_quotes_a_code_does_not_overrule_the_header() -> None:
    assert type(classify_error(60, "Table x does not exist, near 'Code: 469'")) is UnavailableError


def test_what_can_be_done_is_said() -> None:
    assert str(classify_error(60, "Table postwatch.deliveries\n does not exist.")) == (
        "Table postwatch.deliveries does not exist.; create or upgrade the tables with `postwatch migrate`"
    )


def test_the_drivers_words_and_most_of_a_quoted_row_are_left_out() -> None:
    preface = "Received ClickHouse exception, code: 469, server response: "
    text = "Code: 469. DB::Exception: violated at\nrow 1. (VIOLATED_CONSTRAINT)"
    assert explain(469, f"{preface}{text} (for url http://127.0.0.1:8123)") == " ".join(text.split())
    assert len(explain(469, f"Code: 469. {'x' * 5000}")) == 1000


def test_no_code_means_two_things() -> None:
    tables = [ROWS_AT_FAULT.keys(), TOO_MUCH_AT_ONCE.keys(), REMEDIES.keys()]
    assert sum(len(codes) for codes in tables) == len(set().union(*tables))
    assert TOO_MANY_PARTS in REMEDIES


VIEW = (
    "Code: 469. DB::Exception: Constraint `c` for table d.delivery_states is violated at row 1. Column values: status"
    " = 'x': while pushing to view d.to_delivery_states"
)


@pytest.mark.parametrize(
    "end",
    [
        ". (VIOLATED_CONSTRAINT)",
        " (3f0c2a60-5b7e-4a0c-9f4e-1d2f3a4b5c6d). (VIOLATED_CONSTRAINT) (version 25.8.2.29 (official build))\n",
        ". (VIOLATED_CONSTRAINT) (version 26.9.2.1) (for url http://127.0.0.1:8123)",
    ],
)
def test_a_view_that_fails_is_not_the_rows_fault(end: str) -> None:
    error = classify_error(469, VIEW + end)
    assert type(error) is UnavailableError
    assert str(error).endswith("the rows are stored, but not by the view d.to_delivery_states: mend it")


@pytest.mark.parametrize(
    "quoted", ["x: while pushing to view d.v", "x: while pushing to view d.v. (A)", "x: while pushing to view d.v. (A"]
)
def test_a_row_that_quotes_a_view_is_still_refused(quoted: str) -> None:
    text = f"Code: 469. DB::Exception: violated at row 1. Column values: subject = '{quoted}'. (VIOLATED_CONSTRAINT)"
    assert type(classify_error(469, text)) is RefusedRowsError
