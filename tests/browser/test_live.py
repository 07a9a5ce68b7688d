"""New rows on an open page, in a real browser."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site, insert
from tests.browser.test_pages import ACCOUNT
from tests.waiting import PATIENCE

_WAIT_MS = PATIENCE * 1000


def test_a_row_appears_by_itself_and_waits_while_somebody_reads(site: Site, visitor: Visitor) -> None:
    visit = visitor()
    page = visit.open(f"/?account={ACCOUNT}&show=all")
    known = next(row for row in site.table.rows if row.account == ACCOUNT)
    now_ms = time.time_ns() // 1_000_000

    def new(name: str) -> str:
        at_ms = time.time_ns() // 1_000_000
        recipient = f"{name}@far.example"
        row = known._replace(queue_id=f"{name}-{at_ms}", recipient=recipient, queued_at=now_ms, updated_at=at_ms)
        insert(site.table, [row._replace(original_recipient="", is_deleted=0)])
        return recipient

    expect(page.locator("#live-state")).to_contain_text("by itself", timeout=_WAIT_MS)
    recipient = new("first")
    expect(page.locator("tbody.delivery").first).to_contain_text(recipient, timeout=_WAIT_MS)
    page.locator("tbody.delivery summary").first.click()
    recipient = new("second")
    expect(page.locator("#live-new")).to_contain_text("1", timeout=_WAIT_MS)
    expect(page.locator("tbody.delivery").first).not_to_contain_text(recipient)
    visit.check()
    page.locator("#live-new").click()
    expect(page.locator("tbody.delivery").first).to_contain_text(recipient, timeout=_WAIT_MS)
    page.locator("#live-pause").click()
    recipient = new("third")
    expect(page.locator("#live-new")).to_contain_text("1", timeout=_WAIT_MS)
    visit.check()
