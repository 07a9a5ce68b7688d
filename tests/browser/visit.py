"""A visit: one page of Debian's Chromium that is watched. What a browser complains of fails the test.

Nothing may be asked of another host, no script or style may offend the content security policy, and the console stays
empty. Axe finds no violation on any page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, ViewportSize

from tests.waiting import PATIENCE

WIDE: ViewportSize = {"width": 1280, "height": 1000}
NARROW: ViewportSize = {"width": 390, "height": 844}

_OFFENCES = """
window.offences = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.offences.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


class Visit:
    """A page and what went wrong on it. `page` is Playwright's own."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self.statuses: dict[str, int] = {}
        """Path with query → status of the last answer."""
        page.add_init_script(_OFFENCES)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def open(self, path: str = "/", expected: int = 200) -> Page:
        answer = self.page.goto(self.address + path)
        assert answer is not None
        assert answer.status == expected, f"{path}: {answer.status}"
        return self.page

    def check(self) -> None:
        """Raises AssertionError with everything that the browser or axe complains of."""
        found = [*self.complaints, *self.page.evaluate("window.offences || []"), *violations(self.page)]
        assert not found, "\n".join(found)

    def _console(self, message: ConsoleMessage) -> None:
        expected = "Failed to load resource"  # of a page that answers 4xx on purpose; `open` looks at the status
        if message.type in ("error", "warning") and expected not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if request.url.startswith("data:"):
            return
        if urlsplit(request.url)[:2] != urlsplit(self.address)[:2]:
            self.complaints.append(f"asks another host: {request.url}")

    def _response(self, response: Response) -> None:
        self.statuses[response.url.removeprefix(self.address)] = response.status
        if response.status >= 500 and response.status != 503:
            self.complaints.append(f"{response.status} {response.url}")


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is now."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']}: {node['html'][:160]} {_why(node)}" for one in found for node in one["nodes"]]


def _why(node: dict[str, Any]) -> str:
    return "; ".join(check["message"] for check in node["any"] + node["all"] + node["none"])[:200]


@contextlib.contextmanager
def visit(browser: Browser, address: str, **context: Any) -> Iterator[Visit]:
    """A visitor without cookies; `context` is for Playwright: viewport, color_scheme, java_script_enabled, locale."""
    opened = browser.new_context(**{"viewport": WIDE, **context})
    opened.set_default_timeout(PATIENCE * 1000)
    try:
        yield Visit(opened.new_page(), address)
    finally:
        opened.close()
