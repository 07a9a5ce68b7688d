"""Names and addresses of our servers are for engineers: whichever server of ours handed a message in, or took it."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.query.hops.own_servers import HIDDEN_SERVER, NO_NAMES, OwnNames, OwnServers
from postwatch.query.privacy import visible_row
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.reports.queue import REPORT as QUEUE
from postwatch.query.reports.queue import QueueQuestion
from postwatch.query.reports.search import REPORT as SEARCH
from postwatch.query.reports.search_question import SearchQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Delivery
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import Attempt

from tests.query.conftest import NOW_MS, Office, Open, make_row

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
OWNER = Viewer("owner", domains=frozenset({"example.org"}))
SECRET = ("gateway2", "mx3", "10.1.0.2", "10.1.0.3", "relay.host.test")
REFUSED = "connect to relay.host.test:25: Connection refused"
ROWS = [
    make_row(
        queue_id="1",
        server="web1",
        recipient="dora@far.example",
        status="deferred",
        result="pending",
        smtp_code=0,
        response=REFUSED,
        remote_host="relay.host.test",
        remote_ip="10.1.0.2",
        attempts=(Attempt(NOW_MS - 5000, "deferred", 0, REFUSED, "gateway2", "10.1.0.2"),),
    ),
    make_row(
        queue_id="2",
        server="web1",
        direction="received",
        sender="carl@far.example",
        recipient="bob@example.org",
        client_host="mx3",
        client_ip="10.1.0.3",
        authenticated_as="",
        auth_method="",
        remote_host="",
        remote_ip="",
    ),
    make_row(
        queue_id="3",
        server="web1",
        recipient="eve@far.example",
        remote_host="mx.far.example",
        remote_ip="192.0.2.7",
        response="550 Mail of gateway2 is blocked, ask the owner of it",
    ),
]


@pytest.fixture
def fleet(office: Office) -> Office:
    office.query_settings = QuerySettings(own_servers=("relay.host.test", "10.1.0.0/16"))
    office.insert(ROWS)
    for server in ("web1", "gateway2", "mx3"):
        office.beat(server, age_ms=1000)
    return office


PATHS = [
    "/?account=bob@example.org&show=all",
    "/?account=@example.org&show=all&by=host",
    "/api/v1/accounts/bob@example.org/deliveries",
    "/api/v1/accounts/bob@example.org/deliveries.csv",
    "/api/v1/accounts/bob@example.org/deliveries.ndjson",
    "/api/v1/search?q=bob@example.org",
    "/api/v1/trace?id=1",
    "/api/v1/trace?id=3",
    "/queue",
    "/queue?by=host",
    "/api/v1/queue?by=host",
    "/api/v1/bounces?status=deferred&since=1h",
    "/json-api/emailtrack_search?api.version=1&success=1&defer=1&failure=1&inprogress=1",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_names_a_server_of_ours_to_owners(path: str, fleet: Office, open_site: Open) -> None:
    for viewer in (BOB, OWNER):
        answer = open_site(fleet.service, viewer).get(path)
        assert answer.status_code == 200
        assert "far.example" in answer.text or "queue" in path or "bounces" in path
        assert [word for word in SECRET if word in answer.text.lower()] == [], viewer.name
    if path.startswith("/api/v1/accounts"):
        told = open_site(fleet.service).get(path).text
        assert [word for word in SECRET if word in told] == list(SECRET)


def test_each_delivery_and_its_story(fleet: Office, open_site: Open) -> None:
    site = open_site(fleet.service, BOB)
    for row in fleet.service.answer(BOB, ACCOUNT, AccountQuestion("bob@example.org")).rows:
        for path in (f"/delivery/{row.id}", f"/api/v1/deliveries/{row.id}"):
            text = site.get(path).text.lower()
            assert [word for word in SECRET if word in text] == []


@pytest.mark.parametrize("by", ["event", "host"])
@pytest.mark.parametrize(
    "text", [*SECRET, "gatew", "teway2 is", "relay.host", "10.1.0.", "of gateway2", "RELAY.HOST.TEST", "mx3"]
)
def test_a_search_for_a_name_finds_nothing(text: str, by: str, fleet: Office) -> None:
    asked = AccountQuestion("bob@example.org", text=text, by=by)
    assert fleet.service.answer(ENGINEER, ACCOUNT, asked).rows
    for viewer in (BOB, OWNER):
        mail = fleet.service.answer(viewer, ACCOUNT, asked)
        assert not mail.rows
        assert not sum(mail.counts.values())
    found = fleet.service.answer(OWNER, SEARCH, SearchQuestion(text))
    assert not found.rows


@pytest.mark.parametrize("text", ["is blocked", "mx.far.example", "192.0.2.7", "Connection refused", "eve@far"])
def test_what_an_owner_sees_he_finds(text: str, fleet: Office) -> None:
    for viewer in (ENGINEER, BOB):
        assert fleet.service.answer(viewer, ACCOUNT, AccountQuestion("bob@example.org", text=text)).rows


def test_an_order_by_host_has_what_is_hidden_where_nothing_is_known(fleet: Office) -> None:
    asked = AccountQuestion("bob@example.org", by="host", ascending=True)
    hosts = [row.remote_host for row in fleet.service.answer(BOB, ACCOUNT, asked).rows]
    assert hosts == ["", "", "mx.far.example"]
    known = [row.remote_host for row in fleet.service.answer(ENGINEER, ACCOUNT, asked).rows]
    assert known == ["", "mx.far.example", "relay.host.test"]


def test_the_queue_by_host_puts_our_servers_together(fleet: Office) -> None:
    question = QueueQuestion(by="host")
    assert [one.name for one in fleet.answer(QUEUE, question, OWNER).groups] != ["relay.host.test"]
    assert [one.name for one in fleet.answer(QUEUE, question).groups] == ["relay.host.test"]


def test_a_live_row_is_shown_and_sought_as_a_read_one(fleet: Office) -> None:
    from postwatch.query.live.changes import changes_of

    found = fleet.service.arrivals().poll({("account", "bob@example.org")}, 60_000)
    for text, number in (("", 3), ("gateway2", 0), ("10.1.0.3", 0), ("is blocked", 1)):
        question = AccountQuestion("bob@example.org", text=text)
        changes = changes_of(fleet.service.window(BOB, question), found.groups, NOW_MS)
        live = [one.row for one in reversed(changes.shown)]
        assert len(live) == number
        assert live == list(fleet.service.answer(BOB, ACCOUNT, question).rows)


def test_of_a_row_only_what_names_us_is_cut_out() -> None:
    names = OwnNames(("gateway2", "mail", "mx3"), OwnServers(("relay.host.test",), ("10.1.0.0/16",)))
    first, second, third = (visible_row(BOB, Delivery(*row), names) for row in ROWS)
    assert first.response == f"connect to {HIDDEN_SERVER}:25: Connection refused"
    assert (first.remote_host, first.remote_ip, first.attempts[0].remote_host) == ("", "", "")
    assert (second.client_host, second.client_ip) == ("", "")
    assert third.response == f"550 Mail of {HIDDEN_SERVER} is blocked, ask the owner of it"
    assert (third.remote_host, third.remote_ip) == ("mx.far.example", "192.0.2.7")
    assert visible_row(ENGINEER, Delivery(*ROWS[0]), names) == Delivery(*ROWS[0])


_ADDRESSES = st.ip_addresses().map(str)


@given(_ADDRESSES)
def test_an_address_is_ours_where_its_network_is(address: str) -> None:
    networks = ("10.0.0.0/8", "2001:db8::/32", "127.0.0.0/8")
    names = OwnNames((), OwnServers((), networks))
    one: Any = ipaddress.ip_address(address)
    assert names.is_ours("", address) is (
        not one.is_loopback and any(one in ipaddress.ip_network(network) for network in networks)
    )
    assert not NO_NAMES.is_ours("", address)
    assert not names.is_ours("", "no address")


@given(st.text(max_size=80))
def test_a_text_without_names_stays(text: str) -> None:
    names = OwnNames(("gateway2.example.org",))
    assert names.without_names(text) == text
    assert names.without_names(f"{text} gateway2.example.org") == f"{text} {HIDDEN_SERVER}"
    assert names.without_names(f"<GATEWAY2.example.org>{text}").startswith(f"<{HIDDEN_SERVER}>")
