from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.query.errors import FilterError
from postwatch.query.orders import BY_NAME, ORDERS, Position, decode_cursor, encode_cursor
from postwatch.query.row_id import RowIds, RowPlace

IDS = RowIds([bytes(32)])


def _places(by: str) -> st.SearchStrategy[Position]:
    """Every place that a page in this order can end at, but for newest first."""
    order = BY_NAME[by]
    key: st.SearchStrategy[int | str] = st.integers(0, 2**52)
    if order.is_address:
        key = st.just("")
    elif order.is_text:
        key = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100)
    times = st.integers(0, 2**43)
    ways = st.just(True) if by in ("event", "sent") else st.booleans()
    return st.builds(Position, st.just(by), times, st.integers(0, 2**64 - 1), ways, key, times)


@given(
    st.sampled_from(ORDERS).flatmap(_places)
    | st.tuples(st.sampled_from(["event", "sent"]), st.integers(0, 2**43), st.integers(0, 2**64 - 1)).map(
        lambda place: Position(*place)
    )
)
def test_a_cursor_comes_back_as_the_place_it_was_made_of(place: Position) -> None:
    word = encode_cursor(place, IDS)
    assert decode_cursor(word, lambda: IDS) == place
    assert word.replace("-", "").replace("_", "").isalnum()


PLACE = IDS.encode(RowPlace(1, 2))


def _word(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "word",
    [
        "x",
        "%%%",
        "é",
        "AAAA",
        "A" * 10_000,
        _word(None),
        _word({}),
        _word([]),
        _word([1, "a"]),
        _word(["event", 1, 2, False, "", 0]),
        _word(["event", "1", False, "", 0]),
        _word(["event", True, False, "", 0]),
        _word(["event", PLACE]),
        _word(["event", PLACE[:-1], False, "", 0]),
        _word(["event", PLACE + "A", False, "", 0]),
        _word(["event", RowIds([bytes([1]) * 32]).encode(RowPlace(1, 2)), False, "", 0]),
        _word(["later", PLACE, False, "", 0]),
        _word([["event"], PLACE, False, "", 0]),
        _word(["event", PLACE, 3, "", 0]),
        _word("event"),
        _word(["event", PLACE, False, "text", 0]),
        _word(["event", PLACE, True, "text", 0]),
        _word(["size", PLACE, False, "", 0]),
        _word(["size", PLACE, False, True, 0]),
        _word(["size", PLACE, False, 2**60, 0]),
        _word(["recipient", PLACE, False, "ann@example.org", 0]),
        _word(["status", PLACE, False, "x" * 101, 0]),
        _word(["status", PLACE, False, "\x00", 0]),
        _word(["status", PLACE, False, "", 2**60]),
        _word(["status", PLACE, False, "", 0, 0]),
        base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("="),
    ],
)
def test_a_made_up_cursor_is_refused(word: str) -> None:
    with pytest.raises(FilterError, match="cursor"):
        decode_cursor(word, lambda: IDS)
