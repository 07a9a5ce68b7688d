"""The engineer's pages in a real browser: a server, its dead letters, the charts; by clicks and keys, narrow, dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import migrate
from postwatch.producers.record import Heartbeat
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.heartbeat import JoinedLines, decode_heartbeat, encode_heartbeat
from postwatch.streams.contracts.outcome import Attempt

from tests.browser.test_pages import LOOKS
from tests.browser.visit import Visit, visit
from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, make_letter, make_row, served
from tests.waiting import wait_until

SERVER = "web2.hosting.example"
LINE = "postfix/smtp[7]: 7F00AA: to=<a@b.example>; status=deferred (x)"


@pytest.fixture(scope="module")
def address(clickhouse: EmbeddedClickHouse) -> Iterator[str]:
    """A site over a server that loses lines and whose clock is wrong, with letters of it, and mail of some days."""
    settings = replace(clickhouse.settings, database="engineer")
    migrate(connect(settings, database=""), settings)
    office = Office(settings, connect(settings))
    rows = []
    for number in range(60):
        at = NOW_MS - number * 7 * 60 * MINUTE_MS - MINUTE_MS
        status = ("delivered", "bounced", "deferred")[number % 3]
        tried = (Attempt(at=at, status=status, smtp_code=451, response="451 later"),)
        rows.append(
            make_row(queue_id=f"Q{number}", server=SERVER, queued_at=at, updated_at=at, status=status, attempts=tried)
        )
    office.insert(rows)
    joined = JoinedLines(NOW_MS - DAY_MS, 900_000, 1200, 60_000, ("postfix",), (("line", 12),), 30, -7_200_000)
    beat = Heartbeat(NOW_MS, NOW_MS - 1000, 0, 2, "0.1.0", NOW_MS - DAY_MS, 1, 2, 0)
    office.client.insert_arrow("servers", decode_heartbeat(encode_heartbeat(SERVER, beat, joined)))
    office.letters += [make_letter(id=f"0-{number}", server=SERVER, line=LINE) for number in range(12)]
    with served(office.service) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture
def visitor(browser: Browser, address: str) -> Iterator[Visit]:
    with visit(browser, address) as opened:
        yield opened


@pytest.mark.parametrize(
    "path",
    [
        "/servers",
        f"/servers/{SERVER}",
        "/dead-letters",
        "/dead-letters?since=never",
        "/statistics",
        "/bounces?last=day",
    ],
)
def test_no_page_gives_cause_for_complaint(path: str, visitor: Visit) -> None:
    page = visitor.open(path, 422 if "never" in path else 200)
    for look, size, scheme in LOOKS:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"), look
        visitor.check()


def test_from_the_first_page_to_the_lines_that_a_server_lost_by_clicks(visitor: Visit) -> None:
    page = visitor.open("/")
    page.click("nav >> text=Servers")
    page.click(f"td >> text={SERVER}")
    page.wait_for_url(f"**/servers/{SERVER}")
    assert "2 h ahead" in page.locator(".notice").first.inner_text()
    assert page.locator(".letters li").count() == 10
    assert "postwatch join --from" in page.locator("code").inner_text()
    page.click("dd >> text=12 line")
    page.wait_for_url("**/dead-letters?**")
    assert page.locator("#server").input_value() == SERVER
    assert page.locator(".letters .lines").first.inner_text() == LINE
    assert page.locator(".letters li").count() == 12
    visitor.check()


def test_the_same_by_keys(visitor: Visit) -> None:
    page = visitor.open("/servers")
    page.get_by_role("link", name=SERVER).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/servers/{SERVER}")
    page.locator(".ways").get_by_role("link", name="Dead Letters").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/dead-letters?**")
    page.locator("#reason").focus()
    page.keyboard.type("record")
    page.keyboard.press("Enter")
    page.wait_for_selector(".empty")
    assert visitor.complaints == []


def test_a_chart_is_drawn_again_in_the_dark_and_says_what_it_shows(visitor: Visit) -> None:
    page = visitor.open("/statistics")
    plot = page.locator(".plot")
    canvas = plot.locator("canvas")
    canvas.wait_for()
    words = plot.get_attribute("aria-label") or ""
    assert "Messages: 60 in all" in words
    drawn = "canvas => canvas.toDataURL()"
    light = canvas.evaluate(drawn)
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: canvas.evaluate(drawn) != light, "the chart is drawn in other colours")
    plot.hover()
    wait_until(lambda: "Messages" in page.locator(".chart-at").inner_text(), "the figures under the pointer are told")
    visitor.check()


def test_without_scripts_the_table_of_a_chart_is_there(browser: Browser, address: str) -> None:
    with visit(browser, address, java_script_enabled=False) as visitor:
        page = visitor.open("/statistics")
        figure = page.locator("figure[data-chart]")
        assert not figure.is_visible()
        page.locator(".chart summary").click()
        points = json.loads(figure.get_attribute("data-chart") or "{}")
        days = sum(any(one["figures"][at] for one in points["series"]) for at in range(len(points["times"])))
        assert page.locator(".chart tbody tr").count() == days > 10
        assert visitor.complaints == []
