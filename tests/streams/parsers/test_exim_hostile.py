"""Strangers' words in Exim's lines forge no account, recipient or status, and cost no time."""

from __future__ import annotations

import random
import time

import pytest
from postwatch.producers.record import MAX_LINE_BYTES
from postwatch.streams.events import Arrival, Attempt, Ending, Event, Refusal, Unreadable
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.stamps import StampReader, find_zone

from tests.streams.parsers.exim_templates import ID, STAMP, TEMPLATES
from tests.streams.parsers.hostile import PIECES, Hostile, Template, hostile_lines

_LINES = 1000
"""Of each template: 19,000 in all."""


def wrong_fields(event: Event, hostile: Hostile) -> dict[str, object]:
    """The fields that tell another truth. `own` is the recipient itself, as final or as original address."""
    wrong: dict[str, object] = {}
    for name, true in hostile.truth.items():
        if name == "own":
            told = (getattr(event, "recipient", None), getattr(event, "original_recipient", None))
            if true not in told:
                wrong[name] = told
        elif getattr(event, name, None) != true:
            wrong[name] = getattr(event, name, None)
    return wrong


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.__name__)
def test_no_words_forge_a_field(template: Template) -> None:
    parser = make_parser("exim-main", StampReader(find_zone("UTC", "test")))
    unreadable = 0
    for hostile in hostile_lines([template], _LINES, seed=11):
        event = parser.parse(hostile.line)
        if isinstance(event, Unreadable):
            unreadable += 1
            continue
        assert isinstance(event, Arrival | Attempt | Ending | Refusal), f"taken for {event}: {hostile.line}"
        assert wrong_fields(event, hostile) == {}, hostile.line
    assert unreadable < _LINES / 5


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.__name__)
def test_the_longest_line_of_any_piece_costs_less_than_50_ms(template: Template) -> None:
    parser = make_parser("exim-main", StampReader(find_zone("UTC", "test")))
    for piece in PIECES:
        line = template((f"{piece} " * MAX_LINE_BYTES)[: MAX_LINE_BYTES - 1024], random.Random(1)).line
        started = time.process_time()
        parser.parse(line[:MAX_LINE_BYTES])
        assert time.process_time() - started < 0.05, piece


_OPENINGS = (
    "H=(",
    "F=<",
    "F=a@b H=",
    "U=x F=<",
    "rejected from <",
    f"{ID} ",
    f"{ID} <= a@b ",
    f"{ID} <= a@b H=(",
    f"{ID} <= a@b U=a P=local S=1 id=",
    f"{ID} <= a@b U=a P=local for ",
    f"{ID} => ",
    f"{ID} => a@b R=a T=b ",
    f'{ID} => a@b R=a T=b C="',
    f"{ID} => blackhole (",
    f"{ID} ** ",
    f"{ID} ** a@b R=a: SMTP error from remote mail server after ",
    f"{ID} == a@b ",
)
_FILLINGS = ("a", " ", '"', "<", "[1.2.3.4] ", "F=<", ': "', ' <"', "R=a ", "P=a ", "for a ", "rejected RCPT <", "(a) ")
_ENDS = ("", " rejected RCPT <a@b>: x", " rejected by local_scan(): x")


@pytest.mark.parametrize("opening", _OPENINGS)
def test_no_form_takes_more_than_linear_time(opening: str) -> None:
    parser = make_parser("exim-main", StampReader(find_zone("UTC", "test")))
    for filling in _FILLINGS:
        for end in _ENDS:
            line = f"{STAMP} {opening}{filling * MAX_LINE_BYTES}"[: MAX_LINE_BYTES - len(end)] + end
            started = time.process_time()
            parser.parse(line)
            assert time.process_time() - started < 0.05, (filling, end)
