"""The fast path of usual Postfix lines gives what the general grammar gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.parsers.postfix.fast_path import FAST_FORMS
from postwatch.streams.parsers.postfix.lines import PostfixLines
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.streams.parsers.hostile import hostile_lines
from tests.streams.parsers.postfix_templates import TEMPLATES

_STAMP = "Nov 23 17:27:12"
_IDS = ("4CE1A2F3B5", "3Pt2mN2VXxznjll")
_DELIVERY = "relay=mx.far.example[192.0.2.1]:25, delay=1.2, delays=0.1/0/0.6/0.5"
_USUAL = {
    "smtpd": [
        "client=host.example[198.51.100.7]",
        "client=unknown[2001:db8::1]:4711, sasl_method=PLAIN, sasl_username=anna@bakery.example",
    ],
    "cleanup": ["message-id=<m1@bakery.example>", "message-id=<>"],
    "qmgr": [
        "from=<anna@bakery.example>, size=990, nrcpt=1 (queue active)",
        "from=<>, size=1, nrcpt=2 (queue active)",
        "removed",
    ],
    "smtp": [
        f"to=<Paul@far.example>, {_DELIVERY}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4bXyz0)",
        f"to=<paul@far.example>, orig_to=<sales>, {_DELIVERY}, tls=verified, dsn=4.7.1, status=deferred "
        "(host mx.far.example[192.0.2.1] said: 451 4.7.1 Greylisted (in reply to RCPT TO command))",
        "to=<p@far.example>, relay=none, delay=1, delays=0/0/1/0, dsn=5.4.4, status=bounced (Host not found)",
    ],
    "local": [
        "to=<anna@bakery.example>, relay=local, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (to mailbox)"
    ],
}
_WORDS = ['"', "<", ">", "[", "]", "(", ")", ",", ", ", " ", "\t", "=", ":", "@", "a", "é", "\x85", "unknown", "1", ""]
_WORDS += [", sasl_username=x", ", sasl_sender=y", ", orig_to=<x>", ", status=sent (x)", ", orig_client=a[192.0.2.9]"]


def _line(agent: str, words: str, queue_id: str = _IDS[0]) -> str:
    return f"{_STAMP} mx7 postfix/{agent}[70{len(agent)}]: {queue_id}: {words}"


def _parser() -> PostfixLines:
    parser = PostfixLines(StampReader(find_zone("UTC", "test"), sent_ms=1_795_000_000_000))
    for agent in FAST_FORMS:
        parser.read(_line(agent, "-"))  # the fast path begins behind a head that is known
    return parser


def _takes_fast_path(line: str) -> bool:
    agent = line[line.index("/") + 1 : line.index("[")]
    return FAST_FORMS[agent].match(line, line.index("]: ") + 3) is not None


@pytest.mark.parametrize("queue_id", _IDS)
@pytest.mark.parametrize("agent", _USUAL)
def test_usual_lines_take_the_fast_path(agent: str, queue_id: str) -> None:
    parser = _parser()
    for words in _USUAL[agent]:
        line = _line(agent, words, queue_id)
        assert parser.read(line) == parser.read_any(line)
        assert _takes_fast_path(line)


def test_a_session_without_a_message_takes_the_fast_path() -> None:
    parser = _parser()
    for words in ("connect from host.example[198.51.100.7]", "disconnect from unknown[unknown] ehlo=1 commands=1"):
        line = f"{_STAMP} mx7 postfix/smtpd[705]: {words}"
        assert parser.read(line) == parser.read_any(line)
        assert _takes_fast_path(line)


@given(data=st.data())
def test_both_ways_give_the_same(data: st.DataObject) -> None:
    """A usual line with strange words somewhere, or with a piece cut out, as any daemon's."""
    usual = data.draw(st.sampled_from([words for several in _USUAL.values() for words in several]))
    start = data.draw(st.integers(0, len(usual)))
    end = data.draw(st.sampled_from((start, start, start + 1, start + 5, len(usual))))
    strange = data.draw(st.lists(st.sampled_from(_WORDS), max_size=3).map("".join))
    line = _line(data.draw(st.sampled_from(sorted(FAST_FORMS))), usual[:start] + strange + usual[end:])
    parser = _parser()
    assert parser.read(line) == parser.read_any(line)


def test_both_ways_give_the_same_for_strangers_words() -> None:
    parser = _parser()
    for hostile in hostile_lines(TEMPLATES, 4000, seed=5):
        assert parser.read(hostile.line) == parser.read_any(hostile.line)


def test_a_stamp_means_another_year_where_the_line_was_shipped_in_another() -> None:
    parser = _parser()
    line = _line("qmgr", "removed")
    parser.stamps.shipped(1_795_000_000_000)
    first = parser.read(line), parser.read(line)
    parser.stamps.shipped(1_795_000_000_000 + 366 * 86_400_000)
    second = parser.read(line), parser.read(line)
    assert first[0] == first[1] != second[0] == second[1]
