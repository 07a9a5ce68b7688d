from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.service.errors import SettingsError
from postwatch.query.errors import FilterError
from postwatch.query.translation import PLAIN, gettext, language, ngettext, speaking
from postwatch.query.web.languages import accepted_language, language_of_setting, languages
from postwatch.query.web.rendering import FOLDER

from tests.query.conftest import Office, Open
from tests.query.test_pages import Page

MOMENT = datetime(2026, 11, 23, 13, 42, 18, tzinfo=UTC)
BACK = "/?account=bob%40example.org"


def _choose(site: httpx.Client, language: str, back: str = "/") -> httpx.Response:
    return site.post("/language", data={"language": language, "back": back})


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("de", "de"),
        ("de-AT,en;q=0.5", "de"),
        ("fr-FR, es-MX;q=0.8, en;q=0.7", "es"),
        ("en;q=0.2, id;q=0.9", "id"),
        ("DE;q=1.0", "de"),
        ("de;q=0, es;q=0.1", "es"),
        ("fr, it", None),
        ("*", None),
        ("", None),
        ("de;q=nan, ;;,,=", None),
    ],
)
def test_the_browser_asks_for_a_language(header: str, code: str | None) -> None:
    found = accepted_language(header)
    assert (found.code if found else None) == code


@given(st.text(max_size=200))
def test_no_header_breaks_the_choice(header: str) -> None:
    accepted_language(header)


def test_a_page_is_in_the_language_that_the_viewer_chose_else_the_browsers_else_the_settings(
    office: Office, open_site: Open
) -> None:
    site = open_site(office.service, language="id")
    assert Page(site.get("/").text).all("html") == [{"lang": "id", "dir": "ltr", "data-zone": "UTC"}]
    answer = site.get("/", headers={"accept-language": "de"})
    assert answer.headers["content-language"] == "de"
    assert {"Accept-Language", "Cookie"} <= set(answer.headers["vary"].split(", "))
    assert _choose(site, "es").status_code == 303
    assert Page(site.get("/", headers={"accept-language": "de"}).text).all("html")[0]["lang"] == "es"


def test_the_form_leads_back_to_the_page_that_it_stood_on(office: Office, open_site: Open) -> None:
    site = open_site(office.service)
    assert Page(site.get(BACK).text).field("back") == BACK
    answer = _choose(site, "de", BACK)
    assert answer.headers["location"] == BACK
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


@pytest.mark.parametrize(
    "back",
    ["//evil.example/", "/\\evil.example", "https://evil.example", "", "/a\r\nx: y", "/\t/evil.example", "\\\\x"],
)
def test_the_form_leads_nowhere_else(back: str, office: Office, open_site: Open) -> None:
    assert _choose(open_site(office.service), "de", back).headers["location"] == "/"


def test_a_language_that_there_is_not_is_refused(office: Office, open_site: Open) -> None:
    site = open_site(office.service)
    assert _choose(site, "../../etc").status_code == 422
    assert site.post("/language", content=b"back=" + b"x" * 20_000).status_code == 422
    site.cookies.set("postwatch_language", "tlh")
    assert site.get("/").status_code == 200


def test_the_api_stays_english(office: Office, open_site: Open) -> None:
    site = open_site(office.service, language="de")
    site.cookies.set("postwatch_language", "de")
    asked = {"params": {"days": "99"}, "headers": {"accept-language": "de"}}
    answer = site.get("/api/v1/accounts/bob@example.org/deliveries", **asked)  # type: ignore[arg-type]
    assert answer.json()["error"]["message"] == "days=99 is out of range: use 1 to 30 (mail is kept for 30 days)"
    assert "content-language" not in answer.headers


def test_an_error_says_its_values_in_every_language() -> None:
    error = FilterError("There is no page at %(path)s", path="/100%/%(x)s")
    assert str(error) == error.words() == "There is no page at /100%/%(x)s"
    for spoken in languages().values():
        with speaking(spoken):
            assert "/100%/%(x)s" in error.words()
    assert str(error) == "There is no page at /100%/%(x)s"


def test_numbers_and_times_are_written_as_the_language_does() -> None:
    known = languages()
    assert [known[code].number(1234567) for code in ("en", "de", "es")] == ["1,234,567", "1.234.567", "1.234.567"]
    assert known["de"].number(0.25, 1) == "0,2"
    assert known["de"].time(MOMENT) == "23.11.2026, 13:42:18"
    assert known["en"].time(MOMENT) == PLAIN.time(MOMENT) == "2026-11-23 13:42:18"
    assert PLAIN.number(1234567) == "1234567"


def test_outside_a_page_words_are_english() -> None:
    with speaking(languages()["de"]):
        assert language().code == "de"
    assert language() is PLAIN
    assert gettext("Language") == "Language"
    assert ngettext("%(num)s server", "%(num)s servers", 1200) == "1200 servers"


def test_a_setting_that_names_no_language_ends_the_start() -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_QUERY_LANGUAGE='xx' is not known: use en, de, es, id"):
        language_of_setting("xx")


def test_a_language_from_right_to_left_turns_its_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ar.po").write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n')
    monkeypatch.setattr("postwatch.query.web.languages.LOCALES", tmp_path)
    languages.cache_clear()
    try:
        assert {code: one.direction for code, one in languages().items()} == {"en": "ltr", "ar": "rtl"}
    finally:
        monkeypatch.undo()
        languages.cache_clear()


def test_no_style_knows_left_from_right() -> None:
    """Sides are said by where a line starts and ends; both at once are no side."""
    style = (FOLDER / "static/postwatch.css").read_text()
    style = style.replace("padding-left: 14px; padding-right: 14px;", "")
    side = r"(?:(?:margin|padding|border|inset)-)?(?<![-\w])(?:left|right)\s*:|(?:margin|padding|border)-(?:left|right)"
    assert re.findall(rf"{side}|text-align:\s*(?:left|right)|float:\s*(?:left|right)", style) == []
