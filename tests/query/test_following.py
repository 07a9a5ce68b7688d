"""--follow: each new row once, an outage said once, and what it does not print."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import pytest
from postwatch.producers.service.errors import BadInputError, UnavailableError
from postwatch.query.commands import following
from postwatch.query.commands.following import Printed, follow
from postwatch.query.commands.reports import command_of
from postwatch.query.reports.dead_letters import REPORT as LETTERS
from postwatch.query.reports.dead_letters import DeadLettersQuestion
from postwatch.query.reports.search import REPORT as SEARCH
from postwatch.query.reports.search_question import SearchQuestion
from postwatch.streams.contracts.version import make_version

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, make_letter, make_row

pytestmark = pytest.mark.stack


def _steps(*steps: Callable[[], object]) -> Callable[[float], None]:
    """A pause in which each of these happens, one a pause, and which is interrupted then."""
    left = list(steps)

    def pause(_seconds: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    return pause


def _row(number: int, **known: Any) -> Any:
    at = NOW_MS - 5000 + number
    return make_row(queue_id=f"Q{number}", queued_at=at, updated_at=at, recipient=f"r{number}@far.example", **known)


def _followed(office: Office, capsys: pytest.CaptureFixture[str], *steps: Callable[[], object]) -> list[str]:
    with pytest.raises(KeyboardInterrupt):
        follow(office.service, SEARCH, SearchQuestion(q="far.example"), "ndjson", _steps(*steps))
    return [json.loads(line)["recipient"] for line in capsys.readouterr().out.splitlines()]


def test_each_row_is_printed_once_and_again_when_it_changes(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.insert([_row(1), _row(2, status="deferred")])
    changed = _row(2, version=2)
    found = _followed(
        office, capsys, lambda: None, lambda: office.insert([_row(3)]), lambda: office.insert([changed]), lambda: None
    )
    assert found == ["r1@far.example", "r2@far.example", "r3@far.example", "r2@far.example"]


def test_what_is_inserted_long_after_its_event_is_printed(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    """As where a shipper was away: rows of yesterday, and a last version of one that was printed."""

    def row(name: str, at_ms: int, rank: int = 1, **known: Any) -> Any:
        version = make_version(1, at_ms, rank, 3)
        return make_row(
            queue_id=name, recipient=f"{name}@far.example", queued_at=at_ms, updated_at=at_ms, version=version, **known
        )

    yesterday = NOW_MS - DAY_MS
    known = row("known", yesterday)
    office.insert([known, row("now", NOW_MS - 1000)])
    told = row("known", yesterday, rank=2)
    found = _followed(
        office,
        capsys,
        lambda: office.insert(
            [row("late", yesterday - 5), row("other", yesterday)._replace(recipient="x@else.example")]
        ),
        lambda: office.insert([told]),
        lambda: office.insert([told, row("late", yesterday - 5)]),
        lambda: None,
    )
    assert found == ["known@far.example", "now@far.example", "late@far.example", "known@far.example"]


def test_new_letters_are_printed_with_their_lines(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.letters.append(make_letter(id="0-1", line="first"))
    more = make_letter(id="0-2", line="second \x1b[31m", at_ms=NOW_MS)
    steps = _steps(lambda: office.letters.append(more), lambda: None)
    with pytest.raises(KeyboardInterrupt):
        follow(office.service, LETTERS, DeadLettersQuestion(), "table", steps)
    out = capsys.readouterr().out
    assert out.count("first") == out.count("second") == 1
    assert "\x1b" not in out


def test_an_outage_is_said_once_and_nothing_is_missed(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = office.service
    read = service.answer
    away = False

    def answer(*asked: Any) -> Any:
        if away:
            raise UnavailableError("ClickHouse does not answer")
        return read(*asked)

    def set_away(value: bool) -> None:
        nonlocal away
        away = value
        office.insert([_row(int(value) + 1)])

    monkeypatch.setattr(service, "answer", answer)
    steps = _steps(lambda: set_away(True), lambda: None, lambda: set_away(False), lambda: None)
    with pytest.raises(KeyboardInterrupt):
        follow(service, SEARCH, SearchQuestion(q="far.example"), "csv", steps)
    shown = capsys.readouterr()
    assert shown.err.count("still trying") == 1
    assert shown.out.count("r1@far.example") == shown.out.count("r2@far.example") == 1
    assert shown.out.count("updated_at") == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_KEYS", 3)
    printed = Printed()
    assert [printed.is_new(key) for key in (1, 2, 1, 3, 4)] == [True, True, False, True, True]
    assert printed.is_new(2)  # the one that was seen longest ago
    assert not printed.is_new(4)


@pytest.mark.parametrize(
    ("known", "form"), [({"until": "2026-11-23"}, "table"), ({"cursor": "x"}, "table"), ({}, "json")]
)
def test_what_has_an_end_is_not_followed(known: dict[str, Any], form: str, office: Office) -> None:
    with pytest.raises(BadInputError, match="--follow"):
        follow(office.service, SEARCH, SearchQuestion(**known), form, _steps())


def test_the_commands_that_can_follow(capsys: pytest.CaptureFixture[str]) -> None:
    for name, can in (("search", True), ("dead-letters", True), ("servers", False), ("bounces", False)):
        parser = argparse.ArgumentParser()
        command_of(name).configure(parser)
        assert ("--follow" in parser.format_help()) == can
        assert ("130 after Ctrl-C" in " ".join(parser.format_help().split())) == can
    assert MINUTE_MS * 10 == following.LOOK_BACK_MS
