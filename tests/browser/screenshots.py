"""Pictures of each page, of a demo that runs: `make demo`, then `python -m tests.browser.screenshots ADDRESS` with the
address that the demo printed. They go to docs/images, where README and docs show them.

With a folder behind the address every page comes in every look too (narrow, dark, printed, other languages, from right
to left), for somebody to look at. Nothing but the demo's made-up people is on them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from postwatch.deploy.demo_accounts import ENGINEER_NAME, PASSWORD

from tests.browser.conftest import CHROMIUM
from tests.browser.visit import NARROW

FOLDER = Path(__file__).parents[2] / "docs/images"
SIZE: ViewportSize = {"width": 1280, "height": 800}
MAILBOX = "jonas@larch-law.example"


class Look(NamedTuple):
    """How somebody looks at the pages."""

    name: str
    context: Mapping[str, Any] = MappingProxyType({})
    is_printed: bool = False
    is_turned: bool = False
    """From right to left, though in English: no language of ours is written so."""


WIDE = Look("wide")
LOOKS = (
    WIDE,
    Look("narrow", {"viewport": NARROW}),
    Look("dark", {"color_scheme": "dark"}),
    Look("narrow-dark", {"viewport": NARROW, "color_scheme": "dark"}),
    Look("printed", is_printed=True),
    Look("german", {"locale": "de"}),
    Look("narrow-german", {"locale": "de", "viewport": NARROW}),
    Look("indonesian", {"locale": "id"}),
    Look("turned", is_turned=True),
    Look("narrow-turned", {"viewport": NARROW}, is_turned=True),
)


class Camera:
    """One look at the demo, logged in as somebody. `end` closes it."""

    def __init__(self, browser: Browser, address: str, look: Look, folder: Path) -> None:
        self._look, self._folder, self._address = look, folder, address
        self._context = browser.new_context(
            **{"viewport": SIZE, "locale": "en", "timezone_id": "Europe/Berlin", **look.context}
        )
        self.page = self._context.new_page()

    def open(self, path: str) -> Page:
        self.page.goto(self._address + path)
        return self.page

    def log_in(self, name: str) -> None:
        self.page.fill("#name", name)
        self.page.fill("#password", PASSWORD)
        self.page.press("#password", "Enter")
        self.page.wait_for_selector("form.who-is-here")

    def take(self, name: str) -> None:
        if self._look.is_printed:
            self.page.emulate_media(media="print")
        if self._look.is_turned:
            self.page.evaluate("document.documentElement.dir = 'rtl'")
        file = self._folder / (f"{name}.png" if self._look is WIDE else f"{name}-{self._look.name}.png")
        self.page.screenshot(path=file, full_page=self._look.is_printed)
        self.page.emulate_media(media="screen")
        print(file)

    def end(self) -> None:
        self._context.close()


def photograph(browser: Browser, address: str, look: Look, folder: Path) -> None:
    """Every page that a mailbox owner sees, and the one of the servers."""
    folder.mkdir(parents=True, exist_ok=True)
    owner = Camera(browser, address, look, folder)
    owner.open("/")
    owner.take("log-in")
    owner.log_in(MAILBOX)
    owner.open("/").wait_for_timeout(500)
    owner.take("track-delivery")
    owner.page.locator("tbody.failed a[href^='/delivery/']").first.click()
    owner.page.wait_for_selector("article.story")
    owner.take("story")
    owner.page.locator("a[href$='/proof']").first.click()
    owner.page.wait_for_selector("article.proof")
    owner.take("proof")
    owner.end()
    engineer = Camera(browser, address, look, folder)
    engineer.open("/servers")
    engineer.log_in(ENGINEER_NAME)
    engineer.take("servers")
    engineer.open("/queue")
    engineer.take("queue")
    engineer.open("/search?q=larch-law.example&status=failed")
    engineer.take("search")
    engineer.open("/bounces")
    engineer.take("bounces")
    engineer.end()


def main() -> None:
    address = sys.argv[1].rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        photograph(browser, address, WIDE, FOLDER)
        for look in LOOKS if len(sys.argv) > 2 else ():
            photograph(browser, address, look, Path(sys.argv[2]))
        browser.close()


if __name__ == "__main__":
    main()
