"""What `scan.c` tells is what the Python beside it tells, and it knows the usual. Interpreted, these tests are skipped:
tests/deploy/test_core_build.py runs them with the compiled core."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.record import MAX_LINE_BYTES
from postwatch.streams.enrichment import accounts
from postwatch.streams.parsers import lines
from postwatch.streams.parsers.exim import fast_path
from postwatch.streams.parsers.lines import decode_lines
from postwatch.streams.parsers.scan import SCAN

from tests.streams.parsers.exim_main_templates import ID, STAMP, TEMPLATES
from tests.streams.parsers.exim_usual_lines import ARRIVALS, DELIVERIES, LONG_ID, REFUSALS, TRIES, strange_or
from tests.streams.parsers.hostile import hostile_lines

pytestmark = pytest.mark.skipif(SCAN is None, reason="the core is not compiled")

IDS = st.sampled_from((ID, LONG_ID))
ODD = st.sampled_from(
    (*" \"'\\()[]<>:=@,.-_+*\0\t\r\n\x7f9aZ", "é", "\u2028", "=>", "K", " S=", " H=", "[::1]:", " CV=")
)


@st.composite
def edited(draw: st.DrawFn, usual: st.SearchStrategy[str]) -> str:
    """A line with a few characters exchanged, left out or put in."""
    line = draw(usual)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(line)))
        line = line[:place] + draw(ODD | st.just("")) + line[place + draw(st.integers(0, 2)) :]
    return line


def by_expression(name: str, line: str) -> tuple[str, ...] | None:
    expression: re.Pattern[str] = getattr(fast_path, f"USUAL_{name.upper()}")
    found = expression.match(line, fast_path.STAMP_LENGTH)
    return None if found is None else found.groups("")


def check(name: str, line: str) -> None:
    told = getattr(SCAN, f"exim_{name}")(line)
    if told is not None:
        assert told == by_expression(name, line)


def of_messages(words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda queue_id, rest: f"{STAMP} {queue_id} {rest}", IDS, words)


LINES = {
    "arrival": of_messages(ARRIVALS),
    "delivery": of_messages(DELIVERIES),
    "try": of_messages(TRIES),
    "end": of_messages(strange_or("Completed")),
    "refusal": REFUSALS.map(lambda words: STAMP + words),
}


@pytest.mark.parametrize("name", LINES)
def test_what_it_tells_of_a_line_is_what_the_expression_tells(name: str) -> None:
    @given(edited(LINES[name]))
    def same(line: str) -> None:
        check(name, line)

    same()


@pytest.mark.parametrize("name", LINES)
def test_strangers_words_are_read_as_by_the_expression(name: str) -> None:
    for hostile in hostile_lines(TEMPLATES, 4000, seed=7):
        check(name, hostile.line)


USUAL = (
    ("arrival", "<= a@b.example U=anna P=local S=9"),
    ("arrival", "<= a@b.example U=anna P=local S=123456789012345678 for a@b.example"),
    ("arrival", "<= <> R=1vwyE4-0003aC-2X U=mailnull P=local S=9 for anna@bakery.example"),
    (
        "arrival",
        "<= a@b.example R=1vwyE4-0003aC-2X H=mx.far.example (lap_top) [198.51.100.7]:50 I=[2001:db8::1]:25 U=anna "
        "P=esmtpsa X=TLS1.3:AES:256 CV=no SNI=mx.example A=dovecot_login:anna@b.example S=990 M8S=0 id=m1@x "
        'T="He said \\"hi\\" \\303\\274" from <a@b.example> for c@d.example e@f.example',
    ),
    ("arrival", "<= a@b.example H=[198.51.100.7] P=esmtp S=9 id=m@x"),
    ("delivery", '=> paul@customer.example R=dnslookup T=remote_smtp H=mx.example [203.0.113.5] C="250 OK"'),
    (
        "delivery",
        "-> a@b.example <c@d.example> F=<x@y.example> R=lookup T=remote S=990 H=mx.example [203.0.113.5]:25* "
        'I=[192.0.2.1]:4444 X=TLS1.3:AES:256 CV=yes K C="250 OK" QT=1.5s DT=0.2s',
    ),
    ("delivery", "=> anna <sales@bakery.example> R=virtual_user T=dovecot_virtual_delivery"),
    ("delivery", "=> anna <x> R=virtual_user T=dovecot_virtual_delivery"),
    ("delivery", '>> a@b.example R=r T=t H=mx.example [2001:db8::1] C=""'),
    ("end", "Completed"),
    ("end", "Completed QT=3s"),
    ("try", "== a@b.example R=dnslookup T=smtp defer (-46) H=mx.example [203.0.113.5]:25 X=A:b CV=no: 451 later"),
    ("try", "== a@b.example <c@d.example> R=dnslookup defer (-1): host lookup did not complete"),
    ("try", "== a@b.example routing defer (-51): retry time not reached"),
    ("try", "** a@b.example R=dnslookup T=smtp H=mx.example [203.0.113.5] I=[192.0.2.1]: SMTP error: 550 no"),
    ("try", "** a@b.example R=dnslookup: Unrouteable address"),
)
REFUSED = (
    "H=mx.far.example (far) [198.51.100.7]:40 F=<x@y.example> rejected RCPT <a@b.example>: no",
    "H=([198.51.100.9]) [198.51.100.7] X=TLS1.3:AES:256 CV=no F=<> A=login:a temporarily rejected RCPT <a>: no",
)
USUAL_LINES = (
    *((name, f"{STAMP} {queue_id} {words}") for name, words in USUAL for queue_id in (ID, LONG_ID)),
    *(("refusal", f"{STAMP} {words}") for words in REFUSED),
)


@pytest.mark.parametrize(("name", "line"), USUAL_LINES)
def test_it_knows_the_usual_lines_and_those_that_are_almost_usual_as_the_expression_does(name: str, line: str) -> None:
    assert getattr(SCAN, f"exim_{name}")(line) is not None
    check(name, line)
    for place in range(len(STAMP), len(line) + 1):
        for other in ("", *" \"'\\()[]<>:=@,.-_+*|/\0\n9aZé"):
            check(name, line[:place] + other + line[place:])
            check(name, line[:place] + other + line[place + 1 :])


def test_a_line_that_ends_anywhere_is_read_as_by_the_expression() -> None:
    for hostile in hostile_lines(TEMPLATES, 200, seed=8):
        for end in range(len(hostile.line)):
            for name in LINES:
                check(name, hostile.line[:end])


@pytest.mark.parametrize("name", [*LINES, "arrival"])
@pytest.mark.parametrize("other", [None, b"2026", 7, ""])
def test_what_is_no_line_is_left_to_python(name: str, other: object) -> None:
    assert getattr(SCAN, f"exim_{name}")(other) is None


def interpreted(value: bytes) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "SCAN", None)
        return decode_lines(value)


PARTS = st.sampled_from(
    (b"\n", b"\r", b"\r\n", b"\0", b"a", b"abcdefgh" * 3, "é€😀".encode(), b"\xff", b"\xe2\x82", b"\xed\xa0\x80")
)


@given(st.lists(PARTS, max_size=9).map(b"".join) | st.binary(max_size=40))
def test_a_record_has_the_lines_that_python_finds(value: bytes) -> None:
    found = SCAN.lines(value, MAX_LINE_BYTES)
    assert found is None or found == interpreted(value)
    assert decode_lines(value) == interpreted(value)


def test_it_knows_the_lines_of_usual_records_and_leaves_long_ones() -> None:
    assert SCAN.lines("one\n\nGrüße\nfour".encode(), 9) == ["one", "", "Grüße", "four"]
    assert SCAN.lines(b"one\n" + b"x" * 9 + b"\n", 9) == ["one", "x" * 9]
    for place in range(20):
        assert SCAN.lines(b"x" * place + "é".encode() + b"x" * 9, 40) == ["x" * place + "é" + "x" * 9]
        assert SCAN.lines(b"x" * place + b"\xff" + b"x" * 9, 40) is None
    for left in (b"one\n" + b"x" * 10, b"one\r\n", b"\xff\n"):
        assert SCAN.lines(left, 9) is None


NAMES = st.lists(
    st.sampled_from(("a", "Z", "9", ".", "+", "-", "@", "_", "é", "\n", "\0", "b.example")), max_size=8
).map("".join)


@given(NAMES)
def test_a_mailbox_has_the_domain_that_the_expression_finds(name: str) -> None:
    match: Callable[[str], re.Match[str] | None] = accounts._match_mailbox
    found = match(name)
    assert SCAN.domain_of_mailbox(name) == (None if found is None else found[1])


def test_it_knows_usual_mailboxes() -> None:
    assert SCAN.domain_of_mailbox("a.b-c+d9@mail.bakery.example") == "mail.bakery.example"
    assert SCAN.domain_of_mailbox(None) is None
