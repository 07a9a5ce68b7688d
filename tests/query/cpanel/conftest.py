"""Rows of three tenants, and a server with log-in over them, as a provider runs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import migrate
from postwatch.query.access.entrance import Entrance, open_entrance
from postwatch.query.access.openid_settings import OpenIdSettings
from postwatch.query.access.passwords import password_line
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.tokens import TokenScope
from postwatch.query.server import address_of, create_app, make_server, open_listener
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import Attempt

from tests.query.conftest import MINUTE_MS, NOW_MS, Office, make_row
from tests.waiting import PATIENCE, wait_until

SENT_AT = (NOW_MS - 60 * MINUTE_MS) // 1000 * 1000
SECRET = "m1@secret.example"
ALL = {"success": "1", "defer": "1", "failure": "1", "inprogress": "1"}
ROWS = [
    make_row(account="anna@bakery.example", queue_id="1tA-1", recipient="bob@far.example", queued_at=SENT_AT),
    make_row(
        account="anna@bakery.example",
        queue_id="1tA-2",
        recipient="carl@far.example",
        queued_at=SENT_AT + MINUTE_MS,
        updated_at=SENT_AT + 9 * MINUTE_MS,
        remote_host="mx2.far.example",
        remote_ip="192.0.2.2",
        transport="remote_smtp",
        attempts=(
            Attempt(SENT_AT + 2 * MINUTE_MS, "deferred", 451, "451 try later", "mx1.far.example", "192.0.2.1"),
            Attempt(SENT_AT + 9 * MINUTE_MS, "delivered", 250, "250 OK", "mx2.far.example", "192.0.2.2"),
        ),
    ),
    make_row(
        account="boss@bakery.example",
        queue_id="1tA-3",
        recipient="dora@far.example",
        queued_at=SENT_AT + 2 * MINUTE_MS,
        status="bounced",
        response="550 no such user",
    ),
    make_row(
        account="eva@shop.example", queue_id="1tA-4", recipient="finn@far.example", queued_at=SENT_AT, status="pending"
    ),
    make_row(
        account="bakery@web1",
        queue_id="1tA-5",
        recipient="gil@far.example",
        queued_at=SENT_AT + 3 * MINUTE_MS,
        status="expired",
        response="",
        attempts=(Attempt(SENT_AT + 4 * MINUTE_MS, "deferred", 421, "421 later", "mx1.far.example", "192.0.2.1"),),
    ),
    # anna writes to eva, whose mailbox is here too: a row for each
    *(
        make_row(
            account=account,
            direction=direction,
            sender="anna@bakery.example",
            authenticated_as="anna@bakery.example",
            client_ip="198.51.100.7",
            queue_id="1tA-6",
            recipient="eva@shop.example",
            queued_at=SENT_AT + 5 * MINUTE_MS,
            transport="dovecot_delivery",
        )
        for account, direction in (("anna@bakery.example", "sent"), ("eva@shop.example", "received"))
    ),
    # from outside
    make_row(
        account="eva@shop.example",
        direction="received",
        sender="news@far.example",
        queue_id="1tA-7",
        recipient="eva@shop.example",
        queued_at=SENT_AT + 6 * MINUTE_MS,
    ),
    # eva writes to a list of the bakery that has two members elsewhere
    *(
        make_row(
            account="eva@shop.example",
            queue_id="1tA-8",
            original_recipient="list@bakery.example",
            recipient=member,
            queued_at=SENT_AT + 7 * MINUTE_MS,
            updated_at=SENT_AT + updated * MINUTE_MS,
            remote_host="mx.secret.example",
            remote_ip="192.0.2.99",
            transport="remote_smtp",
            response="250 for m1@secret.example",
        )
        for member, updated in ((SECRET, 8), ("m2@secret.example", 9))
    ),
]
OWNERS = "bakery.example: bakery\nshop.example: shop\nfarm.example: farm\n"
RESELLERS = "bakery: reseller\nshop: reseller\nfarm: other\n"
SCOPES = {
    "anna": TokenScope(accounts=frozenset({"anna@bakery.example"})),
    "bakery": TokenScope(domains=frozenset({"bakery.example"})),
    "shop": TokenScope(domains=frozenset({"shop.example"})),
    "both": TokenScope(domains=frozenset({"bakery.example", "shop.example"})),
    "all": TokenScope(sees_all=True),
    "engineer": TokenScope(sees_all=True, is_engineer=True),
    "panel": TokenScope(sees_all=True, hands_over=True),
}


class Panel:
    """A server with log-in on, a token of each scope, and requests as scripts for cPanel make them."""

    def __init__(self, address: str, entrance: Entrance, base_path: str = "") -> None:
        self.client = httpx.Client(base_url=address)
        self.entrance = entrance
        self.base_path = base_path
        self.tokens = {name: entrance.tokens.create(name, scope, 1, "root")[0] for name, scope in SCOPES.items()}

    def whm(self, function: str, who: str = "engineer", **parameters: str) -> httpx.Response:
        """WHM API 1, as its clients call it: `whm root:TOKEN`."""
        headers = {"Authorization": f"whm root:{self.tokens[who]}"}
        asked = {"api.version": "1", **parameters}
        return self.client.get(f"{self.base_path}/json-api/{function}", params=asked, headers=headers)

    def api2(self, function: str, who: str, user: str, **parameters: str) -> Mapping[str, Any]:
        """cPanel API 2, as its clients call it: `cpanel USER:TOKEN`."""
        headers = {"Authorization": f"cpanel {user}:{self.tokens[who]}"}
        named = {"cpanel_jsonapi_apiversion": "2", "cpanel_jsonapi_module": "EmailTrack"}
        asked = {"cpanel_jsonapi_user": user, **named, "cpanel_jsonapi_func": function, **parameters}
        answer = self.client.get("/json-api/cpanel", params=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["cpanelresult"]
        return found

    def records(self, who: str = "engineer", **parameters: str) -> list[dict[str, Any]]:
        """Of `emailtrack_search`."""
        answer = self.whm("emailtrack_search", who, **parameters)
        assert answer.status_code == 200
        assert answer.json()["metadata"]["result"] == 1, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["records"]
        return found

    def ids(self, who: str = "engineer", **parameters: str) -> list[str]:
        return [one["msgid"] for one in self.records(who, **parameters)]

    def reason(self, function: str, **parameters: str) -> str:
        """Of a call that fails, and is answered with 200 all the same."""
        answer = self.whm(function, **parameters)
        assert answer.status_code == 200
        assert answer.json()["metadata"]["result"] == 0, answer.text
        reason: str = answer.json()["metadata"]["reason"]
        return reason


@pytest.fixture(scope="module")
def panel(clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    database = replace(clickhouse.settings, database="cpanel")
    migrate(connect(database, database=""), database)
    office = Office(database, connect(database))
    tmp_path = tmp_path_factory.mktemp("panel")
    office.insert(ROWS)
    office.beat("web1", age_ms=1000)
    (tmp_path / "passwords").write_text(password_line("erik", "correct horse battery", "engineer") + "\n")
    (tmp_path / "owners").write_text(OWNERS)
    (tmp_path / "resellers").write_text(RESELLERS)
    settings = AccessSettings(
        state=str(tmp_path / "access.sqlite"),
        passwords=str(tmp_path / "passwords"),
        owners=str(tmp_path / "owners"),
        resellers=str(tmp_path / "resellers"),
        public_url="http://127.0.0.1/postwatch",
    )
    entrance = open_entrance(settings, OpenIdSettings())
    assert entrance is not None
    listener = open_listener("127.0.0.1:0")
    server = make_server(create_app(office.service, entrance=entrance))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started, "the pages are served")
        opened = Panel(address_of(listener), entrance)
        with opened.client:
            yield opened
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
        entrance.close()
