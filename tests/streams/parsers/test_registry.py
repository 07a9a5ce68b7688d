"""Every log format is told by its name and its head, and has golden logs, hostile lines and a line in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from postwatch.producers.service.errors import BadInputError
from postwatch.streams.parsers.events import Ignored, Unreadable
from postwatch.streams.parsers.lines import decode_lines
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.registry import AUTO, FORMAT_NAMES, FORMATS, FormatsParser, make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.streams.parsers.templates import templates_of

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden"
_SENT_MS = 1_795_500_000_000
_each_format = pytest.mark.parametrize("log_format", FORMATS, ids=lambda each: each.name)


def _stamps() -> StampReader:
    return StampReader(find_zone("UTC", "test"), sent_ms=_SENT_MS)


def _golden_lines(name: str) -> list[str]:
    return [line for log in sorted((GOLDEN / name).glob("*.log")) for line in decode_lines(log.read_bytes())]


def test_each_format_has_a_name_of_its_own() -> None:
    assert len(set(FORMAT_NAMES)) == len(FORMATS) + 1
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", name) for name in FORMAT_NAMES)


@_each_format
def test_a_format_has_a_reader(log_format: LogFormat) -> None:
    assert (log_format.read_message is None) == (not log_format.programs)
    assert log_format.read_message or log_format.line_reader or log_format.parser


@_each_format
def test_a_format_has_golden_logs_of_two_messages_and_their_rows(log_format: LogFormat) -> None:
    logs = list((GOLDEN / log_format.name).glob("*.log"))
    assert logs
    queue_ids: set[str] = set()
    for log in logs:
        queue_ids |= set(re.findall(r'"queue_id":"([^"]+)"', log.with_suffix(".rows.jsonl").read_text()))
    assert len(queue_ids) > 1


@_each_format
def test_a_format_is_read_by_its_name_and_by_its_head_alike(log_format: LogFormat) -> None:
    """All that its golden logs hold; lines of others there are told as another program's."""
    named, of_all = make_parser(log_format.name, _stamps()), make_parser(AUTO, _stamps())
    for line in _golden_lines(log_format.name):
        found = named.parse(line)
        assert found == of_all.parse(line) or (isinstance(found, Ignored) and found.kind == "other-program"), line


@_each_format
def test_a_format_has_hostile_lines(log_format: LogFormat) -> None:
    assert templates_of(log_format.name)


@_each_format
def test_a_format_has_a_line_in_the_docs(log_format: LogFormat) -> None:
    page = (ROOT / "docs/log-formats.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^\| `{re.escape(log_format.name)}` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    assert len(rows) == 1
    assert all(cell.strip() for cell in rows[0])


def test_the_docs_name_no_format_that_is_not_there() -> None:
    page = (ROOT / "docs/log-formats.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == set(FORMAT_NAMES)


def test_no_line_is_claimed_by_two_formats() -> None:
    """So the order in which they are asked changes nothing."""
    readers = [each.line_reader(_stamps()) for each in FORMATS if each.line_reader is not None]
    for name in FORMAT_NAMES[1:]:
        for line in _golden_lines(name):
            assert sum(read(line) is not None for read in readers) <= 1, line


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("postfix/smtp", "postfix"),
        ("postfix-192.0.2.7/submission/smtpd", "postfix"),
        ("amavis", "postfix"),
        ("exim4", "exim-syslog"),
        ("sm-mta", "sendmail"),
        ("smtpd", "opensmtpd"),
        ("postfixadmin", ""),
        ("exim4-base", ""),
        ("dovecot", ""),
    ],
)
def test_which_program_is_of_which_format(program: str, name: str) -> None:
    line = f"Nov  3 17:27:12 mx2 {program}: any words"
    claimed = [
        each.name
        for each in FORMATS
        if each.programs and FormatsParser(_stamps(), (each,)).parse(line) != Ignored("other-program")
    ]
    assert claimed == ([name] if name else [])


def test_a_line_of_a_daemon_whose_stamp_is_cut_is_a_dead_letter_where_its_format_is_read() -> None:
    cut = "021-02-06T10:57:57+01:00 mx postfix/smtpd[1]: 7F00AA: client=a[192.0.2.1]"
    assert make_parser("postfix", _stamps()).parse(cut) == Unreadable("a stamp that makes no sense")
    assert make_parser("sendmail", _stamps()).parse(cut) == Ignored("no-stamp")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInputError, match=r"'exim-of-tomorrow': use one of auto, exim-main, .*kumomta"):
        make_parser("exim-of-tomorrow", _stamps())
