"""Streams of open pages: a real server over the real engine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from postwatch.query import server as server_module
from postwatch.query.live import hub as hub_module
from postwatch.query.report_service import ReportService
from postwatch.query.server import Application, create_app
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER, Viewer
from prometheus_client import REGISTRY

from tests.chaos.proxy import Behaviour, Proxy
from tests.query.conftest import MINUTE_MS, NOW_MS, Office, make_row
from tests.query.serving import serving
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.stack

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))


class Told(NamedTuple):
    kind: str
    id: str
    body: Any


class Page:
    """An open page: what its stream tells it."""

    def __init__(self, client: httpx.Client, address: str, last_id: str = "") -> None:
        self.events: queue.Queue[Told] = queue.Queue()
        self.last_id = last_id
        self.status = 0
        self.has_ended = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(client, address), daemon=True)
        self._reader.start()

    def _read(self, client: httpx.Client, address: str) -> None:
        headers = {"last-event-id": self.last_id} if self.last_id else {}
        with (
            contextlib.suppress(httpx.TransportError),
            client.stream("GET", address, headers=headers, timeout=60) as answer,
        ):
            self.status = answer.status_code
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                self.last_id = fields.get("id", self.last_id)
                if "event" in fields:
                    self.events.put(Told(fields["event"], fields["id"], json.loads(fields["data"])))
                fields = {}
        self.has_ended.set()

    def next(self, seconds: float = PATIENCE) -> Told:
        return self.events.get(timeout=seconds)

    def rows(self, number: int) -> dict[str, str]:
        """Id → HTML of the next rows."""
        found: dict[str, str] = {}
        while len(found) < number:
            told = self.next()
            assert told.kind == "rows", told
            found |= {row["id"]: row["html"] for row in told.body["rows"]}
        return found


class Site(NamedTuple):
    client: httpx.Client
    app: Application
    stop: Any

    def page(self, query: str = "account=bob@example.org", **known: Any) -> Page:
        position = f"{self.app.hub.position():x}"
        page = Page(self.client, f"/live?{query}&from={position}", **known)
        wait_until(lambda: page.status or page.has_ended.is_set(), "the stream has begun")
        return page


@contextlib.contextmanager
def opened(service: ReportService, identify: Any = lambda _scope: ENGINEER) -> Iterator[Site]:
    app = create_app(service, identify)
    limits = httpx.Limits(max_connections=None)
    with serving(app) as server, httpx.Client(base_url=server.address, limits=limits, timeout=PATIENCE) as client:
        try:
            yield Site(client, app, server.stop)
        finally:
            server.stop()


def test_a_row_appears_and_changes_and_goes(office: Office) -> None:
    with opened(office.service) as site:
        page = site.page()
        row = make_row(queued_at=NOW_MS - 3 * 24 * 60 * MINUTE_MS, response="250 <b>hello</b>")  # its events are old
        office.insert([row, make_row(account="eva@example.com")])
        [(key, html)] = page.rows(1).items()
        assert "alice@example.net" in html
        assert "&lt;b&gt;hello" in html
        assert f'id="row-{key}"' in html
        assert f'id="row-{key}"' in site.client.get("/?account=bob@example.org").text
        office.insert([row._replace(version=2, status="bounced", result="failed")])
        [(changed, html)] = page.rows(1).items()
        assert changed == key
        assert "Failed" in html
        office.insert([row._replace(version=1)])  # an old version that comes late
        office.insert([row._replace(version=3, is_deleted=1)])
        told = page.next()
        assert (told.body["rows"], told.body["gone"]) == ([], [key])


def test_a_viewer_gets_his_rows_as_he_may_see_them(office: Office) -> None:
    with opened(office.service, lambda _scope: BOB) as site:
        page = site.page()
        office.insert(
            [
                make_row(account="eva@example.org", sender="eva@example.org"),
                make_row(log_lines=("secret@example.com",), response="550 for carl@example.com"),
            ]
        )
        [html] = page.rows(1).values()
        assert "550 for (address hidden)" in html
        assert not {"secret", "carl", "eva", "web1"} & set(html.replace("@", " ").split())
        other = site.page("account=eva@example.org")
        office.insert([make_row(account="eva@example.org", queue_id="2"), make_row(queue_id="3")])
        page.rows(1)
        assert other.events.empty()


def test_a_page_goes_on_where_it_was(office: Office) -> None:
    with opened(office.service) as site:
        page = site.page()
        office.insert([make_row()])
        page.rows(1)
        office.insert([make_row(queue_id="2")])
        page.rows(1)
        again = site.page(last_id=page.last_id)
        again.rows(2)  # what it may have missed comes again, and replaces what is there
        office.insert([make_row(queue_id="3")])
        assert len(again.rows(1)) == 1
        old = site.page(last_id=f"{NOW_MS - 3_600_000:x}")
        assert old.next().kind == "reload"
        odd = site.page(last_id="nonsense!")
        assert odd.next().kind == "reload"


def test_what_comes_between_the_page_and_its_stream_is_not_lost(office: Office) -> None:
    """Also where another page's poll has found it already."""
    with opened(office.service) as site:
        first = site.page("account=@example.org")
        position = f"{site.app.hub.position():x}"
        office.insert([make_row()])
        first.rows(1)
        late = Page(site.client, f"/live?account=bob@example.org&from={position}")
        assert len(late.rows(1)) == 1
        position = f"{site.app.hub.position():x}"
        office.insert([make_row(account="eva@example.com")])
        time.sleep(1.5)
        unwatched = Page(site.client, f"/live?account=eva@example.com&from={position}")
        assert len(unwatched.rows(1)) == 1


def test_too_many_pages_are_refused(office: Office) -> None:
    office.query_settings = QuerySettings(live_pages=1)
    with opened(office.service) as site:
        site.page()
        answer = site.client.get("/live?account=bob@example.org")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


def test_nobody_takes_everybody_s_places(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MOST_OF_OWNER", 2)
    viewers = {"bob": BOB, "eve": Viewer("eve", mailboxes=frozenset({"eve@example.org"})), "engineer": ENGINEER}
    with opened(
        office.service, lambda scope: viewers[scope["query_string"].decode().partition("who=")[2].partition("&")[0]]
    ) as site:
        for _ in range(2):
            site.page("account=bob@example.org&who=bob")
        assert site.client.get("/live?account=bob@example.org&who=bob").status_code == 503
        assert site.page("account=eve@example.org&who=eve").status == 200
        for _ in range(3):
            assert site.page("account=bob@example.org&who=engineer").status == 200


def test_a_wrong_question_is_refused(office: Office) -> None:
    with opened(office.service) as site:
        assert site.client.get("/live?account=x y").status_code == 422
        assert site.client.get("/live").status_code == 422


def test_log_out_ends_the_stream(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "VALIDITY_SECONDS", 0.2)
    known: list[Viewer | None] = [BOB]
    with opened(office.service, lambda _scope: known[0]) as site:
        page = site.page()
        known[0] = None
        assert page.next().kind == "end"
        assert page.has_ended.wait(PATIENCE)
        wait_until(lambda: site.app.hub.pages == 0, "the page is forgotten")


def test_a_check_that_fails_ends_its_page_and_no_other_one_is_missed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "VALIDITY_SECONDS", 0.2)
    words = {"broken": "", "revoked": "", "good": ""}

    def identify(scope: dict[str, Any]) -> Viewer | None:
        who = scope["query_string"].decode().partition("who=")[2].partition("&")[0]
        if words[who] == "broken":
            raise RuntimeError("a bug")
        return None if words[who] else BOB

    with opened(office.service, identify) as site:
        pages = {who: site.page(f"account=bob@example.org&who={who}") for who in words}
        words |= {"broken": "broken", "revoked": "revoked"}
        assert pages["broken"].next().kind == "end"
        assert pages["revoked"].next().kind == "end"
        wait_until(lambda: site.app.hub.pages == 1, "the good page is left")


def test_a_closed_page_is_forgotten(office: Office) -> None:
    with opened(office.service) as site:
        with site.client.stream("GET", "/live?account=bob@example.org") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert site.app.hub.pages == 1
        wait_until(lambda: site.app.hub.pages == 0, "the page is forgotten")


@pytest.mark.timeout(300)  # TCP may ask a full receiver again only after two minutes
def test_a_slow_reader_is_dropped_and_the_others_go_on(office: Office) -> None:
    with opened(office.service) as site, contextlib.ExitStack() as pages:
        page = site.page()
        host = site.client.base_url
        slow = pages.enter_context(socket.socket())
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # with larger ones TCP trickles on for two minutes
        slow.connect((host.host, host.port or 80))
        address = f"/live?account=bob@example.org&from={site.app.hub.position():x}"
        slow.sendall(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        wait_until(lambda: site.app.hub.pages == 2, "both are open")
        number = 0
        deadline = time.monotonic() + 90
        while site.app.hub.pages == 2 and time.monotonic() < deadline:
            office.insert([make_row(queue_id=f"{number}-{one}", response="x" * 20_000) for one in range(40)])
            number += 1
            page.rows(40)
        assert site.app.hub.pages == 1
        slow.settimeout(150)  # TCP asks a full receiver again after two minutes at most
        while slow.recv(1 << 20):  # until the end: it was closed
            pass
        office.insert([make_row(queue_id="last")])
        page.rows(1)


def test_sigterm_ends_the_streams_at_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_GRACE_SECONDS", 50)
    with opened(office.service) as site:
        pages = [site.page() for _ in range(5)]
        assert site.stop() < 40
        for page in pages:
            assert page.next().kind == "end"
            assert page.has_ended.wait(PATIENCE)


def _statements() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "postwatch_query_statements_total"
    )


def test_five_hundred_pages_share_one_poll(office: Office) -> None:
    """The statements a second are those of one page, and all of them get their row."""
    office.query_settings = QuerySettings(live_seconds=0.5)
    with opened(office.service) as site, contextlib.ExitStack() as pages:
        address = (site.client.base_url.host, site.client.base_url.port or 80)
        query = f"/live?account=@example.org&from={site.app.hub.position():x}"
        sockets = [pages.enter_context(socket.create_connection(address)) for _ in range(500)]
        for one in sockets:
            one.settimeout(30)
            one.sendall(f"GET {query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        wait_until(lambda: site.app.hub.pages == 500, "all are open", seconds=60)
        time.sleep(2)
        before, began = _statements(), time.monotonic()
        time.sleep(4)
        took = time.monotonic() - began
        assert (_statements() - before) / took <= 2.5
        office.insert([make_row(queue_id="everybody's")])
        for one in sockets:
            heard = b""
            while b"event: rows" not in heard:
                heard += one.recv(65536)
        assert site.app.hub.pages == 500


def test_clickhouse_away_is_said_and_clears_by_itself(office: Office) -> None:
    proxy = Proxy(httpx.URL(office.settings.url).port or 8123)
    settings = dataclasses.replace(office.settings, url=f"http://127.0.0.1:{proxy.port}")
    try:
        with opened(dataclasses.replace(office, settings=settings).service) as site:
            page = site.page()
            office.insert([make_row()])
            page.rows(1)
            proxy.behaviour = Behaviour.REFUSE
            assert page.next(60).kind == "away"
            assert site.page("account=eva@example.org").next().kind == "away"
            office.insert([make_row(queue_id="meanwhile")])
            proxy.behaviour = Behaviour.PASS
            assert page.next(60).kind == "back"
            assert len(page.rows(1)) == 1
    finally:
        proxy.close()


def test_a_page_that_is_opened_after_a_quiet_time_gets_its_rows(office: Office) -> None:
    """Nobody looked for longer than what is kept for pages that come back."""
    with opened(office.service) as site:
        hub = site.app.hub
        address = (site.client.base_url.host, site.client.base_url.port or 80)
        with socket.create_connection(address, timeout=30) as first:
            query = f"/live?account=bob@example.org&from={hub.position():x}"
            first.sendall(f"GET {query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            wait_until(lambda: hub._position_ms, "the tables were read")
        wait_until(lambda: hub.pages == 0, "nobody looks")
        time.sleep(4 * QuerySettings().live_seconds)
        hub._position_ms -= 2 * hub_module.RESUME_MS
        page = site.page()
        office.insert([make_row()])
        page.rows(1)
