"""Another tenant's data, asked for by every report, identity and parameter, on the real engine."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest
from postwatch.query.errors import FilterError, ForbiddenError
from postwatch.query.orders import ORDERS, Position, encode_cursor
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.reports.servers import REPORT as SERVERS
from postwatch.query.reports.servers import ServersQuestion
from postwatch.query.reports.trace import REPORT as TRACE
from postwatch.query.reports.trace import TraceQuestion
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import Outcome

from tests.query.conftest import NOW_MS, Office, Open, make_row

VIEWERS = {
    "anna": Viewer("anna", mailboxes=frozenset({"anna@bakery.example"})),
    "baker": Viewer("baker", domains=frozenset({"bakery.example"})),
    "owner": Viewer("owner", domains=frozenset({"bakery.example"}), system_users=frozenset({"bakery"})),
    "reseller": Viewer("reseller", domains=frozenset({"bakery.example", "shop.example"})),
    "dashboard": Viewer("dashboard", sees_all=True),
    "engineer": ENGINEER,
}
ROWS = [
    make_row(account="anna@bakery.example", queue_id="1", message_id="m1@x", recipient="bob@far.example"),
    make_row(account="boss@bakery.example", queue_id="2", message_id="m2@x", recipient="carl@far.example"),
    make_row(account="eva@shop.example", queue_id="3", message_id="m3@x", recipient="dora@far.example"),
    make_row(account="bakery@web1", queue_id="4", message_id="m4@x", recipient="form@far.example"),
    make_row(account="bakery@web2", queue_id="5", message_id="m5@x", server="web1", recipient="gil@far.example"),
    make_row(account="", account_domain="", queue_id="6", message_id="m6@x", recipient="hugo@far.example"),
]
SEEN = {"anna": "1", "baker": "12", "owner": "124", "reseller": "123", "dashboard": "123456", "engineer": "123456"}
"""The queue ids of the rows that each viewer may see."""


@pytest.fixture
def filled(office: Office) -> Office:
    office.insert(ROWS)
    office.beat("web1", age_ms=1000)
    return office


@pytest.mark.parametrize("name", VIEWERS)
def test_every_report_shows_the_viewer_s_own_rows_and_no_other(name: str, filled: Office) -> None:
    asked = 0
    accounts = [row.account for row in ROWS if row.account] + ["@bakery.example", "@shop.example", "bakery", "@web1"]
    for account, recipient in itertools.product(accounts, ["", "@far.example"]):
        question = AccountQuestion(account, recipient=recipient)
        found = filled.service.answer(VIEWERS[name], ACCOUNT, question).rows
        assert {row.queue_id for row in found} <= set(SEEN[name])
        asked += 1
    for row in ROWS:
        for words in (row.queue_id, row.recipient):
            found = filled.service.answer(VIEWERS[name], TRACE, TraceQuestion(words)).rows
            assert {one.queue_id for one in found} == {row.queue_id} & set(SEEN[name])
            asked += 1
    assert asked >= 30


def _members(office: Office) -> None:
    """bob writes to a list of the bakery that has two members elsewhere, and to carl."""
    to_list = make_row(
        account="bob@shop.example",
        queue_id="7",
        original_recipient="list@bakery.example",
        remote_host="mx.secret.example",
        remote_ip="192.0.2.99",
        response="552 mailbox full",
    )
    office.insert(
        [
            to_list._replace(recipient="m1@secret.example", updated_at=NOW_MS - 5000),
            to_list._replace(
                recipient="m2@secret.example", updated_at=NOW_MS - 3000, status="bounced", result="failed"
            ),
            make_row(
                account="bob@shop.example",
                queue_id="7",
                recipient="carl@far.example",
                response="250 for carl, <dora@far.example> unknown",
            ),
        ]
    )


BOB = Viewer("bob", mailboxes=frozenset({"bob@shop.example"}))


def test_a_list_of_another_account_is_one_line_with_its_last_status(office: Office) -> None:
    _members(office)
    for limit in (1, 2, 50):
        seen: list[Outcome] = []
        cursor = ""
        while True:
            question = AccountQuestion("bob@shop.example", limit=limit, cursor=cursor)
            mail = office.service.answer(BOB, ACCOUNT, question)
            seen += mail.rows
            if not (cursor := mail.next_cursor):
                break
        assert [(row.recipient, row.status) for row in seen] == [
            ("list@bakery.example", "bounced"),
            ("carl@far.example", "delivered"),
        ]
    assert len(office.service.answer(ENGINEER, ACCOUNT, AccountQuestion("bob@shop.example")).rows) == 3


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({"recipient": "m1@secret.example"}, []),
        ({"recipient": "@secret.example"}, []),
        ({"recipient": "secret"}, []),
        ({"recipient": "list@bakery.example"}, ["list@bakery.example"]),
        ({"text": "secret"}, []),
        ({"text": "m2@"}, []),
        ({"text": "mx.secret"}, []),
        ({"text": "192.0.2.99"}, []),
        ({"text": "mailbox full"}, []),
        ({"text": "list@"}, ["list@bakery.example"]),
        ({"text": "dora"}, []),
        ({"text": "unknown"}, ["carl@far.example"]),
        ({"status": "failed"}, ["list@bakery.example"]),
        ({"status": "accepted"}, ["carl@far.example"]),
    ],
)
def test_a_search_for_what_is_hidden_finds_nothing(question: dict[str, Any], found: list[str], office: Office) -> None:
    _members(office)
    rows = office.service.answer(BOB, ACCOUNT, AccountQuestion("bob@shop.example", **question)).rows
    assert [row.recipient for row in rows] == found


@pytest.mark.parametrize(
    "question",
    [
        {"recipient": "m1@secret.example"},
        {"recipient": "@secret.example"},
        {"text": "m2@secret.example"},
        {"text": "SECRET"},
        {"text": "mx.secret.example"},
        {"text": "192.0.2.99"},
        {"text": "mailbox full"},
        {"text": "dora@far.example"},
    ],
)
def test_what_is_hidden_is_found_by_the_engineer_alone_in_every_order(question: dict[str, Any], office: Office) -> None:
    _members(office)
    for by in ORDERS:
        asked = AccountQuestion("bob@shop.example", by=by, **question)
        mail = office.service.answer(ENGINEER, ACCOUNT, asked)
        assert mail.rows
        assert sum(mail.counts.values()) == len(mail.rows)
        mail = office.service.answer(BOB, ACCOUNT, asked)
        assert not mail.rows
        assert not sum(mail.counts.values())


def test_no_cursor_tells_what_is_hidden(office: Office) -> None:
    """Neither the place of a hidden row, nor whether what is hidden lies before or behind a place."""
    _members(office)
    hidden = [
        row
        for row in office.service.answer(ENGINEER, ACCOUNT, AccountQuestion("bob@shop.example")).rows
        if "secret" in row.recipient
    ]
    assert len(hidden) == 2
    ids = office.service.tables(ENGINEER, "test", None).ids
    for row, by in itertools.product(hidden, ("recipient", "sender")):
        place = ids.decode(row.id)
        question = AccountQuestion("bob@shop.example", by=by, cursor=encode_cursor(Position(by, *place), ids))
        assert office.service.answer(ENGINEER, ACCOUNT, question) is not None
        with pytest.raises(FilterError, match="gone"):
            office.service.answer(BOB, ACCOUNT, question)
    for key in ("mx.secret.exampld", "mx.secret.examplf"):
        cursor = encode_cursor(Position("host", NOW_MS, 0, False, key, NOW_MS), ids)
        question = AccountQuestion("bob@shop.example", by="host", cursor=cursor)
        behind = {row.recipient for row in office.service.answer(BOB, ACCOUNT, question).rows}
        assert behind == {"list@bakery.example", "carl@far.example"}
        found = office.service.answer(ENGINEER, ACCOUNT, question).rows
        assert any("secret" in row.recipient for row in found) is (key > "mx.secret.example")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("m2@secret.example", []),
        ("list@bakery.example", ["list@bakery.example"]),
        ("7", ["list@bakery.example", "carl@far.example"]),
    ],
)
def test_a_trace_finds_what_is_shown(words: str, found: list[str], office: Office) -> None:
    _members(office)
    rows = office.service.answer(BOB, TRACE, TraceQuestion(words)).rows
    assert [row.recipient for row in rows] == found


def test_a_cursor_holds_no_address(office: Office) -> None:
    _members(office)
    cursor = office.service.answer(BOB, ACCOUNT, AccountQuestion("bob@shop.example", limit=1)).next_cursor
    text = base64.urlsafe_b64decode(cursor + "==").decode()
    assert "@" not in text
    assert "secret" not in text


@pytest.mark.parametrize("name", [name for name in VIEWERS if name != "engineer"])
def test_servers_are_the_engineer_s_affair(name: str, filled: Office, open_site: Open) -> None:
    with pytest.raises(ForbiddenError, match="Servers is for engineers only"):
        filled.service.answer(VIEWERS[name], SERVERS, ServersQuestion())
    site = open_site(filled.service, VIEWERS[name])
    assert site.get("/servers").status_code == 403
    assert site.get("/api/v1/servers").json()["error"]["code"] == "forbidden"
    filled.beat("web9", age_ms=3_600_000)
    for path in ("/?account=anna@bakery.example", "/api/v1/accounts/anna@bakery.example/deliveries", "/trace?id=1"):
        answer = site.get(path)
        assert answer.status_code == 200
        assert "web9" not in answer.text
        assert "/servers" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?account=anna@bakery.example",
        "/trace?id=1",
        "/servers",
        "/api/v1/servers",
        "/api/v1/trace?id=1",
        "/api/v1/accounts/anna@bakery.example/deliveries",
    ],
)
def test_nobody_sees_nothing(path: str, filled: Office, open_site: Open) -> None:
    answer = open_site(filled.service, None).get(path)
    assert answer.status_code == 403
    assert "bob@far.example" not in answer.text
