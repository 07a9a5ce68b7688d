"""API tokens at the whole application, over real rows: what each of them may ask for, and what it gets."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from postwatch.query.access.entrance import Entrance, open_entrance
from postwatch.query.access.openid_settings import OpenIdSettings
from postwatch.query.access.passwords import password_line
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.tokens import TokenScope
from postwatch.query.server import create_app

from tests.query.conftest import Office, make_row
from tests.query.serving import serving
from tests.waiting import PATIENCE, wait_until

ROWS = [
    make_row(account=account, queue_id=f"1tABC{number}-00000000001-ABCD", recipient=f"reader{number}@far.example")
    for number, account in enumerate(
        ["anna@bakery.example", "boss@bakery.example", "eva@shop.example", "bakery@web1", "finn@farm.example"]
    )
]
SCOPES = {
    "anna": (TokenScope(accounts=frozenset({"anna@bakery.example"})), {0}),
    "bakery": (TokenScope(domains=frozenset({"bakery.example"})), {0, 1}),
    "two": (TokenScope(frozenset({"eva@shop.example"}), frozenset({"bakery.example"})), {0, 1, 2}),
    "all": (TokenScope(sees_all=True), {0, 1, 2, 3, 4}),
    "engineer": (TokenScope(sees_all=True, is_engineer=True), {0, 1, 2, 3, 4}),
    "panel": (TokenScope(sees_all=True, hands_over=True), set()),
}
REQUESTS = 30
"""For each token."""


class Served:
    """The application with log-in on, and a token of each scope."""

    def __init__(self, address: str, entrance: Entrance) -> None:
        self.client = httpx.Client(base_url=address, timeout=PATIENCE)
        self.entrance = entrance
        self.tokens = {name: entrance.tokens.create(name, scope, 1, "root")[0] for name, (scope, _) in SCOPES.items()}

    def get(self, path: str, token: str, **params: str) -> httpx.Response:
        return self.client.get(path, params=params, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def served(office: Office, tmp_path: Path) -> Iterator[Served]:
    office.insert(ROWS)
    office.beat("web1", age_ms=1000)
    (tmp_path / "passwords").write_text(password_line("erik", "correct horse battery", "engineer") + "\n")
    settings = AccessSettings(state=str(tmp_path / "access.sqlite"), passwords=str(tmp_path / "passwords"))
    entrance = open_entrance(settings, OpenIdSettings())
    assert entrance is not None
    with contextlib.closing(entrance), serving(create_app(office.service, entrance=entrance)) as server:
        site = Served(server.address, entrance)
        with site.client:
            yield site


def paths() -> list[str]:
    accounts = [row.account for row in ROWS] + ["@bakery.example", "@shop.example", "@farm.example", "bakery", "@web1"]
    of_accounts = [f"/api/v1/accounts/{account}/deliveries" for account in accounts]
    of_messages = [f"/api/v1/trace?id={word}" for row in ROWS for word in (row.queue_id, row.recipient, row.account)]
    return of_accounts + of_messages


def test_no_request_shows_a_token_another_tenant_s_row(served: Served) -> None:
    choose = random.Random(18)
    filters = [
        {},
        {"recipient": "@far.example"},
        {"text": "reader"},
        {"status": "delivered"},
        {"direction": "sent"},
        {"days": "30"},
    ]
    asked = shown = 0
    for name, (_, rows) in SCOPES.items():
        seen: set[int] = set()
        wanted = paths()
        for _ in range(REQUESTS):
            path = wanted.pop() if wanted else choose.choice(paths())
            more = choose.choice(filters) if "?" not in path else {}
            url = httpx.URL(path).copy_merge_params(more)
            answer = served.client.get(url, headers={"Authorization": f"Bearer {served.tokens[name]}"})
            assert answer.status_code in (200, 403, 422), answer.text
            asked += 1
            if answer.status_code == 200:
                found = {number for number, row in enumerate(ROWS) if f'"{row.queue_id}"' in answer.text}
                # What was asked for may stand in the answer; rows hold the account too.
                found &= {number for number, row in enumerate(ROWS) if f'"account":"{row.account}"' in answer.text}
                assert found <= rows, f"{name} sees {found - rows} at {url}"
                seen |= found
                shown += len(found)
        assert seen == rows
    assert asked == REQUESTS * len(SCOPES)
    assert shown > 50


def test_a_token_that_is_none_sees_nothing(served: Served) -> None:
    good = served.tokens["all"]
    for path, token in itertools.product(paths()[:3], ("x", "pw_", good[:-2] + "xx", good.upper(), f"{good} {good}")):
        answer = served.get(path, token)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"]
    for params in ({"token": good}, {"access_token": good}, {"authorization": f"Bearer {good}"}):
        assert served.client.get(paths()[0], params=params).status_code == 401
    with httpx.Client(base_url=served.client.base_url, cookies={"token": good}, timeout=PATIENCE) as browser:
        assert browser.get(paths()[0]).status_code == 401


def test_a_revoked_token_sees_nothing_five_seconds_later(served: Served) -> None:
    token = served.tokens["all"]
    assert served.get(paths()[0], token).status_code == 200
    other = open_entrance(
        AccessSettings(state=str(served.entrance.store).removeprefix("the state "), imap="imap+plain://127.0.0.1:1"),
        OpenIdSettings(),
    )
    assert other is not None
    with contextlib.closing(other):
        other.tokens.revoke("all", "root")
    wait_until(lambda: served.get(paths()[0], token).status_code == 401, "the token is refused", seconds=5)


def test_only_engineers_tokens_see_servers_and_log_lines(served: Served) -> None:
    for name, token in served.tokens.items():
        status = served.get("/api/v1/servers", token).status_code
        assert status == (200 if name == "engineer" else 403), name


def test_a_panel_s_link_opens_one_mailbox(served: Served) -> None:
    asked = served.client.post(
        "/api/v1/hand-over",
        json={"mailbox": "anna@bakery.example"},
        headers={"Authorization": f"Bearer {served.tokens['panel']}"},
    )
    assert asked.status_code == 201, asked.text
    link = httpx.URL(asked.json()["url"])
    assert link.host == "127.0.0.1"
    with httpx.Client(base_url=served.client.base_url, timeout=PATIENCE) as browser:
        assert "Show my mail" in browser.get(link).text
        entered = browser.post("/hand-over", data={"code": link.params["code"]})
        assert entered.status_code == 303
        own = browser.get("/api/v1/accounts/anna@bakery.example/deliveries")
        assert ROWS[0].queue_id in own.text or "reader0@far.example" in own.text
        assert browser.get("/api/v1/accounts/boss@bakery.example/deliveries").status_code in (200, 403)
        assert "reader1@far.example" not in browser.get("/api/v1/accounts/boss@bakery.example/deliveries").text
    with httpx.Client(base_url=served.client.base_url, timeout=PATIENCE) as thief:
        assert thief.post("/hand-over", data={"code": link.params["code"]}).status_code == 410
        assert thief.get("/api/v1/accounts/anna@bakery.example/deliveries").status_code == 401


def test_another_site_can_not_press_the_button(served: Served) -> None:
    asked = served.client.post(
        "/api/v1/hand-over",
        json={"mailbox": "anna@bakery.example"},
        headers={"Authorization": f"Bearer {served.tokens['panel']}"},
    )
    code = httpx.URL(asked.json()["url"]).params["code"]
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = served.client.post("/hand-over", data={"code": code}, headers=headers)
        assert answer.status_code == 403
    assert served.client.post("/hand-over", data={"code": code}).status_code == 303


def test_no_token_is_logged(
    served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    token = served.tokens["all"]
    for path in paths()[:4]:
        served.get(path, token)
        served.client.get(path, params={"token": token})
        served.get(path, token + "x")
    out, err = capfd.readouterr()
    others = ("httpx", "httpcore", "uvicorn.access")  # the test's own client; what pytest switches on again
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith(others)]
    assert token[3:] not in out + err + "".join(lines)
