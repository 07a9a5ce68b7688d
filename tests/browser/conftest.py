"""One filled table and one server for all tests here, and a real browser for each module.

The browser is a module's, not the run's: while Playwright works, asyncio takes this thread for one whose loop runs, and
other folders' tests run loops of their own.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, sync_playwright
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse

from tests.browser.site import Filled, Site, fill, open_site
from tests.browser.visit import Visit, visit

CHROMIUM = shutil.which("chromium")


class Visitor(Protocol):
    def __call__(self, **context: Any) -> Visit:
        """A new visitor; `context` is for Playwright's context. What it complains of is for `Visit.check`."""


@pytest.fixture(scope="session")
def filled_table(clickhouse: EmbeddedClickHouse) -> Filled:
    return fill(clickhouse, "browser")


@pytest.fixture(scope="session")
def site(filled_table: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that everybody may ask: on the loopback, without a log-in."""
    opened = open_site(filled_table, tmp_path_factory.mktemp("serve"))
    yield opened
    opened.worker.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        # As root Chromium's own sandbox refuses to start; the pages come from this machine alone.
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    with contextlib.ExitStack() as opened:
        yield lambda **context: opened.enter_context(visit(browser, site.address, **context))
