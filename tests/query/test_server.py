"""One server: what its shipper lost, what the join knows of its lines, its clock and its dead letters."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from markupsafe import escape
from postwatch.producers.record import Heartbeat
from postwatch.producers.service.errors import UnavailableError
from postwatch.query.commands.reports import command_of
from postwatch.query.errors import ForbiddenError
from postwatch.query.report_service import ReportService
from postwatch.query.reports.server import REPORT, ServerFound, ServerQuestion, clock_words, loss_words, server_facts
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.heartbeat import JoinedLines, decode_heartbeat, encode_heartbeat
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.query.conftest import DAY_MS, NOW_MS, Office, Open, make_letter

pytestmark = pytest.mark.stack

OWNER = Viewer("owner", domains=frozenset({"d1.example"}))
BUSY = JoinedLines(NOW_MS - DAY_MS, 900_000, 1200, 60_000, ("exim", "postfix"), (("line", 7), ("record", 2)), 30, 900)
HOSTILE = "<script>x<b>\x1b[2J\u202e"


def _heard(office: Office, server: str, joined: JoinedLines, **known: Any) -> None:
    fields: dict[str, Any] = {
        "sent_ms": NOW_MS - 3000,
        "last_line_ms": NOW_MS - 4000,
        "lag_bytes": 0,
        "files": 2,
        "shipper_version": "0.1.0",
        "started_ms": NOW_MS - DAY_MS,
    }
    beat = Heartbeat(**{**fields, **known})
    office.client.insert_arrow("servers", decode_heartbeat(encode_heartbeat(server, beat, joined)))


def _found(office: Office, server: str = "web1") -> ServerFound:
    return office.answer(REPORT, ServerQuestion(server))


def test_a_server_tells_what_its_shipper_and_the_join_know(office: Office, open_site: Open) -> None:
    _heard(office, "web1", BUSY, truncations=1, unread_files=2, cut_lines=4)
    _heard(office, "web10", JoinedLines())
    state = _found(office).server
    assert state.lines == BUSY
    assert state.lines_per_second == 20
    assert state.dead_letters == 9
    assert loss_words(state) == (
        "2 log files were gone before their end; its logger dropped 30 lines; 1 log file was truncated;"
        " 4 lines were too long"
    )
    site = open_site(office.service)
    answer = site.get("/api/v1/servers/web1").json()["server"]
    assert answer["lines_per_second"] == 20
    assert answer["formats"] == ["exim", "postfix"]
    assert answer["dead_letters"] == {"line": 7, "record": 2}
    assert (answer["suppressed_lines"], answer["unread_files"], answer["truncations"]) == (30, 2, 1)
    page = site.get("/servers/web1").text
    for words in ("20.0", "exim, postfix", "7 <bdi>line</bdi>", "900,000 lines since"):
        assert words in page
    assert "reason=line" in page
    listed = site.get("/servers").text
    assert 'href="/servers/web10"' in listed
    assert "its logger dropped 30 lines" in listed
    assert site.get("/servers/web").status_code == 404
    assert "counts on each of them" in site.get("/statistics").text  # of one server it goes without saying
    assert site.get("/api/v1/servers/web").json()["error"]["message"].startswith("No server of this name")


def test_its_dead_letters_are_shown_with_the_command_that_reads_them_again(office: Office, open_site: Open) -> None:
    _heard(office, "web1", BUSY)
    office.letters += [make_letter(line="strange line"), make_letter(server="web2", line="not of web1")]
    page = open_site(office.service).get("/servers/web1").text
    assert "strange line" in page
    assert "not of web1" not in page
    assert "<code>postwatch join --from 2" in page


def test_without_kafka_the_rest_is_told(office: Office, open_site: Open) -> None:
    _heard(office, "web1", BUSY)

    def away(_since_ms: int) -> Any:
        raise UnavailableError("no broker answers")

    reader = office.service._read
    service = ReportService(
        reader, QuerySettings(), replace(ClickHouseSettings(), database=office.settings.database), JoinSettings(),
        letters=away,
    )  # fmt: skip
    answer = open_site(service).get("/servers/web1")
    assert answer.status_code == 200
    assert "They could not be read from Kafka." in answer.text
    assert open_site(service).get("/api/v1/servers/web1").json()["letters"] is None


@pytest.mark.parametrize(
    ("skew_ms", "lag_bytes", "words"),
    [
        (900, 0, "right"),
        (-900, 0, "right"),
        (-7_200_000, 0, "its lines are 2 h ahead: its clock, or the time zone of its log, is wrong"),
        (3_600_000, 0, "its lines are 60 min behind: they come late, or its clock or time zone is wrong"),
        (3_600_000, 5, "right"),  # it sends what it could not send before
    ],
)
def test_a_wrong_clock_is_told(skew_ms: int, lag_bytes: int, words: str, office: Office) -> None:
    _heard(office, "web1", BUSY._replace(clock_skew_ms=skew_ms), lag_bytes=lag_bytes)
    assert clock_words(_found(office).server) == words


def test_a_server_without_a_shipper_shows_what_its_lines_tell(office: Office) -> None:
    _heard(office, "web1", BUSY, shipper_version="", files=0, started_ms=0)
    state = _found(office).server
    facts = dict(server_facts(state))
    assert facts["Last heartbeat"] == "3.0 s ago; it has no shipper, so its lines tell"
    assert facts["Lines per second"] == "20.0"
    assert facts["Lost lines"] == "its logger dropped 30 lines"
    assert "Files" not in facts


def test_a_heartbeat_of_an_older_version_is_told_as_unknown(office: Office) -> None:
    _heard(office, "web1", JoinedLines(), started_ms=0)
    facts = dict(server_facts(_found(office).server))
    assert facts["Lines per second"] == facts["Lines read"] == facts["Clock"] == facts["Log formats"] == "unknown"


def test_a_silent_server_reads_no_lines(office: Office) -> None:
    _heard(office, "web1", BUSY, sent_ms=NOW_MS - DAY_MS)
    assert _found(office).server.lines_per_second == 0


def test_no_server_may_write_on_the_page_or_the_terminal(
    office: Office, open_site: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    joined = BUSY._replace(formats=(HOSTILE,), letters=((HOSTILE, 1),))
    _heard(office, HOSTILE, joined, shipper_version=HOSTILE)
    office.letters.append(make_letter(server=HOSTILE, line=HOSTILE))
    site = open_site(office.service)
    for page in (site.get("/servers").text, site.get("/servers/" + quote(HOSTILE)).text):
        assert "<script>x" not in page
        assert "\x1b" not in page
    parser = argparse.ArgumentParser()
    command = command_of("server")
    command.configure(parser)
    assert command.show(office.service, parser.parse_args([HOSTILE])) == 0
    assert not set("\x1b\u202e") & set(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["rack/7", "/var/", "50% & more?#x;+y", "a b/../c", "ä"])
def test_a_server_has_its_page_whatever_its_name_holds(
    name: str, office: Office, open_site: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    _heard(office, name, BUSY)
    site = open_site(office.service)
    [address] = re.findall(r'href="(/servers/[^"]+)"', site.get("/servers").text)
    page = site.get(address)
    assert page.status_code == 200
    assert f"<h1><bdi>{escape(name)}</bdi></h1>" in page.text
    for link in re.findall(r'href="(/[a-z-]+\?server=[^"]+)"', page.text):
        shown = site.get(unescape(link))
        assert shown.status_code == 200
        assert str(escape(name)) in shown.text
    assert site.get(f"/api/v1{address}").json()["server"]["server"] == name
    assert "{server}" in "".join(site.get("/api/v1/openapi.json").json()["paths"])
    assert site.get(f"{address}%2Fmore").status_code == 404
    parser = argparse.ArgumentParser()
    command = command_of("server")
    command.configure(parser)
    assert command.show(office.service, parser.parse_args([name])) == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_no_address_can_hold_is_no_link(name: str, office: Office, open_site: Open) -> None:
    """Browsers leave it out, and would go to another page."""
    _heard(office, name, BUSY)
    page = open_site(office.service).get("/servers").text
    assert f"<bdi>{name}</bdi>" in page
    assert 'href="/servers/' not in page
    assert _found(office, name).server.server == name


def test_one_server_is_the_engineer_s_affair(office: Office, open_site: Open) -> None:
    _heard(office, "web1", BUSY)
    with pytest.raises(ForbiddenError):
        office.answer(REPORT, ServerQuestion("web1"), OWNER)
    site = open_site(office.service, OWNER)
    for path in ("/servers/web1", "/servers/no-such", "/api/v1/servers/web1"):
        answer = site.get(path)
        assert answer.status_code == 403
        assert "exim" not in answer.text
