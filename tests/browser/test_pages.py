"""Every page in a real browser: nothing to complain of, whoever looks at it and however."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, ViewportSize

from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.browser.visit import NARROW, WIDE

ACCOUNT = "jonas@larch-law.example"
"""The simulator's mailbox with mail of every kind."""
LOOKS: list[tuple[str, ViewportSize, Literal["dark", "light"]]] = [
    ("wide", WIDE, "light"),
    ("narrow", NARROW, "light"),
    ("narrowest", {"width": 320, "height": 640}, "light"),  # WCAG 1.4.10
    ("dark", WIDE, "dark"),
]
PAGES = {
    "first": ("/", 200),
    "report": (f"/?account={ACCOUNT}&show=all", 200),
    "domain": ("/?account=@bakery.example&show=all", 200),
    "failures": (f"/?account={ACCOUNT}&status=failed", 200),
    "nothing": ("/?account=nobody@larch-law.example", 200),
    "complaint": (f"/?account={ACCOUNT}&days=999", 422),
    "servers": ("/servers", 200),
    "statistics": ("/statistics", 200),
    "no such server": ("/servers/nothing", 404),
    "bounces": ("/bounces?last=day", 200),
    "bounces, asked wrongly": ("/bounces?since=yesterday", 422),
    "missing": ("/no-such-page", 404),
    "queue": ("/queue", 200),
    "queue narrowed": ("/queue?by=host&provider=unknown", 200),
    "search": ("/search?q=bakery.example", 200),
    "search with filters": ("/search?q=mailbox+full&status=failed&days=30&larger=1", 200),
    "search for nothing": ("/search?q=nobody%40nowhere.example", 200),
    "search refused": ("/search?q=x&larger=big", 422),
}


def _is_scrolled_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize("name", PAGES)
def test_no_page_gives_cause_for_complaint(name: str, visitor: Visitor) -> None:
    visit = visitor()
    path, status = PAGES[name]
    page = visit.open(path, status)
    for summary in page.locator("main summary").all()[:2]:
        summary.click()
    for look, size, scheme in LOOKS:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        assert not _is_scrolled_sideways(page), look
        visit.check()


def test_every_row_of_every_log_can_be_looked_at(site: Site, visitor: Visitor) -> None:
    """Golden, simulated and hostile: whatever the words, the page is whole, and nothing of it runs."""
    visit = visitor()
    accounts = {row.account for row in site.table.rows if ".hostile." in row.server and row.account}
    for domain in sorted({account.rpartition("@")[2] for account in accounts})[:8]:
        page = visit.open("/?" + urlencode({"account": f"@{domain}", "show": "all"}))
        assert page.title().endswith("Postwatch")
        assert page.locator("script").count() == page.locator("script[src^='/static/']").count()
        assert page.locator("main img, main iframe, main script, main style").count() == 0
    visit.check()


def test_the_keyboard_alone_leads_from_nothing_to_the_answer(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.open("/")
    page.keyboard.type(ACCOUNT)  # the first box has the focus
    page.keyboard.press("Enter")
    page.wait_for_url("**account=**")
    opened = page.locator("details[open]")
    assert opened.count() == 0
    for _ in range(90):
        page.keyboard.press("Tab")
        is_row = page.evaluate("document.activeElement.matches('.delivery summary')")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"no focus is shown on {page.evaluate('document.activeElement.outerHTML')[:200]}"
        if is_row:
            break
    page.keyboard.press("Enter")
    assert opened.count() == 1
    opened.locator("dl").wait_for()
    visit.check()


def test_without_scripts_nothing_is_missing(visitor: Visitor) -> None:
    visit = visitor(java_script_enabled=False)
    page = visit.open("/")
    page.fill("#account", ACCOUNT)
    page.click("text=Show All")
    page.wait_for_selector("table tbody")
    assert page.locator("table tbody").count() > 20
    page.locator(".delivery summary").first.click()
    page.click("details[open] .first a")
    page.wait_for_selector(".story dl")
    assert visit.complaints == []


def test_the_details_of_a_row_come_when_it_is_opened(visitor: Visitor) -> None:
    visit = visitor(timezone_id="Asia/Jakarta")
    page = visit.open(f"/?account={ACCOUNT}&show=all")
    row = page.locator(".delivery").nth(1)
    assert row.locator("dl").count() == 0
    row.locator("summary").click()
    row.locator("dl").wait_for()
    row.locator("summary").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    row.locator("summary").click()
    assert row.locator("dl").is_visible()
    assert asked == []  # they are there
    for look, size, scheme in LOOKS:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        assert not _is_scrolled_sideways(page), look
        visit.check()
    page.emulate_media(media="print")
    assert row.locator("dl").is_visible()


def test_details_that_do_not_come_are_said_and_asked_for_again(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.open(f"/?account={ACCOUNT}&show=all")
    page.route("**/details", lambda route: route.abort())
    row = page.locator(".delivery").first
    row.locator("summary").click()
    row.locator("[role=alert]").wait_for()
    assert row.locator(".first a").is_visible()
    page.unroute("**/details")
    row.locator("summary").click()
    row.locator("summary").click()
    row.locator("dl").wait_for()
    assert row.locator("[role=alert]").count() == 0


def test_a_page_from_right_to_left_fits_every_screen(visitor: Visitor) -> None:
    """No language of ours is written so yet, but its file alone would turn the pages."""
    visit = visitor()
    page = visit.open(f"/?account={ACCOUNT}&show=all")
    page.evaluate("document.documentElement.dir = 'rtl'")
    for look, size, scheme in LOOKS:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        assert not _is_scrolled_sideways(page), look
        visit.check()


def test_a_report_can_be_printed(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.open(f"/?account={ACCOUNT}&show=all")
    page.emulate_media(media="print")
    assert not page.locator("form").first.is_visible()
    assert page.locator("tbody").first.is_visible()
    assert len(page.pdf(format="A4")) > 10_000
    visit.check()


def test_twenty_five_rows_fit_a_screen(visitor: Visitor) -> None:
    page = visitor().open(f"/?account={ACCOUNT}&show=all")
    silence = page.locator(".notice").first
    more = silence.bounding_box() if silence.count() else None  # the table's heartbeats grow old while tests run
    page.set_viewport_size(
        {"width": WIDE["width"], "height": WIDE["height"] + round(more["height"] + 8 if more else 0)}
    )
    fit = page.evaluate(
        "[...document.querySelectorAll('.list .delivery')]"
        ".filter((row) => row.getBoundingClientRect().bottom <= window.innerHeight).length"
    )
    assert fit >= 25


def test_times_are_those_of_the_browsers_zone_at_once_and_of_the_server_from_then_on(visitor: Visitor) -> None:
    visit = visitor(timezone_id="Asia/Jakarta", locale="en-GB")
    shown = []
    for _ in range(2):
        page = visit.open(f"/?account={ACCOUNT}&show=all")
        element = page.locator("tbody time").first
        shown.append((element.get_attribute("datetime"), element.inner_text()))
        assert "Asia/Jakarta" in page.locator(".foot").inner_text()
        assert page.locator("input[name=zone]").first.get_attribute("value") == "Asia/Jakarta"
    assert page.evaluate("document.documentElement.dataset.zone") == "Asia/Jakarta"
    assert shown[0] == shown[1]
    at, words = shown[0]
    assert at is not None
    assert datetime.fromisoformat(f"{words}+07:00") == datetime.fromisoformat(at).replace(microsecond=0)
    visit.check()


def test_columns_are_chosen_and_kept_without_scripts(visitor: Visitor) -> None:
    visit = visitor(java_script_enabled=False)
    page = visit.open(f"/?account={ACCOUNT}&show=all")
    page.locator(".view summary").click()
    page.check("#column-size")
    page.uncheck("#column-sent")
    page.click("text=Keep")
    page.wait_for_selector("th.c-size")
    assert page.locator("th.c-sent").count() == 0
    page = visit.open(f"/?account={ACCOUNT}")
    assert page.locator("th.c-size").count() == 1
    page.click("th.c-size a")
    page.wait_for_selector("th.c-size[aria-sort=descending]")
    assert visit.complaints == []
