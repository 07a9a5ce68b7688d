from __future__ import annotations

from typing import Any

import pytest
from postwatch.query.errors import FilterError
from postwatch.query.filters import (
    BOXES,
    MAX_PAGE_ROWS,
    STATUS_WORDS,
    Domain,
    Mailbox,
    SystemUser,
    read_account,
)
from postwatch.query.reports.account_question import AccountFilters, AccountQuestion, read_question
from postwatch.query.row_keys import ids_of_nobody_else
from postwatch.streams.contracts.outcome import RESULTS


def _filters(retention_days: int = 30, page_rows: int = 50, **asked: Any) -> AccountFilters:
    return read_question(AccountQuestion("bob@example.org", **asked), retention_days, page_rows, ids_of_nobody_else)


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
    assert {*RESULTS, *RESULTS.values()} < set(STATUS_WORDS)
    assert len(STATUS_WORDS) == len(set(STATUS_WORDS))
    assert all(_filters(status=word.upper()).statuses for word in STATUS_WORDS)
    with pytest.raises(FilterError, match=r"^'lost' is not a valid status: use accepted, .*bounced, .*, rejected$"):
        _filters(status="accepted,lost")


def test_the_boxes_of_the_form_tell_every_status_apart_and_leave_none_out() -> None:
    boxes = [_filters(status=word).statuses for word in BOXES]
    assert sorted(status for statuses in boxes for status in statuses) == sorted(RESULTS)
    assert _filters(status="failures,blocked").statuses == _filters(status="failed").statuses
    assert _filters(status=" pending , Deferred,").statuses == ("pending", "deferred")
    assert _filters(status=",").statuses == ()
