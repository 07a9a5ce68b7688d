"""Every page in a real browser: nothing to complain of, whoever looks at it and however."""

from __future__ import annotations

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
    "missing": ("/no-such-page", 404),
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
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.tagName")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"no focus is shown on {page.evaluate('document.activeElement.outerHTML')[:200]}"
        if focused == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert opened.count() == 1
    visit.check()


def test_without_scripts_nothing_is_missing(visitor: Visitor) -> None:
    visit = visitor(java_script_enabled=False)
    page = visit.open("/")
    page.fill("#account", ACCOUNT)
    page.click("text=Show All")
    assert page.locator("table tbody").count() > 20
    page.locator("summary").first.click()
    assert page.locator("details[open] dl").first.is_visible()
    assert visit.complaints == []


def test_a_report_can_be_printed(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.open(f"/?account={ACCOUNT}&show=all")
    page.emulate_media(media="print")
    assert not page.locator("form").first.is_visible()
    assert page.locator("tbody").first.is_visible()
    assert len(page.pdf(format="A4")) > 10_000
    visit.check()
