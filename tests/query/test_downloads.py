"""Whole results as files: each row once, in flat memory, and never a part that looks whole."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import socket
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from postwatch.producers.service.errors import UnavailableError
from postwatch.query.reports import account
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.shapes import DeliveryShape
from postwatch.query.statements import Row, Statement
from postwatch.query.viewer import ENGINEER, Viewer
from prometheus_client import REGISTRY

from tests.query.conftest import MINUTE_MS, NOW_MS, Office, Open, make_row, make_rows
from tests.waiting import wait_until

FILE = "/api/v1/accounts/bob@example.org/deliveries"
BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
ROWS = 25


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "FILE_PAGE_ROWS", 10)


class FailingLater:
    """The real tables, until they have answered so many statements."""

    def __init__(self, office: Office, statements: int) -> None:
        self._read = office.service._read
        self.left = statements

    def __call__(self, statement: Statement) -> Sequence[Row]:
        self.left -= 1
        if self.left < 0:
            raise UnavailableError("ClickHouse went away")
        return self._read(statement)


def _recipients(text: str) -> list[str]:
    return [row["recipient"] for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize("path", [FILE + ".{form}", "/download/account_deliveries.{form}?account=bob@example.org"])
def test_a_file_holds_every_row_once_newest_first(path: str, office: Office, open_site: Open) -> None:
    rows = make_rows(ROWS)
    office.insert(rows)
    office.insert([make_row(account="eve@example.org")])
    site = open_site(office.service)
    found = site.get(path.format(form="csv"))
    assert _recipients(found.text) == [row.recipient for row in rows]
    assert found.text.count("updated_at") == 1
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    lines = site.get(path.format(form="ndjson")).text.splitlines()
    assert [json.loads(line)["recipient"] for line in lines] == [row.recipient for row in rows]
    assert DeliveryShape.model_validate_json(lines[0]).account == "bob@example.org"


def test_the_name_of_a_file_holds_no_address(office: Office, open_site: Open) -> None:
    named = open_site(office.service).get(f"{FILE}.csv").headers["content-disposition"]
    assert named.startswith('attachment; filename="deliveries-20')
    assert named.endswith('.csv"')
    assert "bob" not in named


def test_the_filters_of_the_report_are_those_of_its_files(office: Office, open_site: Open) -> None:
    office.insert([*make_rows(3), make_row(queue_id="1tXXXX-00000000001-ABCD", status="bounced", recipient="gone@x")])
    site = open_site(office.service)
    assert _recipients(site.get(f"{FILE}.csv", params={"status": "failed"}).text) == ["gone@x"]
    assert site.get(f"{FILE}.csv", params={"days": "99"}).json()["error"]["code"] == "invalid"
    assert site.get("/download/account_deliveries.csv").headers["content-type"].startswith("text/html")


def test_nothing_found_is_a_heading_alone(office: Office, open_site: Open) -> None:
    site = open_site(office.service)
    assert site.get(f"{FILE}.csv").text.count("\r\n") == 1
    assert site.get(f"{FILE}.ndjson").text == ""


def test_a_viewer_sees_of_a_file_what_he_sees_of_the_page(office: Office, open_site: Open) -> None:
    reply = "550 told by mallory@other.example"
    office.insert(
        [make_row(response=reply, log_lines=("Bcc: secret@other.example",)), make_row(account="eve@x.example")]
    )
    site = open_site(office.service, BOB)
    for form in ("csv", "ndjson"):
        text = site.get(f"{FILE}.{form}").text
        assert "alice@example.net" in text
        assert "other.example" not in text
        other = site.get(f"/api/v1/accounts/eve@x.example/deliveries.{form}").text
        assert "alice@example.net" not in other
    assert open_site(office.service, None).get(f"{FILE}.csv").status_code == 403


def test_rows_that_change_and_arrive_meanwhile_are_neither_missed_nor_repeated(office: Office) -> None:
    rows = make_rows(ROWS)
    office.insert(rows)
    question = AccountQuestion("bob@example.org")
    found: list[str] = []
    for number, page in enumerate(office.service.pages(ENGINEER, account.REPORT, question)):
        found += [row.queue_id for row in page.rows]
        changed = rows[-1 - number]  # of the last page: it is now the newest by its last event
        office.insert(
            [
                changed._replace(updated_at=NOW_MS, version=2),
                make_row(queue_id=f"1tNEWW-{number:011d}-ABCD", queued_at=NOW_MS + MINUTE_MS),
            ]
        )
    assert found == [row.queue_id for row in rows]


def test_gzip_is_sent_to_whoever_asks_for_it(office: Office, open_site: Open) -> None:
    office.insert(make_rows(ROWS))
    site = open_site(office.service)
    with site.stream("GET", f"{FILE}.csv", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        packed = b"".join(answer.iter_raw())
    assert len(_recipients(gzip.decompress(packed).decode())) == ROWS
    plain = site.get(f"{FILE}.csv", headers={"accept-encoding": "gzip;q=0, br"})
    assert "content-encoding" not in plain.headers


def _pieces_until_it_breaks_off(answer: httpx.Response) -> list[bytes]:
    got: list[bytes] = []

    def take_all() -> None:
        for piece in answer.iter_bytes():
            got.append(piece)

    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        take_all()
    return got


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_file_that_breaks_off_does_not_look_whole(form: str, encoding: str, office: Office, open_site: Open) -> None:
    office.insert(make_rows(ROWS))
    service = office.service
    service._read = FailingLater(office, 3)  # the first page, and not all of the second
    site = open_site(service)
    with site.stream("GET", f"{FILE}.{form}", headers={"accept-encoding": encoding}) as answer:
        pieces = _pieces_until_it_breaks_off(answer)
    got = b"".join(pieces)
    assert b"INCOMPLETE" in got.splitlines()[-1]
    assert len(got.splitlines()) == 10 + 1 + (form == "csv")


def test_what_is_wrong_before_the_first_row_is_an_ordinary_error(office: Office, open_site: Open) -> None:
    service = office.service
    service._read = FailingLater(office, 0)
    answer = open_site(service).get(f"{FILE}.csv")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"


def _ended(end: str) -> float:
    return REGISTRY.get_sample_value("postwatch_downloads_total", {"end": end}) or 0


def _begin_and_stall(site: httpx.Client) -> socket.socket:
    """A client that asks for a file and takes next to nothing of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((site.base_url.host, site.base_url.port or 80))
    connection.sendall(f"GET {FILE}.csv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


@pytest.fixture
def _long_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "FILE_PAGE_ROWS", 1000)


@pytest.mark.usefixtures("_long_pages")
def test_files_have_a_bound_and_a_client_that_leaves_frees_its_place(office: Office, open_site: Open) -> None:
    office.insert(make_rows(6000, response="x" * 2000))
    site = open_site(office.service)
    stalled = [_begin_and_stall(site) for _ in range(2)]
    refused = site.get(f"{FILE}.csv")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["error"]["code"] == "busy"
    assert site.get(FILE).status_code == 200  # reports do not wait for files
    for connection in stalled:
        connection.close()
    wait_until(lambda: site.get(f"{FILE}.csv", params={"status": "failed"}).status_code == 200, "a place is free")


@pytest.mark.usefixtures("_long_pages")
def test_a_client_that_takes_nothing_is_dropped(
    office: Office, open_site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postwatch.query.downloads.SEND_SECONDS", 0.5)
    office.insert(make_rows(6000, response="x" * 2000))
    dropped = _ended("stalled")
    stalled = _begin_and_stall(open_site(office.service))
    wait_until(lambda: _ended("stalled") > dropped, "the client is dropped")
    stalled.settimeout(5)
    got = 0
    while piece := stalled.recv(1 << 20):
        got += len(piece)
    stalled.close()
    assert 0 < got < 6000 * 2000


def test_no_turn_is_held_between_two_pages(office: Office) -> None:
    office.insert(make_rows(ROWS))
    service = office.service
    pages = service.pages(ENGINEER, account.REPORT, AccountQuestion("bob@example.org"))
    next(pages)
    reader: Any = service._read
    with contextlib.ExitStack() as taken:
        for number in range(office.query_settings.max_queries):  # raises BusyError where one is held
            taken.enter_context(reader._turns.turn(f"viewer{number}"))
