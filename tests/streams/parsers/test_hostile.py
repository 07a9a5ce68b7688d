"""Strangers' words in the lines of every daemon forge no account, recipient or status, and cost no time."""

from __future__ import annotations

import random

import pytest
from postwatch.producers.record import MAX_LINE_BYTES
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.hosted_domains import Domains
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import Event, Ignored, Parsed, Unreadable
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.log_format import LineParser
from postwatch.streams.parsers.registry import FORMATS, make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.cpu import is_linear
from tests.streams.parsers.exim_main_templates import ID, STAMP
from tests.streams.parsers.hostile import PIECES, VICTIM, Hostile, Template, hostile_lines
from tests.streams.parsers.templates import templates_of

_LINES = 400
"""Of each template: 30,000 in all."""
_LONG_LINES = 12
"""Of each template, each of another piece."""
_FORMATS = {each.name: templates_of(each.name) for each in FORMATS}
_TEMPLATES = [
    pytest.param(template, id=f"{name}-{template.__name__}")
    for name, templates in _FORMATS.items()
    for template in templates
]
_SHIPPED_MS = 1_772_440_000_000
"""2 March 2026."""


def parser_of_all() -> LineParser:
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(_SHIPPED_MS)
    return make_parser("auto", stamps)


def wrong_fields(event: Event, hostile: Hostile) -> dict[str, object]:
    """The fields that tell another truth. `own` is the recipient itself, as final or as original address."""
    wrong: dict[str, object] = {}
    for name, true in (hostile.truth or {}).items():
        if name == "own":
            told = (getattr(event, "recipient", None), getattr(event, "original_recipient", None))
            if true not in told:
                wrong[name] = told
        elif getattr(event, name, None) != true:
            wrong[name] = getattr(event, name, None)
    return wrong


def check(parsed: Parsed, hostile: Hostile) -> None:
    """Nothing but the truth, or the word that it can't be read."""
    if isinstance(parsed, Unreadable):
        return
    if hostile.truth is None:
        assert isinstance(parsed, Ignored), f"read as {parsed}: {hostile.line!r}"
        return
    assert not isinstance(parsed, Ignored), f"read as {parsed}: {hostile.line!r}"
    if isinstance(parsed, list):
        for name, true in hostile.truth.items():
            assert {getattr(event, name, true) for event in parsed} == {true}, hostile.line
        return
    assert wrong_fields(parsed, hostile) == {}, hostile.line


@pytest.mark.parametrize("template", _TEMPLATES)
def test_no_words_forge_a_field(template: Template) -> None:
    """In a file of any format: each line is told by its head, and no words are taken for another's head."""
    parser = parser_of_all()
    unreadable = 0
    for hostile in hostile_lines([template], _LINES, seed=11):
        [line] = decode_lines(hostile.line.encode() + b"\n")  # no words begin a second line
        parsed = parser.parse(line)
        check(parsed, hostile)
        unreadable += isinstance(parsed, Unreadable)
    assert unreadable < _LINES / 5


@pytest.mark.parametrize("name", _FORMATS)
@pytest.mark.parametrize("domains", [None, {"bank.example": "bank", "bakery.example": "bakery"}], ids=("log", "list"))
def test_no_words_give_a_row_to_a_victim(name: str, domains: Domains | None) -> None:
    parser = parser_of_all()
    for hostile in hostile_lines(_FORMATS[name], 1000, seed=12):
        joiner = Joiner(AccountBook(domains))
        joiner.add("mx1", parse_lines(parser, [hostile.line], LineCounts()).events)
        rows = joiner.take_dirty()[0]
        for message in joiner.open_messages():
            rows += joiner.pending_rows(message)
        for row in rows:
            assert VICTIM not in (row.account, row.recipient, row.authenticated_as), hostile.line
            assert not row.account.startswith(("root@", "uid0@")), hostile.line


@pytest.mark.parametrize("template", _TEMPLATES)
def test_the_longest_line_of_any_piece_is_true_too_and_costs_linear_time(template: Template) -> None:
    parser = parser_of_all()
    for piece in random.Random(template.__name__).sample(PIECES, _LONG_LINES):
        words = (f"{piece} " * MAX_LINE_BYTES)[: MAX_LINE_BYTES - 1024]
        hostile = template(words, random.Random(1))
        line = hostile.line[:MAX_LINE_BYTES]
        half = template(words[: len(words) // 2], random.Random(1)).line
        assert is_linear(parser.parse, line, [line[: len(line) // 2], half]), piece
        if line == hostile.line:
            check(parser.parse(line), hostile)


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
            assert is_linear(parser.parse, line, [line[: len(line) // 2] + end]), (filling, end)
