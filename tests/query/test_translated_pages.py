"""Each page in a made-up language: no English word is left, and the page is written from right to left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.query.web import languages as languages_module
from postwatch.query.web.languages import languages
from postwatch.streams.contracts.outcome import REASONS, RESULTS, Attempt

from tests.query.conftest import NOW_MS, Office, Open, make_row
from tests.translations.pseudo import CODE, ShownWords, pseudo, write_pseudo_catalog

ACCOUNT = "βοβ@δ.εε"
OWNER = Viewer("βοβ", mailboxes=frozenset({ACCOUNT}))
TEXTS = {
    "sender": "άννα@δ.εε",
    "recipient": "γ@δ.εε",
    "subject": "Θέμα",
    "message_id": "1@ζ",
    "queue_id": "1τ",
    "server": "σ1",
    "response": "550 όχι",
    "enhanced_code": "5.1.1",
    "remote_host": "μ.εε",
    "remote_ip": "192.0.2.7",
    "remote_provider": "Πάροχος",
    "client_host": "π.εε",
    "client_ip": "192.0.2.8",
    "authenticated_as": "βοβ",
    "auth_method": "λ",
    "router": "ρ",
    "transport": "τ",
    "tls": "1.3",
    "parent_queue_id": "0τ",
    "next_queue_id": "2τ",
    "original_recipient": "όλοι@δ.εε",
    "log_lines": ("γραμμή",),
    "attempts": (Attempt(NOW_MS, "deferred", 451, "451 όχι", "μ.εε", "192.0.2.7"),) * 2,
}
"""Data in Greek: whatever stands in Latin letters is ours."""


@pytest.fixture(autouse=True)
def _pseudo_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write_pseudo_catalog(tmp_path)
    monkeypatch.setattr(languages_module, "LOCALES", tmp_path)
    languages.cache_clear()
    yield
    languages.cache_clear()


def _fill(office: Office) -> None:
    known: dict[str, Any] = {**TEXTS, "account": ACCOUNT}
    office.insert(
        [
            make_row(**{**known, "queue_id": f"1τ{number}", "status": status, "reason": reason, "delay_ms": delay_ms})
            for number, (status, reason, delay_ms) in enumerate(
                [(status, "policy", 90_000) for status in RESULTS]
                + [("bounced", reason, 300_000_000) for reason in REASONS]
                + [("deferred", reason, 5) for reason in REASONS]
            )
        ]
    )
    office.insert([make_row(**{**known, "direction": "received", "sender": ""})])
    office.beat("σ1", age_ms=1000)
    office.beat("σ2", age_ms=900_000, lag_bytes=5000, last_line_ms=0)


def _untranslated(answer: httpx.Response, is_piece: bool = False) -> list[tuple[str, str]]:
    """What is English on a page, each with the page's address."""
    page = ShownWords(answer.text)
    assert is_piece or (page.language, page.direction) == (CODE, "rtl")
    return [(answer.url.path, text) for text in page.english()]


@pytest.mark.parametrize("viewer", [ENGINEER, OWNER], ids=["engineer", "owner"])
def test_no_page_shows_a_text_that_was_not_translated(viewer: Viewer, office: Office, open_site: Open) -> None:
    site = open_site(office.service, viewer, CODE)
    empty = ("/", "/servers", "/bounces", "/bounces?unusual=yes", "/trace?id=1@ζ", f"/?account={ACCOUNT}")
    found = [text for path in empty for text in _untranslated(site.get(path))]
    _fill(office)
    for path in (
        "/",
        "/servers",
        "/bounces",
        "/bounces?last=day&by=domain,reason",
        "/bounces?since=ζ",
        "/bounces?cursor=ζ",
        "/bounces?since=2026-01-01",
        "/ζ",
        "/trace?id=1@ζ",
        "/trace?id=",
        "/trace",
        f"/?account={ACCOUNT}",
        f"/?account={ACCOUNT}&status=failed&text=Θέμα&days=3",
        f"/?account={ACCOUNT}&recipient=νν&days=1",
        f"/?account={ACCOUNT}&days=99",
        f"/?account={ACCOUNT}&since=ζ",
        f"/?account={ACCOUNT}&since=2026-11-20&until=2026-11-01",
        f"/?account={ACCOUNT}&cursor=ζ",
        "/?account=@",
        "/delivery/ζ",
        f"/download/account_deliveries.csv?account={ACCOUNT}&days=99",
    ):
        found += _untranslated(site.get(path))
    assert found == []


@pytest.mark.parametrize("viewer", [ENGINEER, OWNER], ids=["engineer", "owner"])
def test_no_story_holds_a_text_that_was_not_translated(viewer: Viewer, office: Office, open_site: Open) -> None:
    site = open_site(office.service, viewer, CODE)
    _fill(office)
    rows = site.get(f"/api/v1/accounts/{ACCOUNT}/deliveries").json()["deliveries"]
    assert len(rows) > len(REASONS)
    found = [text for row in rows for text in _untranslated(site.get(f"/delivery/{row['id']}"))]
    found += [text for row in rows for text in _untranslated(site.get(f"/delivery/{row['id']}/details"), True)]
    assert found == []


def test_nobody_is_told_so_in_his_language(office: Office, open_site: Open) -> None:
    assert _untranslated(open_site(office.service, None, CODE).get("/")) == []


def test_a_text_that_was_not_translated_is_found() -> None:
    assert ShownWords("<p>Show</p>").english() == ["Show"]
    assert ShownWords('<img alt="Show"><i title="Hide">1</i>').english() == ["Show", "Hide"]
    assert ShownWords('<p lang="de">Sprache</p><p>5 KB</p><script>let me</script>').english() == []
    assert pseudo("Show %(num)s <b>rows</b>") == "Ｓｈｏｗ %(num)s <b>ｒｏｗｓ</b>"
