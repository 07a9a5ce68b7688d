"""From nothing to the answer and out again, in a real browser: a mailbox owner, a reseller and an engineer.

Passwords of mailboxes are checked by a real IMAP server; those of owners and engineers stand in a
password file. Rows come of simulated servers' logs.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Page
from postwatch.deploy.simulator.provider import make_provider
from postwatch.query.access.passwords import password_line

from tests.browser.joined_rows import SIMULATED_SERVERS
from tests.browser.site import Filled, Site, insert, open_site
from tests.browser.visit import NARROW, Visit, visit
from tests.query.access.imap_servers import make_imap_server
from tests.waiting import PATIENCE, wait_until

PASSWORD = "a long enough password"
MAILBOX = "jonas@larch-law.example"


class Doors(NamedTuple):
    site: Site
    owner: str
    reseller: str


@pytest.fixture(scope="module")
def doors(filled_table: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A server with every way to log in by a password."""
    folder = tmp_path_factory.mktemp("doors")
    domains = make_provider(1, SIMULATED_SERVERS, postfix=1).domains()
    owner = domains[MAILBOX.rpartition("@")[2]]
    (folder / "domains").write_text("".join(f"{domain}: {name}\n" for domain, name in domains.items()))
    (folder / "resellers").write_text("".join(f"{name}: resale\n" for name in sorted({owner, "larchpot"})))
    lines = [password_line(owner, PASSWORD), password_line("resale", PASSWORD, "reseller")]
    lines.append(password_line("nina", PASSWORD, "engineer"))
    (folder / "passwords").write_text("\n".join(lines) + "\n")
    imap = make_imap_server()
    imap.set_mailboxes({MAILBOX: PASSWORD})
    imap.start()
    site = open_site(
        filled_table,
        folder,
        {
            "POSTWATCH_ACCESS_STATE": str(folder / "access.sqlite"),
            "POSTWATCH_ACCESS_IMAP": imap.address,
            "POSTWATCH_ACCESS_IMAP_CA_FILE": imap.ca_file,
            "POSTWATCH_ACCESS_PASSWORDS": str(folder / "passwords"),
            "POSTWATCH_ACCESS_OWNERS": str(folder / "domains"),
            "POSTWATCH_ACCESS_RESELLERS": str(folder / "resellers"),
        },
    )
    yield Doors(site, owner, "resale")
    site.worker.kill()
    imap.remove()


@pytest.fixture
def visitor_of(browser: Browser, doors: Doors) -> Iterator[Visit]:
    with visit(browser, doors.site.address) as opened:
        yield opened


def log_in(visit: Visit, name: str, password: str = PASSWORD) -> Page:
    page = visit.page
    page.goto(visit.address + "/")
    page.fill("#name", name)
    page.fill("#password", password)
    page.press("#password", "Enter")
    page.wait_for_load_state()
    return page


def show_all(page: Page, account: str) -> None:
    """A mailbox owner has one account, so he is not asked for it."""
    if page.locator("#account").count():
        page.fill("#account", account)
    page.click("button[value=all]")
    page.wait_for_load_state()


def log_out(page: Page) -> None:
    page.click("form[action$='/log-out'] button")
    page.wait_for_url("**/log-in**")


def test_a_mailbox_owner_comes_from_nothing_to_the_answer_and_out_again(visitor_of: Visit, doors: Doors) -> None:
    visit, table = visitor_of, doors.site.table
    page = log_in(visit, MAILBOX)
    visit.check()
    show_all(page, MAILBOX)
    assert page.locator("table tbody").count() > 20
    visit.check()

    own = [row for row in table.rows if row.account == MAILBOX and row.sender]  # but for bounces, which stand elsewhere
    with page.expect_download() as downloaded:
        page.locator("a[download][href*='csv']").click()
    file = downloaded.value.path().read_text()
    assert len(list(csv.DictReader(io.StringIO(file)))) >= len(own)
    assert "server1.simulated.example" not in file

    failed = next(row for row in own if row.result == "failed")
    page.fill("#recipient", failed.recipient)
    page.press("#recipient", "Enter")
    page.wait_for_load_state()
    assert {one.inner_text() for one in page.locator("td.who bdi, td.c-recipient bdi").all()} == {failed.recipient}

    story = page.locator("main tbody a[href]").first.get_attribute("href")
    page.goto(f"{visit.address}{story}")
    assert failed.recipient in page.inner_text("main")
    visit.check()

    log_out(page)
    visit.check()
    page.go_back()
    page.wait_for_load_state()
    assert failed.recipient not in page.content(), "Back shows what was there before the log-out"


def test_new_mail_appears_without_a_reload(visitor_of: Visit, doors: Doors) -> None:
    visit = visitor_of
    page = log_in(visit, MAILBOX)
    show_all(page, MAILBOX)
    table = doors.site.table
    row = next(row for row in table.rows if row.account == MAILBOX and row.result == "accepted")
    now_ms = time.time_ns() // 1_000_000
    fresh = row._replace(
        queue_id="1zzzzz-00000000001-ABCD",
        recipient="someone.new@far.example",
        original_recipient="",
        queued_at=now_ms - 500,
        updated_at=now_ms,
        version=row.version + 1,
    )
    others = fresh._replace(
        account="anna@elm-joinery.example", account_domain="elm-joinery.example", recipient="not.his@far.example"
    )
    insert(table, [fresh, others])
    new = page.locator("text=someone.new@far.example").first
    new.wait_for(timeout=PATIENCE * 1000)
    assert page.locator("text=not.his@far.example").count() == 0
    visit.check()


@pytest.mark.parametrize("who", ["owner", "reseller", "engineer"])
def test_owners_and_engineers_see_what_is_theirs(who: str, visitor_of: Visit, doors: Doors) -> None:
    visit = visitor_of
    page = log_in(visit, {"owner": doors.owner, "reseller": doors.reseller, "engineer": "nina"}[who])
    show_all(page, "@larch-law.example")
    assert page.locator("table tbody").count() > 5
    visit.check()
    show_all(page, "@elm-joinery.example")
    assert (page.locator("table tbody").count() > 5) == (who == "engineer")
    answer = page.goto(visit.address + "/servers")
    assert answer is not None
    assert (answer.status == 200) == (who == "engineer")


def test_an_engineer_comes_from_the_header_to_the_log_lines_of_a_message(visitor_of: Visit, doors: Doors) -> None:
    bounced = next(row for row in doors.site.table.rows if row.account == MAILBOX and row.status == "bounced")
    page = log_in(visitor_of, "nina")
    page.fill("#find", f"<{bounced.message_id}>")
    page.press("#find", "Enter")
    page.wait_for_selector("tbody.failed")
    if not page.locator("details[open]").count():
        page.locator("tbody.failed summary").first.click()
    page.locator(f".raw:has-text('{bounced.queue_id}')").first.wait_for()
    visitor_of.check()


def test_a_wrong_password_shows_nothing_and_says_so(visitor_of: Visit) -> None:
    page = log_in(visitor_of, MAILBOX, "something else")
    assert page.locator("[role=alert]").count() == 1
    assert page.locator("#password").input_value() == ""
    assert page.locator("table").count() == 0
    visitor_of.check()


@pytest.mark.parametrize("language", ["de", "es", "id"])
def test_each_language_is_spoken_on_a_telephone(language: str, browser: Browser, doors: Doors) -> None:
    with visit(browser, doors.site.address, viewport=NARROW, locale=language) as visitor:
        page = log_in(visitor, MAILBOX)
        assert page.get_attribute("html", "lang") == language
        show_all(page, MAILBOX)
        assert page.locator("table tbody").count() > 20
        scrolled = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(scrolled)
        visitor.check()


def test_the_session_s_cookie_is_no_script_s_affair(visitor_of: Visit, doors: Doors) -> None:
    page = log_in(visitor_of, MAILBOX)
    cookies = page.context.cookies()
    cookies = [one for one in cookies if one["name"] != "postwatch_zone"]  # the script's own
    assert cookies
    assert all(one["httpOnly"] and one["sameSite"] == "Lax" for one in cookies)
    assert [word.partition("=")[0] for word in page.evaluate("document.cookie").split("; ")] == ["postwatch_zone"]
    stolen = {one["name"]: one["value"] for one in cookies}
    with contextlib.closing(httpx.Client(base_url=doors.site.address, cookies=stolen, timeout=PATIENCE)) as thief:
        assert thief.get("/").status_code == 200
        log_out(page)
        wait_until(lambda: thief.get("/").status_code != 200, "the session has ended")


def test_nothing_secret_is_logged(visitor_of: Visit, doors: Doors) -> None:
    page = log_in(visitor_of, MAILBOX)
    secrets = [str(one["value"]) for one in page.context.cookies()]
    told = doors.site.worker.log_path.read_text()
    assert told
    assert not [one for one in (*secrets, PASSWORD) if one in told]
    assert all(isinstance(json.loads(line), dict) for line in told.splitlines() if line.startswith("{"))
