from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.query.details import facts, finer_status, status_words, way_words
from postwatch.query.wording import byte_size, reply_lines, time_span, utc_time, visible
from postwatch.streams.contracts.outcome import RESULTS

from tests.query.conftest import make_row


@given(st.text(st.characters()))
def test_what_is_visible_controls_nothing(text: str) -> None:
    shown = visible(text)
    assert all(unicodedata.category(character)[0] != "C" for character in shown)
    assert not {"\u2028", "\u2029"} & set(shown)
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["", "plain", "a  b", "Größe 漢字 ½ € 😀 עברית", "C:\\new"])
def test_ordinary_words_stay_as_they_are(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\n\tb", "a\\r\\n\\tb"),
        ("\x9b31m", "\\x9b31m"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("one\u2028two", "one\\u2028two"),
        ("\x00\x7f", "\\x00\\x7f"),
    ],
)
def test_controls_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("250 OK", ["250 OK"]),
        (
            r"550-5.1.1 No such user\n550 5.1.1 See https://example.net/x",
            ["550-5.1.1 No such user", "550 5.1.1 See https://example.net/x"],
        ),
        ("550-one\r\n550 two\n", ["550-one", "550 two"]),
        (r"550-one\r\n550 two", ["550-one", "550 two"]),
        ("\x1b[2J\\nx\u202e", ["\\x1b[2J", "x\\u202e"]),
    ],
)
def test_a_reply_of_several_lines_is_shown_as_such(text: str, lines: list[str]) -> None:
    assert reply_lines(text) == lines


@pytest.mark.parametrize(
    ("span_ms", "words"),
    [
        (0, "under 1 s"),
        (1500, "1.5 s"),
        (42_000, "42 s"),
        (180_000, "3 min"),
        (5 * 3_600_000, "5 h"),
        (4 * 86_400_000, "4 days"),
    ],
)
def test_time_spans(span_ms: int, words: str) -> None:
    assert time_span(span_ms) == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2_500_000, "2.5 MB"), (3 * 10**12, "3000.0 GB")]
)
def test_sizes(size: int, words: str) -> None:
    assert byte_size(size) == words


def test_times_are_utc() -> None:
    assert utc_time(1_000_000_000_999) == "2001-09-09 01:46:40"


def test_the_finer_status_is_told_where_it_says_more() -> None:
    words = {status: status_words(make_row(status=status)) for status in RESULTS}
    assert words == {
        "pending": "pending",
        "deferred": "pending (deferred)",
        "delivered": "accepted",
        "bounced": "failed (bounced)",
        "expired": "failed (expired)",
        "rejected": "failed (rejected)",
        "cancelled": "failed (cancelled)",
        "discarded": "discarded",
    }
    assert finer_status(make_row(status="bounced")) == "bounced"


def test_facts_leave_out_what_the_log_does_not_say() -> None:
    labels = [fact.label for fact in facts(make_row(sender="", subject="", tls="TLS1.3", status="bounced"), True)]
    assert "Subject" not in labels
    assert "Encryption" in labels
    assert "Error message" in labels
    assert "the mail system" in way_words(make_row(sender=""))
    assert way_words(make_row(direction="received", sender="a@b.example")) == "received from a@b.example"


def test_the_lines_of_a_reply_that_stand_in_one_are_told_apart() -> None:
    assert reply_lines("550-5.1.1 no 550-such <x> 550 5.1.1 user 550") == [
        "550-5.1.1 no",
        "550-such <x>",
        "550 5.1.1 user 550",
    ]
    for one in ("550 5.1.1 no 550 user", "no 550 user", "550", ""):
        assert reply_lines(one) == [one]
