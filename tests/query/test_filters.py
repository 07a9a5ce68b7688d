from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.query.errors import FilterError
from postwatch.query.filters import (
    MAX_PAGE_ROWS,
    ORDERS,
    STATUS_WORDS,
    Domain,
    Mailbox,
    Position,
    SystemUser,
    decode_cursor,
    encode_cursor,
    read_account,
)
from postwatch.query.reports.account import AccountFilters, AccountQuestion, read_question
from postwatch.streams.contracts.outcome import RESULTS


def _filters(retention_days: int = 30, page_rows: int = 50, **asked: Any) -> AccountFilters:
    return read_question(AccountQuestion("bob@example.org", **asked), retention_days, page_rows)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("bob@example.org", Mailbox("bob@example.org", "example.org")),
        ("  Bob@Example.ORG ", Mailbox("bob@example.org", "example.org")),
        ("root@web1.example.net", Mailbox("root@web1.example.net", "web1.example.net")),
        ('"a b@c"@example.org', Mailbox('"a b@c"@example.org', "example.org")),
        ("@example.org", Domain("example.org")),
        ("Example.org", Domain("example.org")),
        ("@web1", Domain("web1")),
        ("root", SystemUser("root")),
        ("jörg@bücher.example", Mailbox("jörg@bücher.example", "bücher.example")),
    ],
)
def test_an_account_is_a_mailbox_a_domain_or_a_system_user(text: str, scope: object) -> None:
    assert read_account(text) == scope


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "@",
        "bob@",
        "foo bar",
        "a@b@c",
        "bob@exam ple.org",
        '"a b"@c@example.org',
        "bob@ex\nample.org",
        "bob\x00@example.org",
        "\udcff",
        "x" * 999,
    ],
)
def test_what_can_be_no_account_is_refused_by_name(text: str) -> None:
    with pytest.raises(FilterError, match="account"):
        read_account(text)


def test_defaults_are_thirty_days_and_the_page_of_the_settings() -> None:
    assert _filters() == AccountFilters(Mailbox("bob@example.org", "example.org"), days=30, limit=50)
    assert _filters(retention_days=90).days == 30
    assert _filters(retention_days=7).days == 7
    assert _filters(page_rows=10**6).limit == MAX_PAGE_ROWS


@pytest.mark.parametrize("days", [0, -1, 31])
def test_days_beyond_the_retention_are_refused_with_the_most_there_is(days: int) -> None:
    with pytest.raises(FilterError, match=rf"^days={days} is out of range: use 1 to 30 \(mail is kept for 30 days\)$"):
        _filters(days=days)


@pytest.mark.parametrize("limit", [0, -5, MAX_PAGE_ROWS + 1])
def test_a_page_is_bounded(limit: int) -> None:
    with pytest.raises(FilterError, match="limit"):
        _filters(limit=limit)


def test_a_status_is_a_word_of_the_contract() -> None:
    assert set(STATUS_WORDS) == {*RESULTS, *RESULTS.values()}
    assert [_filters(status=word.upper()).status for word in STATUS_WORDS] == list(STATUS_WORDS)
    with pytest.raises(FilterError, match=r"^'lost' is not a valid status: use accepted, .*bounced, .*, cancelled$"):
        _filters(status="lost")


@given(
    st.builds(
        Position,
        st.sampled_from(ORDERS),
        st.integers(0, 2**52),
        st.integers(0, 2**64 - 1),
    )
)
def test_a_cursor_comes_back_as_the_place_it_was_made_of(place: Position) -> None:
    word = encode_cursor(place)
    assert decode_cursor(word) == place
    assert word.replace("-", "").replace("_", "").isalnum()


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
        _word(["event", "1", 2]),
        _word(["event", True, 2]),
        _word(["event", 1, 2.0]),
        _word(["event", 2**70, 2]),
        _word(["event", 1, 2**64]),
        _word(["event", 1, -1]),
        _word(["later", 1, 2]),
        _word([["event"], 1, 2]),
        _word(["event", 1, 2, 3]),
        base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("="),
    ],
)
def test_a_made_up_cursor_is_refused(word: str) -> None:
    with pytest.raises(FilterError, match="cursor"):
        decode_cursor(word)
