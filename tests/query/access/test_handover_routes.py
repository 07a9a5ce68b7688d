from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from postwatch.query.access.handover import HandOverDesk
from postwatch.query.access.handover_routes import handover_api_router, handover_page_router
from postwatch.query.access.keys import shared_key
from postwatch.query.access.roles import Identity
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import TokenBook, TokenScope
from postwatch.query.answers import install_error_answers
from postwatch.query.guards import MOST_BODY_BYTES, Guard
from postwatch.query.viewer import Viewer

from tests.query.serving import serving
from tests.waiting import PATIENCE, wait_until

ANNA = "anna@a.example"
PANEL = TokenScope(domains=frozenset({"a.example"}), hands_over=True)
BERT = Viewer("bert@b.example", frozenset({"bert@b.example"}))


@contextlib.contextmanager
def server_of(state: str, viewer: Viewer | None = None) -> Iterator[httpx.Client]:
    """One server with the routes of hand-over links; whoever comes in is answered with his mailbox."""
    store = StateStore(state)
    desk = HandOverDesk(store, shared_key(store, "hand-over"))

    async def admit(request: Request, identity: Identity, next_path: str, fingerprint: str) -> Response:
        return PlainTextResponse(identity.mailbox)

    app = FastAPI()
    app.include_router(handover_api_router(desk, TokenBook(store), store, ""))
    app.include_router(handover_page_router(desk, store, admit))
    install_error_answers(app)
    with (
        contextlib.closing(store),
        serving(Guard(app, lambda _scope: viewer)) as server,
        httpx.Client(base_url=server.address, timeout=PATIENCE) as client,
    ):
        yield client


@pytest.fixture
def servers(state_address: str) -> Iterator[list[httpx.Client]]:
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(server_of(state_address)) for _ in range(2)]


@pytest.fixture
def panel(store: StateStore) -> str:
    return TokenBook(store).create("panel", PANEL, 1, "root")[0]


def ask(server: httpx.Client, token: str, mailbox: str = ANNA) -> httpx.Response:
    return server.post("/api/v1/hand-over", json={"mailbox": mailbox}, headers={"Authorization": f"Bearer {token}"})


def code_of(answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    return str(httpx.URL(answer.json()["url"]).params["code"])


def test_a_panel_gets_a_link_that_opens_one_mailbox_once_on_all_servers(
    servers: list[httpx.Client], panel: str
) -> None:
    one, other = servers
    answer = ask(one, panel)
    assert answer.json()["url"].startswith(f"{one.base_url}hand-over?code=")
    assert answer.json()["expires_at"].endswith("Z")
    code = code_of(answer)
    for _ in range(3):  # scanners
        assert one.get("/hand-over", params={"code": code}).status_code == 200
    used = other.post("/hand-over", data={"code": code})
    assert (used.status_code, used.text) == (200, ANNA)
    for server in servers:
        again = server.post("/hand-over", data={"code": code})
        assert again.status_code == 410
        assert "from your control panel again" in again.text


def test_of_many_presses_of_the_button_one_opens_the_page(servers: list[httpx.Client], panel: str) -> None:
    code = code_of(ask(servers[0], panel))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: servers[n % 2].post("/hand-over", data={"code": code}), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 15


@pytest.mark.parametrize("mailbox", ["bert@b.example", "a.example@b.example", "anna@sub.a.example"])
def test_a_panel_opens_no_mailbox_outside_its_scope(servers: list[httpx.Client], panel: str, mailbox: str) -> None:
    assert ask(servers[0], panel, mailbox).status_code == 403


@pytest.mark.parametrize("mailbox", ["", "anna", "@a.example", "an na@a.example"])
def test_a_panel_must_name_a_mailbox(servers: list[httpx.Client], panel: str, mailbox: str) -> None:
    assert ask(servers[0], panel, mailbox).status_code in (403, 422)


def test_only_a_token_for_hand_over_links_makes_them(
    servers: list[httpx.Client], store: StateStore, panel: str
) -> None:
    book = TokenBook(store)
    reader = book.create("reader", TokenScope(sees_all=True), 1, "root")[0]
    engineer = book.create("noc", TokenScope(sees_all=True, is_engineer=True), 1, "root")[0]
    for token in (reader, engineer):
        assert ask(servers[0], token).status_code == 403
    for token in ("x", "pw_x", panel[:-1] + ("a" if panel[-1] != "a" else "b")):
        answer = ask(servers[0], token)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    # A token in an address would be logged: it is not looked for there.
    assert servers[0].post(f"/api/v1/hand-over?token={panel}", json={"mailbox": ANNA}).status_code == 401
    book.revoke("panel", "root")
    wait_until(lambda: ask(servers[1], panel).status_code == 401, "the other server knows", seconds=5)


def test_the_page_shows_a_button_and_no_address(servers: list[httpx.Client], panel: str) -> None:
    page = servers[0].get("/hand-over", params={"code": code_of(ask(servers[0], panel))})
    assert re.search(r'<form method="post" action="/hand-over" data-submit-at-once>', page.text)
    assert "anna" not in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"


def test_who_is_logged_in_as_somebody_else_is_asked_first(state_address: str, store: StateStore, panel: str) -> None:
    with server_of(state_address, BERT) as server:
        page = server.get("/hand-over", params={"code": code_of(ask(server, panel))}).text
    assert "You are logged in as bert@b.example" in page
    assert "data-submit-at-once" not in page
    assert "Log in as that mailbox" in page
    assert '<a href="/">Stay logged in as bert@b.example</a>' in page


def test_nobody_sends_more_than_a_form_holds(servers: list[httpx.Client], panel: str) -> None:
    """Neither announced nor in chunks: what nobody has asked for takes no memory and no room on the disk."""
    much = b"x" * (MOST_BODY_BYTES + 1)
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    as_file = b'--b\r\nContent-Disposition: form-data; name="code"; filename="f"\r\n\r\n' + much
    token = {"Authorization": f"Bearer {panel}", "Content-Type": "application/json"}
    for path, headers, body in (
        ("/hand-over", urlencoded, b"code=" + much),
        ("/hand-over", multipart, as_file),
        ("/api/v1/hand-over", token, b'{"mailbox": "' + much),
    ):
        assert servers[0].post(path, headers=headers, content=body).status_code == 413
        answer = servers[0].post(path, headers=headers, content=iter([body[:1000], body[1000:]]))
        assert answer.status_code == 400, answer.text
    assert servers[0].post("/hand-over", data={"code": "x" * (MOST_BODY_BYTES - 100)}).status_code == 410


@pytest.mark.parametrize("code", ["", "x", "<script>", "a.1.b"])
def test_what_is_no_link_is_told_so(servers: list[httpx.Client], code: str) -> None:
    for answer in (
        servers[0].get("/hand-over", params={"code": code}),
        servers[0].post("/hand-over", data={"code": code}),
    ):
        assert answer.status_code == 410
        assert "<script>" not in answer.text


def test_no_log_line_holds_a_token_or_a_code(
    servers: list[httpx.Client],
    panel: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    code = code_of(ask(servers[0], panel))
    servers[0].get("/hand-over", params={"code": code})
    servers[0].post("/hand-over", data={"code": code})
    servers[0].post("/hand-over", data={"code": code})
    out, err = capfd.readouterr()
    # Those of the test's own client are not ours; those of requests are off, and pytest switches them on again.
    others = ("httpx", "httpcore", "uvicorn.access")
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith(others)]
    assert "hand_over_made" in out + err + "".join(lines)
    for secret in (panel[3:], *code.split(".")[::2]):
        assert secret not in out + err + "".join(lines)


def test_a_state_that_cant_be_used_lets_nobody_in_and_makes_no_link(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    store = StateStore(str(path))
    panel = TokenBook(store).create("panel", PANEL, 1, "root")[0]
    with server_of(str(path)) as server:
        code = code_of(ask(server, panel))
        with store.transaction():  # another writer, which does not end
            answer = server.post("/hand-over", data={"code": code})
            assert answer.status_code == 503
            assert "Log-in is not available at the moment" in answer.text
            assert ask(server, panel).status_code == 503
        assert server.post("/hand-over", data={"code": code}).text == ANNA
    store.close()
