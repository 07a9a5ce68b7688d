"""The hunt in a real browser: from the first page to the trouble, its rows and its log lines, by clicks and by keys."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from postwatch.deploy.simulator.troubles import Trouble
from postwatch.streams.clickhouse.client import connect

from tests.browser.site import Filled, Site, open_site
from tests.browser.test_pages import LOOKS
from tests.browser.visit import Visit, visit
from tests.conftest import MakeDatabase
from tests.drill.fleet import drilled, fill

SEED = 3
"""A provider greylists everybody."""


@pytest.fixture(scope="module")
def trouble() -> list[Trouble]:
    """Filled by `broken_site`."""
    return []


@pytest.fixture(scope="module")
def broken_site(
    make_database: MakeDatabase, trouble: list[Trouble], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    now_ms = time.time_ns() // 1_000_000
    fleet = drilled(SEED, now_ms, is_broken=True)
    assert fleet.trouble
    trouble.append(fleet.trouble)
    settings = make_database()
    fill(connect(settings), fleet.rows)
    opened = open_site(Filled(settings, fleet.rows, now_ms), tmp_path_factory.mktemp("broken"))
    yield opened
    opened.worker.kill()


@pytest.fixture
def visitor(browser: Browser, broken_site: Site) -> Iterator[Visit]:
    with visit(browser, broken_site.address) as opened:
        yield opened


def _lines_are_shown(page: Page, trouble: Trouble) -> None:
    page.wait_for_url("**/delivery/**")
    lines = page.locator("ol.raw li")
    assert lines.count() > 1
    assert "Greylisted" in " ".join(lines.all_inner_texts())


def test_from_the_first_page_to_the_log_lines_by_clicks(visitor: Visit, trouble: list[Trouble]) -> None:
    page = visitor.open("/")
    page.click("nav >> text=Bounces")
    [place] = page.locator(".trouble .place").all()
    assert trouble[0].provider in place.inner_text()
    assert "greylisted" in place.inner_text()
    page.click(".trouble .place a")
    assert page.locator(".newest-rows tbody.delivery").count() > 5
    page.locator(".newest-rows tbody.delivery summary").first.click()
    page.locator(".newest-rows details[open] .first a").click()
    _lines_are_shown(page, trouble[0])
    page.go_back()
    page.go_back()
    page.click("text=The newest one, with its log lines")
    _lines_are_shown(page, trouble[0])
    visitor.check()


def test_the_keyboard_alone_leads_to_the_log_lines(visitor: Visit, trouble: list[Trouble]) -> None:
    page = visitor.open("/bounces")
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.innerText || ''")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if "log lines" in focused:
            break
    page.keyboard.press("Enter")
    _lines_are_shown(page, trouble[0])


def test_no_screen_gives_cause_for_complaint(visitor: Visit) -> None:
    for path in ("/bounces", "/bounces?last=day&by=server,ip,account,reason", "/bounces?provider=nobody"):
        page = visitor.open(path)
        for look, size, scheme in LOOKS:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            assert not wide, (path, look)
            visitor.check()


def test_without_scripts_the_form_asks(browser: Browser, broken_site: Site, trouble: list[Trouble]) -> None:
    with visit(browser, broken_site.address, java_script_enabled=False) as opened:
        page = opened.open("/bounces")
        page.uncheck("#by-provider")
        page.check("#by-server")
        page.click("text=Run Report")
        assert page.locator(".groups thead th").all_inner_texts()[:2] == ["Reason", "Server"]
        assert opened.complaints == []
