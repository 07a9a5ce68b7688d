"""The story of a delivery and its proof in a real browser: on every screen, printed, and checked from its file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser
from postwatch.query.proofs.check import check_proof
from postwatch.query.proofs.keys import make_key_file, read_public_keys

from tests.browser.site import Filled, Site, open_site
from tests.browser.test_pages import ACCOUNT, LOOKS
from tests.browser.visit import Visit, visit
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def proving_site(filled_table: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("proving")
    make_key_file(folder / "key.pem")
    settings = {
        "POSTWATCH_PROOF_SIGNING_KEY_FILE": str(folder / "key.pem"),
        "POSTWATCH_PROOF_ISSUER": "Example Hosting",
    }
    opened = open_site(filled_table, folder, settings)
    yield opened
    opened.worker.kill()


@pytest.fixture
def visitor(browser: Browser, proving_site: Site) -> Iterator[Visit]:
    with visit(browser, proving_site.address) as opened:
        yield opened


def _ids(site: Site, account: str = ACCOUNT) -> dict[str, str]:
    """An id of each status, that of the most attempts."""
    answer = httpx.get(
        f"{site.address}/api/v1/accounts/{account}/deliveries", params={"limit": "1000"}, timeout=PATIENCE
    )
    found = sorted(answer.json()["deliveries"], key=lambda one: len(one["attempts"]))
    return {one["status"]: one["id"] for one in found}


def test_no_story_and_no_proof_gives_cause_for_complaint(proving_site: Site, visitor: Visit) -> None:
    ids = _ids(proving_site) | _ids(proving_site, "@bakery.example")
    assert {"delivered", "bounced", "deferred", "expired", "cancelled", "rejected", "discarded"} <= set(ids)
    for path in (*(f"/delivery/{word}" for word in ids.values()), f"/delivery/{ids['expired']}/proof"):
        page = visitor.open(path, 200)
        for look, size, scheme in LOOKS:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"), (
                look
            )
        visitor.check()  # in the dark; the colours of the light are those of the other pages


def test_a_story_is_printed_black_on_white_with_all_attempts(proving_site: Site, visitor: Visit) -> None:
    page = visitor.open(f"/delivery/{_ids(proving_site)['deferred']}", 200)
    attempts = page.locator(".timeline li")
    assert attempts.count() > 2
    page.emulate_media(media="print", color_scheme="dark")
    assert all(one.is_visible() for one in attempts.all())
    assert not page.locator(".bar").is_visible()
    assert not page.locator(".ways").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_proof_is_downloaded_and_checked(proving_site: Site, visitor: Visit, tmp_path: Path) -> None:
    page = visitor.open(f"/delivery/{_ids(proving_site)['delivered']}", 200)
    page.get_by_role("link", name="Proof of delivery").click()
    page.wait_for_url("**/proof")
    assert page.locator("h2").first.is_visible()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download the proof").click()
    proof = tmp_path / "proof.json"
    downloading.value.save_as(proof)
    keys = tmp_path / "keys.json"
    keys.write_text(httpx.get(f"{proving_site.address}/.well-known/postwatch-keys.json", timeout=PATIENCE).text)
    verdict = check_proof(proof.read_bytes(), read_public_keys(keys))
    assert verdict.is_good
    assert verdict.document is not None
    assert json.loads(proof.read_bytes())["issuer"] == "Example Hosting"
    visitor.check()
