"""Screenshots of each page for the README and docs/images, of a demo that runs: `make demo`, then

`python -m tests.browser.screenshots http://127.0.0.1:8080` with the address that the demo printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from postwatch.deploy.demo_accounts import ENGINEER_NAME, PASSWORD

from tests.browser.conftest import CHROMIUM
from tests.browser.visit import NARROW

FOLDER = Path(__file__).parents[2] / "docs/images"
SIZE: ViewportSize = {"width": 1280, "height": 800}
MAILBOX = "jonas@larch-law.example"


def log_in(browser: Browser, address: str, name: str, size: ViewportSize = SIZE, scheme: str = "light") -> Page:
    context = browser.new_context(viewport=size, color_scheme="dark" if scheme == "dark" else "light", locale="en")
    page = context.new_page()
    page.goto(address)
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_load_state()
    return page


def show_all(page: Page, account: str) -> None:
    if page.locator("#account").count():
        page.fill("#account", account)
    page.click("button[value=all]")
    page.wait_for_load_state()
    page.wait_for_timeout(500)


def take(page: Page, name: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=FOLDER / f"{name}.png")
    print(FOLDER / f"{name}.png")


def main() -> None:
    address = sys.argv[1].rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        first = browser.new_context(viewport=SIZE, locale="en").new_page()
        first.goto(address)
        take(first, "log-in")
        for name, size, scheme in (
            ("track-delivery", SIZE, "light"),
            ("telephone", NARROW, "light"),
            ("dark", SIZE, "dark"),
        ):
            page = log_in(browser, address, MAILBOX, size, scheme)
            show_all(page, MAILBOX)
            take(page, name)
            if name == "track-delivery":
                failed = page.locator("tbody.failed a[href^='/delivery/']").first.get_attribute("href")
                page.goto(f"{address}{failed}")
                take(page, "delivery")
                proof = page.locator("a[href$='/proof']")
                if proof.count():
                    proof.first.click()
                    page.wait_for_load_state()
                    take(page, "proof")
        engineer = log_in(browser, address, ENGINEER_NAME)
        engineer.goto(f"{address}/servers")
        take(engineer, "servers")
        browser.close()


if __name__ == "__main__":
    main()
