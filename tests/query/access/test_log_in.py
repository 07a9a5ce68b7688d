"""The log-in as a browser and as strangers meet it, against a real IMAP server."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from postwatch.query.access.entrance import Entrance, open_entrance
from postwatch.query.access.openid_settings import OpenIdSettings
from postwatch.query.access.passwords import password_line
from postwatch.query.access.sessions import sessions
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.tries import MOST_OF_CLIENT, MOST_OF_NAME, WINDOW_MS
from postwatch.query.report_service import ReportService
from postwatch.query.server import create_app
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Statement
from postwatch.streams.settings import ClickHouseSettings, JoinSettings
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.query.access.imap_server import ImapServer
from tests.query.access.imap_servers import make_imap_server
from tests.query.serving import serving
from tests.waiting import PATIENCE

PASSWORD = "sécret words"
NAME = "anna@a.example"
LIVE = "/live"
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def running_imap() -> Iterator[ImapServer]:
    made = make_imap_server()
    made.set_users(anna=PASSWORD, bert="b")
    made.start()
    yield made
    made.remove()


@pytest.fixture
def imap(running_imap: ImapServer) -> ImapServer:
    running_imap.set_users(anna=PASSWORD, bert="b")
    if running_imap.process is None:
        running_imap.start()
    return running_imap


@dataclass
class Worker:
    """One `serve`, its clock, and what its reports were asked."""

    entrance: Entrance
    address: str
    asked: list[Statement] = field(default_factory=list)
    ahead_ms: int = 0

    def browser(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=headers, timeout=PATIENCE)


@contextlib.contextmanager
def working(
    settings: AccessSettings, openid: OpenIdSettings | None = None, listen: str = "127.0.0.1:0"
) -> Iterator[Worker]:
    entrance = open_entrance(settings, openid or OpenIdSettings())
    assert entrance is not None
    asked: list[Statement] = []

    def read(statement: Statement) -> list[tuple[Any, ...]]:
        asked.append(statement)
        if "row_id_keys" in statement.sql:
            return [("00" * 32,)]
        if "arrivals" in statement.sql:
            return [(0, [])]
        return [(0, 0)] if "count()" in statement.sql and "GROUP BY" not in statement.sql else []

    service = ReportService(read, QuerySettings(), ClickHouseSettings(), JoinSettings())
    app = create_app(service, entrance=entrance)
    with contextlib.closing(entrance), serving(app, listen, entrance.door.site) as server:
        worker = Worker(entrance, server.address, asked)
        for book in (entrance.door.sessions, entrance.door._tries):
            clock = book.now_ms if hasattr(book, "now_ms") else book._now_ms
            moved = _moved(clock, worker)
            setattr(book, "now_ms" if hasattr(book, "now_ms") else "_now_ms", moved)
        yield worker


def _moved(clock: Callable[[], int], worker: Worker) -> Callable[[], int]:
    return lambda: clock() + worker.ahead_ms


@pytest.fixture
def settings(imap: ImapServer, tmp_path: Path) -> AccessSettings:
    return AccessSettings(
        state=str(tmp_path / "access.sqlite"),
        imap=imap.address,
        imap_ca_file=imap.ca_file,
        imap_timeout_seconds=5,
    )


@pytest.fixture
def worker(settings: AccessSettings) -> Iterator[Worker]:
    with working(settings) as one:
        yield one


def token_of(page: httpx.Response) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def log_in(browser: httpx.Client, name: str = NAME, password: str = PASSWORD, next: str = "/") -> httpx.Response:
    page = browser.get("/log-in", params={"next": next})
    fields = {"name": name, "password": password, "token": token_of(page), "next": next}
    return browser.post("/log-in", data=fields)


def is_in(browser: httpx.Client) -> bool:
    return browser.get("/").status_code == 200


def test_an_owner_logs_in_sees_his_mail_alone_and_logs_out(worker: Worker) -> None:
    with worker.browser() as browser:
        assert browser.get("/").headers["location"] == "/log-in"
        answer = log_in(browser)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        page = browser.get("/", params={"account": NAME, "show": "report"})
        assert page.status_code == 200
        assert NAME in page.text
        # What a proxy asks for in front of us, a browser sends with each request.
        assert browser.get("/", headers={"Authorization": "Basic YTpi"}).status_code == 200
        assert browser.get("/", headers={"Authorization": "Bearer pw_none"}).status_code == 303
        assert any(statement.parameters.get("viewer_mailboxes") == [NAME] for statement in worker.asked)
        assert browser.get("/servers").status_code == 403
        done = browser.post("/log-out", data={"token": token_of(page)})
        assert (done.status_code, done.headers["location"]) == (303, "/log-in")
        assert not is_in(browser)


def test_nothing_is_shown_to_nobody(worker: Worker) -> None:
    with worker.browser() as browser:
        for path in ("/", "/trace?id=x", "/servers", "/nothing", "/api"):
            answer = browser.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/log-in")
        for path in ("/api/v1/servers", "/api/v1/reasons", "/api/v1/openapi.json", "/api/v1/nothing"):
            answer = browser.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
            assert answer.json()["error"]["code"] == "log_in_first"
        assert browser.get("/static/postwatch.css").status_code == 200
        assert browser.get("/health").status_code == 200
        assert browser.get("/api/v1/servers", headers={"Authorization": "Bearer pw_none"}).status_code == 401
        assert browser.get("/api/v1/servers", headers={"Authorization": "Basic YTpi"}).status_code == 401
    assert all("deliveries" not in statement.sql for statement in worker.asked)


def test_only_the_places_of_the_log_in_are_open(worker: Worker) -> None:
    with worker.browser() as browser:
        for path in ("/log-ins", "/languages", "/hand-overs", "/healthy", "/statics", "/metrics2", "/.well-knowns"):
            assert browser.get(path).headers["location"].startswith("/log-in?"), path


def test_what_a_client_writes_about_itself_counts_for_nothing(settings: AccessSettings) -> None:
    """As long as no proxy is trusted: also from loopback."""
    told = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    for trusted, client in (((), "127.0.0.1"), (("127.0.0.1",), "203.0.113.9")):
        with working(replace(settings, trusted_proxies=trusted)) as worker, worker.browser(**told) as browser:
            with capture_logs() as lines:
                assert log_in(browser, NAME, "wrong").status_code == 401
            assert [line["client"] for line in lines if line["event"] == "log_in"] == [client]


def test_a_base_path_that_a_proxy_passes_on_changes_nothing(settings: AccessSettings) -> None:
    with working(replace(settings, public_url="http://127.0.0.1/postwatch")) as worker:
        for base in ("", "/postwatch"):
            with worker.browser(**{"Accept-Language": "de"}) as browser:
                page = browser.get(f"{base}/log-in")
                back = re.search(r'name="back" value="([^"]+)"', page.text)
                assert back
                chosen = browser.post(f"{base}/language", data={"language": "es", "back": back[1]})
                assert (chosen.status_code, chosen.headers["location"]) == (303, "/postwatch/log-in")
                answer = browser.get(f"{base}/api/v1/servers")
                assert "content-language" not in answer.headers
                assert answer.json()["error"]["message"] == "Log in, or send an API token."


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(worker: Worker) -> None:
    answers = []
    for name, password in ((NAME, "wrong"), ("nobody@a.example", "wrong"), (NAME, "x\0y"), ("a\r\nb", "x"), (NAME, "")):
        with worker.browser() as browser:
            answer = log_in(browser, name, password)
            answers.append((answer.status_code, re.sub(r'"token" value="[^"]+"', "", answer.text)))
            assert answer.elapsed.total_seconds() >= 1
            assert not is_in(browser)
    assert len(set(answers)) == 1
    assert answers[0][0] == 401


def test_no_answer_tells_who_is_in_the_password_file(
    settings: AccessSettings, imap: ImapServer, tmp_path: Path, hashes_tried: list[str]
) -> None:
    """Whoever is not let in had both asked, the file and the IMAP server, whatever his name; and the IMAP server is not
    shown what was typed for a name of the file."""
    path = tmp_path / "passwords"
    path.write_text(password_line("nina", "a long enough password", "engineer") + "\n")

    def checks(verdict: str) -> float:
        return REGISTRY.get_sample_value("postwatch_imap_checks_total", {"verdict": verdict}) or 0.0

    with working(replace(settings, passwords=str(path))) as worker:
        for name in ("nina", "nobody@a.example", NAME):
            before = checks("wrong")
            hashes_tried.clear()
            with worker.browser() as browser:
                assert log_in(browser, name, "wrong").status_code == 401
            assert (checks("wrong") - before, len(hashes_tried)) == (1, 1), name
        for name, password in (("nina", "a long enough password"), (NAME, PASSWORD)):
            with worker.browser() as browser:
                assert log_in(browser, name, password).status_code == 303
        imap.stop()
        for name in ("nina", "nobody@a.example"):
            with worker.browser() as browser:
                assert log_in(browser, name, "wrong").status_code == 503


def test_each_log_in_has_a_session_of_its_own(worker: Worker) -> None:
    """An id that an attacker put into the browser is worth nothing after the log-in, nor before it."""
    with worker.browser() as attacker, worker.browser() as browser:
        log_in(attacker, "bert@a.example", "b")
        planted = attacker.cookies["postwatch_session"]
        browser.cookies.set("postwatch_session", planted, domain="127.0.0.1", path="/")
        page = browser.get("/log-in")  # logged in as bert by the planted cookie: led away
        assert page.status_code == 303
        browser.cookies.clear()
        page = browser.get("/log-in")
        browser.cookies.set("postwatch_session", planted, domain="127.0.0.1", path="/")
        browser.post("/log-in", data={"name": NAME, "password": PASSWORD, "token": token_of(page)})
        assert planted not in [cookie.value for cookie in browser.cookies.jar]
        assert is_in(browser)
        assert not is_in(attacker)


def test_cookies_are_hidden_from_scripts_and_other_sites(settings: AccessSettings) -> None:
    with working(replace(settings, public_url="https://track.example.net", trusted_proxies=("127.0.0.1",))) as worker:
        headers = {"Host": "track.example.net", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        with worker.browser(**headers) as browser:
            page = browser.get("/log-in")
            (visit,) = page.headers.get_list("set-cookie")
            cookie = visit.partition(";")[0]
            fields = {"name": NAME, "password": PASSWORD, "token": token_of(page)}
            answer = browser.post("/log-in", data=fields, headers={"Cookie": cookie})
            assert answer.status_code == 303
            for line in answer.headers.get_list("set-cookie"):
                assert line.startswith("__Host-postwatch_")
                words = line.lower().split("; ")
                assert {"httponly", "secure", "samesite=lax", "path=/"} <= set(words)
                assert not any(word.startswith("domain") for word in words)


def test_a_changed_cookie_is_worth_nothing(worker: Worker) -> None:
    with worker.browser() as browser:
        log_in(browser)
        good = browser.cookies["postwatch_session"]
        for bad in (
            good[:-1] + ("0" if good[-1] != "0" else "1"),
            ("x" if good[0] != "x" else "y") + good[1:],
            good.partition(".")[0],
            "",
            "." * 9,
        ):
            with worker.browser(Cookie=f"postwatch_session={bad}") as other:
                assert not is_in(other), bad
        assert is_in(browser)


def test_a_form_of_another_site_does_nothing(worker: Worker) -> None:
    with worker.browser() as browser:
        page = browser.get("/log-in")
        fields = {"name": NAME, "password": PASSWORD, "token": token_of(page)}
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": worker.address.rstrip("/")},
        ):
            assert browser.post("/log-in", data=fields, headers=headers).status_code == 403
        assert browser.post("/log-in", data={**fields, "token": "x"}).status_code == 403
        lost = browser.get("/log-in/nothing")
        assert lost.status_code == 404
        assert 'href="/log-in">Log in</a>' in lost.text
        assert not is_in(browser)
        log_in(browser)
        assert browser.post("/log-out", data={"token": "x"}).status_code == 403
        assert browser.post("/log-out", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert is_in(browser)


def test_a_form_that_no_page_has_is_refused(worker: Worker) -> None:
    with worker.browser() as browser:
        for path in ("/log-in", "/language"):
            for body in ("&".join(f"a{number}=1" for number in range(200)), "a=" + "1" * 20_000):
                answer = browser.post(path, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
                assert answer.status_code == 422
                assert "too long" in answer.text


def test_the_token_of_one_session_is_no_token_of_another(worker: Worker) -> None:
    with worker.browser() as anna, worker.browser() as bert:
        log_in(anna)
        log_in(bert, "bert@a.example", "b")
        assert anna.post("/log-out", data={"token": token_of(bert.get("/"))}).status_code == 403
        assert is_in(anna)


@pytest.mark.parametrize(
    "next",
    ["//evil.example/", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil.example", ""],
)
def test_the_log_in_leads_to_no_other_site(worker: Worker, next: str) -> None:
    with worker.browser() as browser:
        assert log_in(browser, next=next).headers["location"] == "/"
        assert browser.get("/log-in", params={"next": next}).headers["location"] == "/"


def test_the_log_in_leads_to_the_page_that_was_asked_for(worker: Worker) -> None:
    with worker.browser() as browser:
        to_log_in = browser.get("/trace?id=a%20b").headers["location"]
        next = httpx.URL(to_log_in).params["next"]
        assert next == "/trace?id=a%20b"
        assert log_in(browser, next=next).headers["location"] == next


def test_a_flood_is_stopped_and_no_one_else_is(settings: AccessSettings, imap: ImapServer) -> None:
    """By all workers together, and after a restart; another client logs in with the same name meanwhile."""
    behind = replace(settings, trusted_proxies=("127.0.0.1",))
    flood = {"X-Forwarded-For": "2001:db8::1"}
    with working(behind) as first, working(behind) as second, first.browser(**flood) as one:
        with second.browser(**{"X-Forwarded-For": "2001:db8::ffff"}) as other:
            for number in range(MOST_OF_NAME):
                assert log_in(one if number % 2 else other, NAME, f"no{number}").status_code == 401
            for browser in (one, other):
                stopped = log_in(browser)
                assert stopped.status_code == 429
                assert 0 < int(stopped.headers["retry-after"]) <= WINDOW_MS / 1000
        with second.browser(**{"X-Forwarded-For": "2001:db8:1::1"}) as owner:
            assert log_in(owner).status_code == 303
    with working(behind) as third, third.browser(**flood) as browser:
        assert log_in(browser).status_code == 429
        third.ahead_ms = WINDOW_MS + 1
        assert log_in(browser).status_code == 303


def test_a_client_that_tries_many_names_is_stopped(settings: AccessSettings) -> None:
    with working(settings) as worker:
        for number in range(MOST_OF_CLIENT):
            worker.entrance.door._tries.begin("127.0.0.1", f"{number}@a.example")
        with worker.browser() as browser:
            assert log_in(browser).status_code == 429


def test_a_success_is_no_failed_try(worker: Worker) -> None:
    with worker.browser() as browser:
        for _ in range(MOST_OF_NAME + 2):
            assert log_in(browser).status_code == 303
            browser.cookies.clear()


def test_while_the_imap_server_is_away_nobody_comes_in_and_no_try_is_counted(worker: Worker, imap: ImapServer) -> None:
    imap.stop()
    with worker.browser() as browser:
        for _ in range(MOST_OF_NAME + 2):
            answer = log_in(browser)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "be checked at the moment" in answer.text
        imap.start()
        assert log_in(browser).status_code == 303


def test_a_changed_password_and_a_removed_mailbox_end_the_session(worker: Worker, imap: ImapServer) -> None:
    with worker.browser() as anna, worker.browser() as bert:
        log_in(anna)
        log_in(bert, "bert@a.example", "b")
        imap.set_users(anna="another")
        assert is_in(anna)
        worker.ahead_ms = 10 * MINUTE_MS + 1000
        assert not is_in(anna)
        assert not is_in(bert)
        imap.set_users(anna=PASSWORD, bert="b")
        assert not is_in(anna)


def test_where_nobody_can_check_nothing_is_shown_after_15_minutes_and_the_session_is_kept(
    worker: Worker, imap: ImapServer
) -> None:
    with worker.browser() as browser:
        log_in(browser)
        imap.stop()
        worker.ahead_ms = 11 * MINUTE_MS
        assert is_in(browser)
        worker.ahead_ms = 15 * MINUTE_MS + 1000
        answer = browser.get("/")
        assert answer.status_code == 503
        assert "be checked at the moment" in answer.text
        assert browser.get("/api/v1/reasons").status_code == 503
        imap.start()
        worker.ahead_ms = 16 * MINUTE_MS
        assert is_in(browser)


def test_a_log_out_ends_a_session_that_can_not_be_checked_at_the_moment(worker: Worker, imap: ImapServer) -> None:
    with worker.browser() as browser:
        log_in(browser)
        token = token_of(browser.get("/"))
        kept = dict(browser.cookies)
        imap.stop()
        worker.ahead_ms = 15 * MINUTE_MS + 1000
        with worker.browser(Cookie="; ".join(f"{name}={value}" for name, value in kept.items())) as copy:
            assert browser.post("/log-out", data={"token": "x"}).status_code == 303
            imap.start()
            worker.ahead_ms = 16 * MINUTE_MS
            assert is_in(copy)
            imap.stop()
            worker.ahead_ms = 32 * MINUTE_MS
            assert copy.post("/log-out", data={"token": token}).status_code == 303
            imap.start()
            worker.ahead_ms = 33 * MINUTE_MS
            assert not is_in(copy)


def test_a_session_works_in_every_worker_and_ends_in_every_worker(settings: AccessSettings) -> None:
    with working(settings) as first, working(settings) as second, first.browser() as browser:
        log_in(browser)
        with second.browser(Cookie="; ".join(f"{name}={value}" for name, value in browser.cookies.items())) as other:
            page = other.get("/")
            assert page.status_code == 200
            other.post("/log-out", data={"token": token_of(page)})
            assert not is_in(other)
        assert not is_in(browser)


def test_a_session_has_an_end_and_an_idle_end(worker: Worker) -> None:
    with worker.browser() as idle, worker.browser() as busy:
        log_in(idle)
        log_in(busy)
        for minute in range(50, 12 * 60, 50):
            worker.ahead_ms = minute * MINUTE_MS
            assert is_in(busy)
        assert not is_in(idle)
        worker.ahead_ms = 12 * 60 * MINUTE_MS + 1000
        assert not is_in(busy)


def test_log_out_ends_the_stream_of_an_open_page(worker: Worker) -> None:
    with worker.browser() as browser, worker.browser() as nobody:
        assert nobody.get(LIVE, params={"account": NAME}).status_code == 303
        log_in(browser)
        page = browser.get("/", params={"account": NAME, "show": "report"})
        with (
            capture_logs() as told,
            browser.stream("GET", LIVE, params={"account": NAME}, timeout=PATIENCE) as stream,
        ):
            assert [(line["report"], line["asked"]) for line in told] == [("live", NAME)]
            assert stream.headers["content-type"].startswith("text/event-stream")
            browser.post("/log-out", data={"token": token_of(page)})
            lines = stream.iter_lines()
            assert "event: end" in lines
            assert len(list(lines)) <= 3


def test_what_a_page_asks_by_itself_keeps_nobody_logged_in(worker: Worker) -> None:
    with worker.browser() as browser:
        log_in(browser)
        for minute in (25, 50):
            worker.ahead_ms = minute * MINUTE_MS
            assert browser.get("/", headers={"x-unattended": "1"}).status_code == 200
            with browser.stream("GET", LIVE, params={"account": NAME}) as stream:
                assert stream.status_code == 200
        worker.ahead_ms = 61 * MINUTE_MS
        assert not is_in(browser)


def test_a_state_that_can_not_be_used_lets_nobody_in(worker: Worker, settings: AccessSettings) -> None:
    with worker.browser() as browser, worker.browser() as known:
        log_in(known)
        page = browser.get("/log-in")
        with worker.entrance.store.transaction():  # the lock of another writer
            answer = browser.post(
                "/log-in", data={"name": NAME, "password": PASSWORD, "token": token_of(page)}, timeout=20
            )
            assert answer.status_code == 503
            assert "not available at the moment" in answer.text
        worker.entrance.store.close()
        Path(settings.state).write_bytes(b"no database" * 1000)
        for suffix in ("-wal", "-shm"):
            Path(settings.state + suffix).unlink(missing_ok=True)
        answer = known.get("/", timeout=PATIENCE)
        assert answer.status_code == 503
        assert "not available at the moment" in answer.text


def test_no_password_and_no_cookie_is_in_a_log_line_or_in_the_state(worker: Worker, settings: AccessSettings) -> None:
    with capture_logs() as lines, worker.browser() as browser:
        log_in(browser, NAME, "wrong-" + PASSWORD)
        log_in(browser, PASSWORD, "typed into the wrong field")
        log_in(browser)
        cookie = browser.cookies["postwatch_session"]
        browser.get("/", params={"account": NAME, "show": "report"})
    told = repr(lines)
    assert "report_asked" in told
    assert {"viewer": NAME, "asked": NAME, "client": "127.0.0.1", "method": "imap"}.items() <= next(
        line for line in lines if line["event"] == "report_asked"
    ).items()
    kept = b"".join(path.read_bytes() for path in Path(settings.state).parent.glob("access.sqlite*"))
    for secret in (PASSWORD, "wrong field", cookie, cookie.partition(".")[0]):
        assert secret not in told
        assert secret.encode() not in kept


def test_the_password_is_sealed_for_its_session(worker: Worker) -> None:
    with worker.browser() as one, worker.browser() as other:
        log_in(one)
        log_in(other)
        assert PASSWORD not in one.cookies["postwatch_password"]
        stolen = other.cookies["postwatch_password"]
        one.cookies.set("postwatch_password", stolen, domain="127.0.0.1", path="/")
        worker.ahead_ms = 11 * MINUTE_MS
        one.cookies.delete("postwatch_password", domain="127.0.0.1", path="/")
        assert not is_in(one)
        assert is_in(other)


def test_ended_sessions_leave_the_state(worker: Worker) -> None:
    with worker.browser() as browser:
        log_in(browser)
        browser.cookies.clear()
        worker.ahead_ms = 13 * 60 * MINUTE_MS
        log_in(browser)
    assert len(worker.entrance.store.read(sessions.select())) == 1
