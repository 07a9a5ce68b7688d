"""The fast path of usual Exim lines gives what the general grammar gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.parsers.events import Arrival, Attempt, LifecycleEvent, Parsed, Refusal
from postwatch.streams.parsers.exim.main_log import EximMainParser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.streams.parsers.exim_main_templates import ID, STAMP, TEMPLATES
from tests.streams.parsers.exim_usual_lines import ARRIVALS, DELIVERIES, LONG_ID, REFUSALS, TRIES, strange_or
from tests.streams.parsers.hostile import hostile_lines


def _parser() -> EximMainParser:
    parser = EximMainParser(StampReader(find_zone("UTC", "test")))
    parser.parse(f"{STAMP} Start queue run: pid=1")  # the fast path begins behind a stamp that is known
    return parser


class _FastAlone(EximMainParser):
    """It has no other way to read a line of a known second."""

    def read_any(self, line: str) -> Parsed | None:
        if self.stamps.seconds:
            raise AssertionError(f"not the fast path: {line}")
        return super().read_any(line)


def _goes_the_short_way(words: str) -> bool:
    parser = _FastAlone(StampReader(find_zone("UTC", "test")))
    parser.parse(f"{STAMP} Start queue run: pid=1")
    return isinstance(parser.parse(f"{STAMP} {words}"), (Arrival, Attempt, LifecycleEvent, Refusal))


@pytest.mark.parametrize(
    "words",
    [
        "anna@bakery.example H=mx.far.example (laptop) [198.51.100.7]:50123 P=esmtps X=TLS1.3:AES:256 CV=no S=9 id=m@x "
        'T="Grüße" for paul@customer.example',
        'anna@bakery.example H=(x) [198.51.100.7] P=esmtpsa A=plain:anna S=9 id=m@x T="Hi" for a@x.example b@x.org',
        "<> R=1vwyE4-0003aC-2X U=mailnull P=local S=9 for anna@bakery.example",
        "anna@bakery.example U=anna P=local S=9",
    ],
)
def test_usual_arrivals_go_the_short_way(words: str) -> None:
    for queue_id in (ID, LONG_ID):
        assert _goes_the_short_way(f"{queue_id} <= {words}")


@pytest.mark.parametrize(
    "words",
    [
        "=> paul@customer.example R=dnslookup T=remote_smtp H=mx.example [203.0.113.5] X=TLS1.3:AES:256 CV=yes "
        'C="250 OK"',
        "-> anna <sales@bakery.example> R=virtual_user T=dovecot_virtual_delivery",
        "=> :blackhole: <nobody@bakery.example> R=virtual_aliases",
        "Completed",
    ],
)
def test_usual_deliveries_and_endings_go_the_short_way(words: str) -> None:
    for queue_id in (ID, LONG_ID):
        assert _goes_the_short_way(f"{queue_id} {words}")


@pytest.mark.parametrize(
    "words",
    [
        "== paul@customer.example R=dnslookup T=remote_smtp defer (-46) H=mx.example [203.0.113.5] X=A CV=no: 451",
        "== a@customer.example <b@bakery.example> R=dnslookup defer (-1): host lookup did not complete",
        "** paul@customer.example R=dnslookup T=remote_smtp H=mx.example [203.0.113.5]: SMTP error: 550 no",
        "** paul@customer.example R=dnslookup: Unrouteable address",
    ],
)
def test_usual_tries_go_the_short_way(words: str) -> None:
    for queue_id in (ID, LONG_ID):
        assert _goes_the_short_way(f"{queue_id} {words}")


def test_usual_refusals_go_the_short_way() -> None:
    assert _goes_the_short_way(
        "H=mx.far.example (far) [198.51.100.7]:40 F=<x@y.example> rejected RCPT <a@b.example>: no"
    )
    assert _goes_the_short_way(
        "H=mx.far.example (far) [198.51.100.7]:40 F=<x@y.example> rejected RCPT <a@b.example>: no"
    )


@given(words=REFUSALS)
def test_both_ways_give_the_same_refusal(words: str) -> None:
    parser = _parser()
    line = f"{STAMP}{words}"
    assert parser.read(line) == parser.read_any(line)


@given(words=ARRIVALS | TRIES | DELIVERIES | strange_or("Completed"), queue_id=st.sampled_from((ID, LONG_ID)))
def test_both_ways_give_the_same(words: str, queue_id: str) -> None:
    parser = _parser()
    line = f"{STAMP} {queue_id} {words}"
    assert parser.read(line) == parser.read_any(line)


def test_both_ways_give_the_same_for_strangers_words() -> None:
    parser = _parser()
    for hostile in hostile_lines(TEMPLATES, 4000, seed=5):
        assert parser.read(hostile.line) == parser.read_any(hostile.line)
