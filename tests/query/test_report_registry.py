"""Every listed report has its command, help, API route and page, and each format of its output holds the rows.

And what a new report takes: a module and a line in the list. The one below is made by the same means.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
import pytest
from postwatch.deploy.cli import COMMANDS
from postwatch.query.commands.reports import FORMATS, command_of
from postwatch.query.filters import read_days
from postwatch.query.letters import LettersFound
from postwatch.query.report_service import ReportService
from postwatch.query.reports import LISTED, Listing
from postwatch.query.reports.deliveries import Deliveries, DeliveriesReport, read_newest
from postwatch.query.reports.registry import load_report
from postwatch.query.reports.report import DAY_MS, Tables, asked
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import DELIVERIES, NEWEST_FIRST, ROW_COLUMNS, VIEWER, Statement
from postwatch.query.viewer import ENGINEER
from postwatch.streams.contracts.outcome import KEY
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.query.conftest import NOW_MS, Office, Open, make_letter, make_row

NEW = "example"
MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class ExampleQuestion:
    server: str = asked(doc="the server's name")
    days: int | None = asked(None, doc="the last N days")


class ExampleReport(DeliveriesReport[ExampleQuestion, Deliveries]):
    """The newest mail that a server could not deliver."""

    question = ExampleQuestion
    operation = "example"
    path = "/api/v1/servers/{server}/example"
    page = "/example"
    title = "An Example"

    def answer(self, tables: Tables, question: ExampleQuestion) -> Deliveries:
        since_ms = tables.now_ms - read_days(question.days, tables.retention_days) * DAY_MS
        key = ", ".join(KEY)
        condition = (
            "server = {server:String} AND result = 'failed' AND queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
        )
        # No account is named: the keys are found without FINAL. The newest version of a row may no longer be a failure.
        keys = (
            f"SELECT DISTINCT {key} FROM {DELIVERIES} WHERE {VIEWER} AND {condition}"
            " ORDER BY queued_at DESC LIMIT {keys:UInt32}"
        )
        sql = (
            f"SELECT {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND ({key}) GLOBAL IN ({keys})"
            f" AND result = 'failed' ORDER BY {NEWEST_FIRST} LIMIT {{rows:UInt32}}"
        )
        parameters = {
            "database": tables.database,
            "server": question.server,
            "since_ms": since_ms,
            "keys": 2 * MAX_ROWS,
            "rows": MAX_ROWS + 1,
        }
        found = read_newest(tables, Statement(tables.viewer, sql, parameters))
        return Deliveries(since_ms=since_ms, rows=tuple(found[:MAX_ROWS]), has_more=len(found) > MAX_ROWS)


@pytest.fixture(autouse=True)
def _listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert NEW not in LISTED  # else a real report would go untested
    module = ModuleType(NEW)
    module.REPORT = ExampleReport()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"postwatch.query.reports.{NEW}", module)
    monkeypatch.setitem(LISTED, NEW, Listing(NEW, "list the newest mail that a server could not deliver"))


GIVEN = {
    "report": {"account": "bob@example.org"},
    "trace": {"id": "m1@example.org"},
    "search": {"q": "gone@example.net"},
    "queue": {"by": "server"},
    "stats": {"by": "server"},
    "story": {"id": "0" * 22},
    "bounces": {"by": "server,reason"},
    "dead-letters": {"server": "web1"},
    "server": {"server": "web1"},
    "servers": {},
    NEW: {"server": "web1"},
}
"""A question to each report that is answered by what `_fill` inserts."""


def _given(office: Office, name: str) -> dict[str, str]:
    """An id is known only when its row is there."""
    return {"id": office.report().rows[0].id} if name == "story" and office.report().rows else GIVEN[name]


def _fill(office: Office, name: str) -> None:
    status = "deferred" if name == "queue" else "bounced"
    office.insert([make_row(message_id="m1@example.org", status=status, recipient="gone@example.net")])
    office.letters.append(make_letter())
    office.beat("web1", age_ms=1000)


def test_every_report_is_known_here() -> None:
    assert set(GIVEN) == set(LISTED)


@pytest.mark.parametrize("name", [name for name in GIVEN if name != NEW])
def test_every_report_is_a_command_with_its_line_of_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.is_report
    assert command.summary == LISTED[name].summary
    assert command.error_status == 2


@pytest.mark.parametrize("name", GIVEN)
def test_help_tells_each_filter_and_the_exit_status(name: str) -> None:
    parser = argparse.ArgumentParser()
    command_of(name).configure(parser)
    text = " ".join(parser.format_help().split()).replace("- ", "-")  # argparse breaks lines at hyphens too
    for one in load_report(name).filters:
        assert one.doc in text
        assert (one.name.upper() if one.is_bare else f"--{one.name}") in text
    assert "Exit status: 0 if something was found, 1 if nothing was found, 2 if an error occurred." in text


def _run(office: Office, name: str, output: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    command = command_of(name)
    command.configure(parser)
    bare = {one.name for one in load_report(name).filters if one.is_bare}
    words = [word if known in bare else f"--{known}={word}" for known, word in _given(office, name).items()]
    status = command.show(office.service, parser.parse_args([*words, "--format", output]))
    return status, capsys.readouterr().out


def _address(path: str, given: dict[str, str]) -> httpx.URL:
    rest = dict(given)
    for one in re.findall(r"\{(\w+)[^}]*\}", path):
        path = re.sub(rf"\{{{one}[^}}]*\}}", rest.pop(one), path)
    return httpx.URL(path, params=rest)


@pytest.mark.parametrize("name", GIVEN)
def test_every_format_the_api_and_the_page_hold_what_was_found(
    name: str, office: Office, open_site: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    sought = (
        "web1" if name in ("server", "servers", "queue", "bounces", "dead-letters", "stats") else "gone@example.net"
    )
    assert _run(office, name, "table", capsys)[0] == 1
    _fill(office, name)
    outputs = {}
    for output in FORMATS:
        status, outputs[output] = _run(office, name, output, capsys)
        assert status == 0
        assert sought in outputs[output]
    (row,) = csv.DictReader(io.StringIO(outputs["csv"]))
    assert row.get("server", row.get("value")) == "web1"
    site = open_site(office.service)
    report = load_report(name)
    answer = site.get(_address(report.path, _given(office, name)))
    assert answer.status_code == 200
    report.shape_type.model_validate(answer.json())
    assert answer.json().keys() == json.loads(outputs["json"]).keys()
    page = site.get(_address(report.page, _given(office, name)))
    assert page.status_code == 200
    assert sought in page.text
    assert report.title in page.text or report.names_one


@pytest.mark.parametrize("name", GIVEN)
def test_every_filter_is_described_in_the_api(name: str, open_site: Open, office: Office) -> None:
    document = open_site(office.service).get("/api/v1/openapi.json").json()
    report = load_report(name)
    operation = document["paths"][re.sub(r":\w+\}", "}", report.path)]["get"]
    assert operation["description"] == report.description
    parameters = {one["name"]: one for one in operation.get("parameters", [])}
    assert set(parameters) == {one.name for one in report.filters}
    for one in report.filters:
        assert parameters[one.name]["required"] == one.is_required
        assert parameters[one.name]["description"].lower().startswith(one.doc.lower())


def test_a_page_with_a_form_opens_without_a_question_and_keeps_it(office: Office, open_site: Open) -> None:
    site = open_site(office.service)
    first = site.get("/example")
    assert first.status_code == 200
    assert '<input id="server" name="server" value=""' in first.text
    assert 'href="/example" aria-current="page"' in first.text
    office.insert([make_row(status="bounced")])
    assert "1 delivery, newest first" in site.get("/example", params={"server": "web1"}).text
    wrong = site.get("/example", params={"server": "web<1>", "days": "99"})
    assert wrong.status_code == 422
    assert "days=99 is out of range: use 1 to 30 (mail is kept for 30 days)" in wrong.text
    assert 'value="web&lt;1&gt;"' in wrong.text


@pytest.mark.parametrize("name", GIVEN)
def test_no_word_of_a_question_gets_into_the_text_of_a_query(name: str) -> None:
    def statements(word: str) -> list[Statement]:
        asked_for: list[Statement] = []

        def read(statement: Statement) -> Sequence[Sequence[Any]]:
            if "row_id_keys" in statement.sql:
                return [("00" * 32,)]
            asked_for.append(statement)
            return [(NOW_MS, 0)] if "SELECT toUnixTimestamp64Milli(min(" in statement.sql else []

        report = load_report(name)
        words = {one.name: word for one in report.filters if one.type is str and not one.choices}
        for refused in ("cursor", "since", "until", "zone", "larger", "smaller"):  # a word is none of these
            words.pop(refused, None)
        if "account" in words:
            words["account"] = f'"{word}"@example.org'
        service = ReportService(
            read, QuerySettings(), ClickHouseSettings(), JoinSettings(), letters=lambda _since_ms: LettersFound(())
        )
        service.answer(ENGINEER, report, report.question(**words))
        return asked_for

    hostile = statements("x'; DROP TABLE deliveries; -- {database:Identifier} %s")
    tame = statements("tame words")
    assert [one.sql for one in hostile] == [one.sql for one in tame]
    for statement in hostile:
        assert set(re.findall(r"\{(\w+):", statement.sql)) == statement.parameters.keys()
