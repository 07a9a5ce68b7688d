"""An id names one row, whoever made its text; what is no id is told as an id that no row has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.query.errors import NotFoundError
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.row_id import NO_SUCH_ROW, RowPlace, decode_row_id, encode_row_id
from postwatch.query.shapes import DeliveryShape
from postwatch.query.viewer import Viewer

from tests.query.conftest import Office, make_row

_TIMES = st.integers(-(1 << 63), (1 << 63) - 1)
_HASHES = st.integers(0, (1 << 64) - 1)


@given(_TIMES, _HASHES)
def test_an_id_names_its_place(queued_at: int, row_hash: int) -> None:
    word = encode_row_id(RowPlace(queued_at, row_hash))
    assert decode_row_id(word) == (queued_at, row_hash)
    assert word.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=30))
def test_anything_else_is_an_id_that_no_row_has(word: str) -> None:
    try:
        place = decode_row_id(word)
    except NotFoundError as error:
        assert str(error) == NO_SUCH_ROW  # noqa: PT017
    else:
        assert encode_row_id(place) == word


def test_one_row_has_one_spelling_of_its_id() -> None:
    word = encode_row_id(RowPlace(1, 0))
    for other in (f"{word}=", f"{word}==", word[:-1] + "B", f" {word}", word.replace("A", "Α", 1), f"{word}A"):
        with pytest.raises(NotFoundError):
            decode_row_id(other)


def test_a_row_keeps_its_id_through_all_that_is_cut_out_of_it(office: Office) -> None:
    office.insert([make_row(server=name, response="no eve@far.example", log_lines=("x",)) for name in ("web1", "web2")])
    whole = office.report().rows
    bob = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
    shown = office.service.answer(bob, ACCOUNT, AccountQuestion("bob@example.org")).rows
    assert {row.server for row in shown} == {""}
    ids = [row.id for row in whole]
    assert len(set(ids)) == 2
    assert [row.id for row in shown] == ids
    assert [DeliveryShape.of(row).id for row in shown] == ids
    assert "example" not in "".join(ids)
