"""Sessions by OpenID that the certified provider is asked about again. The other provider knows no `prompt=none`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser
from postwatch.deploy.embedded.ports import choose_port
from postwatch.query.access.openid_again import AGAIN_PATH
from postwatch.query.access.openid_routes import BACK_PATH, DEPART_PATH
from postwatch.query.access.sessions import sessions
from postwatch.query.access.settings import AccessSettings

from tests.browser.conftest import browser as chromium
from tests.query.access.openid_providers import Provider, Users, certified_provider, log_in, node_folder
from tests.query.access.test_log_in import LIVE, MINUTE_MS, Worker, token_of, working
from tests.query.access.test_openid import settings_for
from tests.waiting import PATIENCE

__all__ = ["chromium", "node_folder"]

ANNA = "anna@a.example"
PAGE = "/?account=anna%40a.example&show=report"
DUE, LATEST = 10 * MINUTE_MS + 1000, 15 * MINUTE_MS + 1000
USERS: Users = {
    "anna": {"preferred_username": "anna", "groups": [], "email": ANNA, "email_verified": True},
    "erik": {"preferred_username": "erik", "groups": ["mail-engineers"]},
}
ENDED = "did not confirm that you are still logged in"


@pytest.fixture(scope="module")
def running(node_folder: Path) -> Iterator[tuple[Provider, int]]:
    port = choose_port()
    with certified_provider(USERS, f"http://127.0.0.1:{port}{BACK_PATH}") as provider:
        yield provider, port


@pytest.fixture
def provider(running: tuple[Provider, int]) -> Provider:
    running[0].set_users(USERS)
    return running[0]


@pytest.fixture
def worker(provider: Provider, running: tuple[Provider, int], tmp_path: Path) -> Iterator[Worker]:
    address = f"127.0.0.1:{running[1]}"
    settings = AccessSettings(state=str(tmp_path / "access.sqlite"), public_url=f"http://{address}")
    with working(settings, settings_for(provider.issuer, tmp_path / "secret"), address) as one:
        yield one


def come_in(worker: Worker, browser: httpx.Client, name: str = "anna") -> None:
    back = log_in(browser, urljoin(worker.address, DEPART_PATH), name).headers["location"]
    assert browser.get(back).headers["location"] == "/"


@pytest.fixture
def browser(worker: Worker) -> Iterator[httpx.Client]:
    """In which anna has logged in."""
    with worker.browser() as one:
        come_in(worker, one)
        yield one


def where_to(answer: httpx.Response) -> str:
    """Where a browser goes on by itself, without scripts; empty: nowhere."""
    if answer.is_redirect:
        return urljoin(str(answer.url), answer.headers["location"])
    onward = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]*)"', answer.text)
    return urljoin(str(answer.url), unescape(onward[1])) if onward else ""


def visit(browser: httpx.Client, path: str = PAGE) -> tuple[httpx.Response, list[str]]:
    """What a user sees in the end, and the addresses on the way. He clicks nothing and fills in nothing."""
    answer, way = browser.get(path), []
    while target := where_to(answer):
        way.append(target)
        assert len(way) < 10, way
        answer = browser.get(target)
    return answer, way


def asked_again(way: list[str], provider: Provider) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(address).query) for address in way if address.startswith(f"{provider.issuer}/auth")]


def is_in(worker: Worker, cookie: str) -> bool:
    with worker.browser(Cookie=f"postwatch_session={cookie}") as other:
        answer = other.get("/")
        return answer.status_code == 200 or answer.headers["location"].startswith(AGAIN_PATH)


def forget_provider(browser: httpx.Client) -> None:
    """As if he had logged out at the provider."""
    for cookie in list(browser.cookies.jar):
        if not cookie.name.startswith("postwatch"):
            browser.cookies.delete(cookie.name, cookie.domain, cookie.path)


def test_a_session_is_proved_again_and_its_user_comes_back_to_his_page(
    worker: Worker, browser: httpx.Client, provider: Provider
) -> None:
    cookie, before = browser.cookies["postwatch_session"], worker.entrance.store.read(sessions.select())
    for minutes in (1, 9):
        worker.ahead_ms = minutes * MINUTE_MS
        assert visit(browser)[1] == []
    for number in range(1, 4):
        worker.ahead_ms = number * DUE
        answer, way = visit(browser)
        assert answer.status_code == 200
        assert str(answer.url) == urljoin(worker.address, PAGE)
        assert ANNA in answer.text
        (words,) = asked_again(way, provider)
        assert (words["prompt"], words["login_hint"]) == (["none"], [ANNA])
        assert visit(browser)[1] == []
    assert browser.cookies["postwatch_session"] == cookie
    after = worker.entrance.store.read(sessions.select())
    assert [row.ends_ms for row in after] == [row.ends_ms for row in before]  # it ends as it would have


def test_groups_of_now_count(worker: Worker, browser: httpx.Client, provider: Provider) -> None:
    assert browser.get("/servers").status_code == 403
    provider.set_users({"anna": {**USERS["anna"], "groups": ["mail-engineers"]}})
    worker.ahead_ms = DUE
    assert visit(browser, "/servers")[0].status_code == 200
    provider.set_users(USERS)
    worker.ahead_ms = 2 * DUE
    assert visit(browser, "/servers")[0].status_code == 403
    provider.set_users({"anna": {"preferred_username": "anna"}})
    worker.ahead_ms = 3 * DUE
    answer, _ = visit(browser)
    assert ENDED in answer.text
    assert not is_in(worker, browser.cookies["postwatch_session"])


def test_whoever_is_removed_at_the_provider_is_out(worker: Worker, browser: httpx.Client, provider: Provider) -> None:
    worker.ahead_ms = LATEST
    answer = browser.get(where_to(browser.get(where_to(browser.get(PAGE)))))
    provider.set_users({"erik": USERS["erik"]})
    answer, way = visit(browser, where_to(answer))  # with a code that the provider has just given
    assert answer.url.path == "/log-in"
    assert ENDED in answer.text
    assert not is_in(worker, browser.cookies["postwatch_session"])
    assert asked_again(way + visit(browser)[1], provider) == []


def test_a_provider_that_leads_nobody_back_shows_nothing(
    worker: Worker, browser: httpx.Client, provider: Provider
) -> None:
    provider.set_users({"erik": USERS["erik"]})
    worker.ahead_ms = LATEST
    answer, _ = visit(browser)
    assert str(answer.url).startswith(provider.issuer)  # an error of its own, on a page of its own
    assert browser.get("/api/v1/reasons").status_code == 401
    assert where_to(browser.get("/")).startswith(urljoin(worker.address, AGAIN_PATH))


def test_who_has_logged_out_at_the_provider_logs_in_again(
    worker: Worker, browser: httpx.Client, provider: Provider
) -> None:
    forget_provider(browser)
    worker.ahead_ms = DUE
    answer, way = visit(browser)
    assert answer.url.path == "/log-in"
    assert answer.url.params["next"] == PAGE
    assert ENDED in answer.text
    assert f'href="{DEPART_PATH}?next=' in answer.text
    assert len(asked_again(way, provider)) == 1
    come_in(worker, browser)
    assert visit(browser)[1] == []


def test_a_session_never_becomes_another_users(worker: Worker, browser: httpx.Client, provider: Provider) -> None:
    forget_provider(browser)
    with worker.browser() as other:
        come_in(worker, other, "erik")
        for cookie in other.cookies.jar:
            if not cookie.name.startswith("postwatch"):
                browser.cookies.jar.set_cookie(cookie)
    worker.ahead_ms = DUE
    answer, way = visit(browser)
    assert len(asked_again(way, provider)) == 1
    assert ENDED in answer.text
    assert not is_in(worker, browser.cookies["postwatch_session"])


def test_what_is_no_page_is_never_led_away_and_shows_nothing_after_15_minutes(
    worker: Worker, browser: httpx.Client
) -> None:
    asks: list[Callable[[], httpx.Response]] = [
        lambda: browser.get("/api/v1/reasons"),
        lambda: browser.get(PAGE, headers={"X-Unattended": "1"}),
        lambda: browser.get(PAGE, headers={"Sec-Fetch-Mode": "cors"}),
        lambda: browser.post(PAGE),
    ]
    worker.ahead_ms = DUE
    assert [ask().status_code for ask in asks] == [200, 200, 200, 405]
    worker.ahead_ms = LATEST
    assert asks[0]().status_code == 401
    assert asks[3]().headers["location"] == f"{AGAIN_PATH}?next=%2F"
    for ask in asks[1:3]:
        assert ask().headers["location"].startswith("/log-in?")
    assert browser.get(LIVE, params={"account": ANNA}).headers["location"].startswith("/log-in?")
    assert visit(browser)[0].status_code == 200
    assert [ask().status_code for ask in asks] == [200, 200, 200, 405]


def test_the_stream_of_an_open_page_ends(worker: Worker, browser: httpx.Client) -> None:
    worker.ahead_ms = DUE
    with browser.stream("GET", LIVE, params={"account": ANNA}, timeout=PATIENCE) as stream:
        assert stream.status_code == 200
        worker.ahead_ms = LATEST
        assert "event: end" in stream.iter_lines()


def test_a_file_is_led_to_by_redirects_alone(worker: Worker, browser: httpx.Client, provider: Provider) -> None:
    worker.ahead_ms = DUE
    answer = browser.get("/delivery/x/proof.json", follow_redirects=True)
    assert answer.status_code == 404
    assert answer.url.path == "/delivery/x/proof.json"
    assert len(asked_again([str(one.url) for one in answer.history], provider)) == 1


def departed(browser: httpx.Client) -> str:
    """Goes as far as the provider's address → the state that it is asked with."""
    return parse_qs(urlsplit(where_to(browser.get(where_to(browser.get(PAGE))))).query)["state"][0]


def test_a_strangers_answer_ends_no_session_and_renews_none(worker: Worker, browser: httpx.Client) -> None:
    worker.ahead_ms = LATEST
    for words in (
        {"error": "login_required", "state": "x" * 30},
        {"code": "x", "state": "x"},
        {"error": "access_denied"},
    ):
        state = departed(browser)
        assert browser.get(f"{BACK_PATH}?{urlencode(words)}").status_code == 403
        assert browser.get("/api/v1/reasons").status_code == 401
        assert is_in(worker, browser.cookies["postwatch_session"]), (words, state)
        worker.ahead_ms += MINUTE_MS
    assert visit(browser)[0].status_code == 200


@pytest.mark.parametrize(
    "error",
    ["login_required", "interaction_required", "consent_required", "account_selection_required", "access_denied"],
)
def test_a_refusal_ends_the_session(worker: Worker, browser: httpx.Client, error: str) -> None:
    worker.ahead_ms = DUE
    words = urlencode({"error": error, "state": departed(browser)})
    answer, _ = visit(browser, f"{BACK_PATH}?{words}")
    assert answer.url.path == "/log-in"
    assert ENDED in answer.text
    assert not is_in(worker, browser.cookies["postwatch_session"])


def test_a_provider_that_can_not_say_now_ends_nothing_and_nothing_is_shown(
    worker: Worker, browser: httpx.Client
) -> None:
    worker.ahead_ms = LATEST
    words = urlencode({"error": "temporarily_unavailable", "state": departed(browser)})
    assert browser.get(f"{BACK_PATH}?{words}").status_code == 503
    assert browser.get("/api/v1/reasons").status_code == 401
    worker.ahead_ms += MINUTE_MS
    assert visit(browser)[0].status_code == 200


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "/a\r\nb"])
def test_the_way_leads_to_no_other_site(worker: Worker, browser: httpx.Client, elsewhere: str) -> None:
    for ahead_ms in (0, DUE):
        worker.ahead_ms = ahead_ms
        answer, way = visit(browser, f"{AGAIN_PATH}?{urlencode({'next': elsewhere})}")
        assert str(answer.url) == worker.address
        assert all("evil" not in address for address in way)


def test_pages_that_are_opened_at_a_time_are_led_away_once(
    worker: Worker, browser: httpx.Client, provider: Provider
) -> None:
    worker.ahead_ms = DUE
    cookie = browser.cookies["postwatch_session"]
    onward = where_to(browser.get(where_to(browser.get(PAGE))))
    assert onward.startswith(provider.issuer)
    with ThreadPoolExecutor(1) as threads, worker.browser(Cookie=f"postwatch_session={cookie}") as tab:
        waiting = threads.submit(visit, tab, "/trace?id=x")
        time.sleep(0.5)
        assert visit(browser, onward)[0].status_code == 200
        answer, way = waiting.result()
    assert answer.url.path == "/trace"
    assert asked_again(way, provider) == []


def test_who_logs_out_after_15_minutes_is_logged_out_everywhere(worker: Worker, browser: httpx.Client) -> None:
    token, cookie = token_of(browser.get("/")), browser.cookies["postwatch_session"]
    worker.ahead_ms = LATEST
    assert browser.post("/log-out", data={"token": token}).status_code == 303
    assert not is_in(worker, cookie)


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_form_leads_to_the_provider_and_back_in_a_real_browser(
    worker: Worker, provider: Provider, chromium: Browser, has_scripts: bool
) -> None:
    """The policy of a page lets its forms lead to this site alone, also by redirects."""
    with chromium.new_context(java_script_enabled=has_scripts) as context:
        page = context.new_page()
        page.goto(urljoin(worker.address, DEPART_PATH))
        page.fill("[name=login]", "anna")
        page.fill("[name=password]", "x")
        page.click("[type=submit]")
        page.click("[type=submit]")  # consent
        page.wait_for_url(worker.address)
        page.goto(urljoin(worker.address, PAGE))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        worker.ahead_ms = DUE
        page.click("form.track button.primary")
        page.wait_for_url(lambda url: url.startswith(worker.address + "?"))
        assert page.locator("form.track").count() == 1
        assert len(asked_again(asked, provider)) == 1
