"""Another tenant's data, asked for by every report, identity and parameter, on the real engine."""

from __future__ import annotations

import itertools

import pytest
from postwatch.query.errors import ForbiddenError
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account import AccountQuestion
from postwatch.query.reports.servers import REPORT as SERVERS
from postwatch.query.reports.servers import ServersQuestion
from postwatch.query.reports.trace import REPORT as TRACE
from postwatch.query.reports.trace import TraceQuestion
from postwatch.query.viewer import ENGINEER, Viewer

from tests.query.conftest import Office, Open, make_row

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
