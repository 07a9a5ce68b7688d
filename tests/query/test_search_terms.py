from __future__ import annotations

import pytest
from postwatch.query.errors import FilterError
from postwatch.query.search_terms import KINDS, MAX_WORDS, candidates


@pytest.mark.parametrize(
    ("text", "kind", "taken"),
    [
        ("1xVatV-0008Jo-O8", "queue-id", "1xVatV-0008Jo-O8"),
        ("1tABCD-00000000001-ABCD", "queue-id", "1tABCD-00000000001-ABCD"),
        ("4XyZ2k1q3Rz9W", "queue-id", "4XyZ2k1q3Rz9W"),
        ("3F1A2B4C5D", "queue-id", "3F1A2B4C5D"),
        ("<20261123101500.12345@web1.example>", "message-id", "20261123101500.12345@web1.example"),
        ("CAF+abc=1234567890abcdefghij@mail.gmail.com", "message-id", "CAF+abc=1234567890abcdefghij@mail.gmail.com"),
        ("Alice@Example.net", "address", "Alice@Example.net"),
        (" <alice@example.net> ", "address", "alice@example.net"),
        ("info2024@example.net", "address", "info2024@example.net"),
        ("@Example.org", "domain", "example.org"),
        ("example.org", "domain", "example.org"),
        ("mx1.example.org.", "domain", "mx1.example.org"),
        ("münchen.example", "domain", "münchen.example"),
        ("192.0.2.7", "ip", "192.0.2.7"),
        ("[192.0.2.7]", "ip", "192.0.2.7"),
        ("[IPv6:2001:DB8:0::1]", "ip", "2001:db8:0::1"),
        ("mailbox full", "words", "mailbox full"),
        ("quota", "words", "quota"),
        ("5.7.26 spf", "words", "5.7.26 spf"),
    ],
)
def test_what_a_text_is_taken_for(text: str, kind: str, taken: str) -> None:
    first = candidates(text)[0]
    assert (first.kind, first.text) == (kind, taken)


def test_a_text_is_taken_for_what_is_told() -> None:
    for kind in KINDS:
        if kind != "ip":
            assert [one.kind for one in candidates("1xVatV-0008Jo-O8", kind)] == [kind]
    with pytest.raises(FilterError, match="is not an IP address"):
        candidates("1xVatV-0008Jo-O8", "ip")
    with pytest.raises(FilterError, match="is not a valid kind"):
        candidates("x", "person")


def test_an_ip_address_is_looked_for_as_written_and_in_its_shortest_form() -> None:
    assert candidates("2001:0DB8:0:0::1")[0].forms == ("2001:0db8:0:0::1", "2001:db8::1")
    assert candidates("192.0.2.7")[0].forms == ("192.0.2.7",)


def test_words_are_bounded_and_need_a_letter_or_a_digit() -> None:
    assert candidates("Mailbox FULL full")[0].words == ("mailbox", "full")
    assert candidates("5.7.26 (SPF)")[0].tokens == ("5", "7", "26", "spf")
    assert candidates("  ") == ()
    with pytest.raises(FilterError, match="no letter and no digit"):
        candidates("% _ ;")
    with pytest.raises(FilterError, match=f"and {MAX_WORDS} are allowed"):
        candidates("a b c d e f g h i j k l m")
    with pytest.raises(FilterError, match="control characters"):
        candidates("a\x1bb")
