"""The list: its form, counts, columns, order and zone; what is kept for the next visit, and what its addresses hold."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from postwatch.producers.service.errors import SettingsError
from postwatch.query.filters import BOXES
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.query.web.columns import COLUMNS, chosen_columns, offered_columns, read_fields
from postwatch.query.web.list_choice import COOKIE, ListChoice
from postwatch.query.web.track import status_label, telling_reason
from postwatch.query.web.trail import trail_words
from postwatch.query.web.zone_choice import COOKIE as ZONE_COOKIE
from postwatch.query.web.zone_choice import zone_of_setting
from postwatch.streams.contracts.outcome import KEY, RESULTS, Attempt, Outcome

from tests.query.conftest import DAY_MS, NOW_MS, TEXT_FIELDS, Office, Open, make_row, make_rows
from tests.query.test_pages import Page, read_page

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
RESELLER = Viewer("reseller", domains=frozenset({"example.org", "example.com"}))
OWNER = Viewer("owner", domains=frozenset({"example.org"}))


def _headings(page: Page) -> list[str]:
    return [str(one["class"]).removeprefix("c-") for one in page.all("th")]


def _links(page: Page, name: str = "") -> list[dict[str, list[str]]]:
    """The questions of the links of the page, those that hold this word."""
    found = [parse_qs(urlsplit(one.get("href") or "").query) for one in page.all("a")]
    return [one for one in found if not name or name in one]


def test_a_mailbox_owner_sees_his_newest_mail_on_arrival_and_no_account_box(office: Office, open_site: Open) -> None:
    office.insert([*make_rows(2), make_row(account="carol@example.org", recipient="other@example.net")])
    site = open_site(office.service, BOB)
    page = read_page(site)
    assert {"reader0@example.net", "reader1@example.net"} <= set(page.words)
    assert [one for one in page.all("input") if one.get("name") == "account"] == []
    stranger = read_page(site, account="carol@example.org")
    assert "other@example.net" not in stranger.words
    assert "reader0@example.net" in stranger.words
    for one in page.all("a"):
        assert "bob" not in str(one.get("href"))
    file = next(one["href"] or "" for one in page.all("a") if "download" in one)
    assert "reader1@example.net" in site.get(file).text


def test_who_owns_several_chooses_among_them_and_an_engineer_types(office: Office, open_site: Open) -> None:
    office.insert([make_row(), make_row(account="eve@example.com", recipient="eves@example.net")])
    page = read_page(open_site(office.service, RESELLER))
    offered = [one["value"] for one in page.all("option") if str(one.get("value")).startswith("@")]
    assert offered == ["@*", "@example.com", "@example.org"]
    assert [one["account"] for one in _links(page, "account")] == [["@*"], ["@example.com"], ["@example.org"]]
    assert page.all("table") == []
    for owner in (OWNER, replace(OWNER, system_users=frozenset({"owner"}))):
        only = read_page(open_site(office.service, owner))
        assert only.field("account") == "@example.org"
        assert "alice@example.net" in only.words
    assert read_page(open_site(office.service)).all("datalist") == []


def test_an_owner_asks_for_all_of_his_domains_at_once(office: Office, open_site: Open) -> None:
    accounts = ("bob@example.org", "eve@example.com", "zoe@other.example")
    office.insert([make_row(account=one, recipient=f"of-{one}") for one in accounts])
    site = open_site(office.service, RESELLER)
    page = read_page(site, account="@*", show="all")
    assert {"of-bob@example.org", "of-eve@example.com"} <= set(page.words)
    assert "of-zoe@other.example" not in page.words
    assert "account" in _headings(page)  # whose mail each row is
    assert "account" in _headings(read_page(site, account="@example.org"))
    assert "account" not in _headings(read_page(site, account="bob@example.org"))
    answer = site.get("/api/v1/accounts/@*/deliveries").json()
    assert sorted(row["account"] for row in answer["deliveries"]) == ["bob@example.org", "eve@example.com"]
    assert answer["counts"]["accepted"] == 2
    file = site.get("/download/account_deliveries.csv", params={"account": "@*"}).text
    assert (file.count("of-bob"), file.count("of-eve"), file.count("of-zoe")) == (1, 1, 0)
    for viewer in (ENGINEER, BOB):  # neither owns a domain
        asked = {"account": "@*"}
        answer = open_site(office.service, viewer).get("/api/v1/accounts/@*/deliveries")
        assert answer.status_code == 422, asked


def test_a_page_leads_back_to_the_one_before(office: Office, open_site: Open) -> None:
    office.insert(make_rows(9))
    site = open_site(office.service)

    def link(page: Page, way: str) -> str:
        return next((one["href"] or "" for one in page.all("a") if one.get("rel") == way), "")

    def rows(page: Page) -> list[str]:
        return [one["id"] or "" for one in page.all("tbody")]

    for order in ("event", "recipient"):
        pages = [read_page(site, account="bob@example.org", limit="2", by=order)]
        assert link(pages[0], "prev") == ""
        while older := link(pages[-1], "next"):
            pages.append(Page(site.get(older).text))
        assert [len(rows(page)) for page in pages] == [2, 2, 2, 2, 1]
        back = pages[-1]
        for page in reversed(pages[:-1]):
            back = Page(site.get(link(back, "prev")).text)
            assert rows(back) == rows(page)
        assert link(back, "prev") == ""
    for trail in ("..", "x" * 2000, "-.<b>", "%00"):  # what is no way of ours leads nowhere
        stray = site.get(link(pages[0], "next"), params={"trail": trail})
        assert stray.status_code == 200
    assert len(trail_words(("a" * 90,) * 100)) <= 1500


def test_who_has_one_mailbox_is_not_led_to_tables_of_several_accounts(office: Office, open_site: Open) -> None:
    for viewer, is_led in ((ENGINEER, True), (RESELLER, True), (OWNER, True), (BOB, False)):
        links = [one.get("href") for one in read_page(open_site(office.service, viewer)).all("a")]
        assert ("/queue" in links) == is_led, viewer.name


def test_everybody_has_a_box_that_searches_all_his_mail(office: Office, open_site: Open) -> None:
    for viewer in (ENGINEER, RESELLER, OWNER, BOB):
        forms = [one.get("action") for one in read_page(open_site(office.service, viewer)).all("form")]
        assert "/search" in forms, viewer.name


def test_only_who_has_logged_in_reads_of_times_and_the_api(office: Office, open_site: Open) -> None:
    for viewer, status in ((ENGINEER, 200), (None, 403)):
        answer = open_site(office.service, viewer).get("/")
        assert answer.status_code == status
        for words in ("openapi.json", "Times are in"):
            assert (words in answer.text) == (viewer is not None)


@pytest.mark.parametrize("viewer", [ENGINEER, BOB, OWNER], ids=lambda viewer: viewer.name)
def test_a_column_shows_the_same_whatever_else_is_read_of_a_row(viewer: Viewer, office: Office) -> None:
    """Also what its viewer may not see: the login of a local sender, the target of an alias, an address in a reply."""
    told = {name: f"{name} of eve@far.example" for name in TEXT_FIELDS if name not in KEY}
    told |= {"account_domain": "example.org", "status": "bounced", "result": "failed", "remote_host": "web1"}
    attempt = Attempt(NOW_MS, "deferred", 451, "451 later, eve@far.example", "web1", "192.0.2.7")
    known = {**told, "size_bytes": 5000, "delay_ms": 99_000, "attempts": (attempt, attempt)}
    office.insert(
        [
            make_row(**{**known, "direction": direction, "sender": sender, "original_recipient": original})
            for direction, sender, original in (
                ("received", "carol@example.com", ""),
                ("received", "carol@example.org", "all@example.org"),
                ("sent", "bob@example.org", "team@other.example"),
            )
        ]
    )
    question = AccountQuestion("bob@example.org", limit=9)
    whole = {row.id: row for row in office.service.answer(viewer, ACCOUNT, question).rows}
    assert whole
    for column in offered_columns(viewer):
        for row in office.service.answer(viewer, ACCOUNT, question, read_fields([column])).rows:
            if column.words:
                assert column.words(row) == column.words(whole[row.id]), column.name
            shown = (status_label(row), telling_reason(row), row.recipient, row.original_recipient, row.response)
            same = whole[row.id]
            assert shown == (
                *(status_label(same), telling_reason(same)),
                *(same.recipient, same.original_recipient, same.response),
            )


def test_several_boxes_are_one_question_and_counts_lead_to_each(office: Office, open_site: Open) -> None:
    office.insert([make_row(status=status, recipient=f"{status}@example.net") for status in RESULTS])
    site = open_site(office.service)
    page = read_page(site, account="bob@example.org")
    assert page.checked("status") == list(BOXES)
    page = read_page(site, "/?account=bob@example.org&status=deferred&status=blocked")
    assert page.checked("status") == ["deferred", "blocked"]
    shown = {word for word in page.words if word.endswith("@example.net")}
    assert shown == {"deferred@example.net", "rejected@example.net"}
    every = "&".join(f"status={word}" for word in BOXES)
    assert read_page(site, f"/?account=bob@example.org&{every}").checked("status") == list(BOXES)
    for link in _links(page, "status"):
        (word,) = link["status"]
        found = read_page(site, account="bob@example.org", status=word)
        if word in BOXES:
            assert found.checked("status") == [word]
            number = {"failures": 3}.get(word, 1)
            assert len(found.all("tbody")) == number
            assert str(number) in found.words


def test_a_status_that_has_no_box_keeps_one_of_its_own(office: Office, open_site: Open) -> None:
    page = read_page(open_site(office.service), account="bob@example.org", status="bounced,accepted")
    assert page.checked("status") == ["accepted", "bounced"]
    assert read_page(open_site(office.service), account="bob@example.org", status="failed").checked("status") == [
        "failures",
        "blocked",
    ]


def test_chosen_columns_and_order_are_kept_for_the_next_visit(office: Office, open_site: Open) -> None:
    office.insert(make_rows(3, size_bytes=5000))
    site = open_site(office.service)
    asked = {"account": "bob@example.org"}
    usual = _headings(read_page(site, **asked))
    assert usual == [column.name for column in COLUMNS if column.is_default]
    back = "/?account=bob%40example.org"
    fields = {"back": back, "column": ["recipient", "size", "nothing", "size"], "by": "recipient", "ascending": "yes"}
    answer = site.post("/list", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    cookie = answer.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    page = read_page(site, back)
    assert _headings(page) == ["recipient", "size"]
    assert page.all("th")[0]["aria-sort"] == "ascending"
    shown = [words for words in page.words if words.startswith("reader")]
    assert shown[0] == "reader0@example.net"
    assert "5.0 KB" in page.words
    newest = read_page(site, back + "&by=event")  # what an address says goes before what is kept
    assert "aria-sort" not in newest.all("th")[0]
    site.post("/list", data={"back": back, "reset": "yes"})
    assert _headings(read_page(site, back)) == usual


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:x", "", "x"]
)
def test_a_choice_leads_to_no_other_site(open_site: Open, office: Office, back: str) -> None:
    answer = open_site(office.service).post("/list", data={"back": back, "column": "size"})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("cookie", ["x", "event-down", ".....", "size-down.__class__", "%00", '"', "a" * 3000])
def test_a_cookie_that_is_not_ours_changes_nothing_else(office: Office, open_site: Open, cookie: str) -> None:
    office.insert(make_rows(1))
    site = open_site(office.service)
    answer = site.get("/", params={"account": "bob@example.org"}, headers={"cookie": f"{COOKIE}={cookie}"})
    assert "reader0@example.net" in Page(answer.text).words


def test_a_column_that_a_viewer_may_not_see_is_not_offered(office: Office, open_site: Open) -> None:
    assert {column.name for column in COLUMNS if column.is_for_engineers} == {"server"}
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names))
    assert offered_columns(ENGINEER) == COLUMNS
    assert "server" not in {column.name for column in chosen_columns(BOB, ["server", "size"], "")}
    assert chosen_columns(BOB, ["server"], "") == chosen_columns(BOB, [], "")
    office.insert([make_row(server="secret.example.net")])
    site = open_site(office.service, BOB)
    site.cookies.set(COOKIE, ListChoice(tuple(names)).to_cookie())
    answer = site.get("/")
    assert _headings(Page(answer.text)) == [name for name in names if name != "server"]
    assert "secret.example.net" not in answer.text


def test_every_column_can_be_shown_of_an_empty_and_of_a_full_row(office: Office, open_site: Open) -> None:
    row = make_row(subject="Angebot", router="dnslookup", transport="remote_smtp", tls="TLS1.3", client_ip="192.0.2.9")
    office.insert([Outcome(**{**row._asdict(), "original_recipient": "list@example.org"}), make_row(queue_id="empty")])
    site = open_site(office.service)
    site.cookies.set(COOKIE, ListChoice(tuple(column.name for column in COLUMNS)).to_cookie())
    page = read_page(site, account="bob@example.org")
    assert _headings(page) == [column.name for column in COLUMNS]
    assert {"Angebot", "dnslookup", "remote_smtp", "TLS1.3", "192.0.2.9", "example.net", "sent"} <= set(page.words)


def test_a_heading_orders_the_list_and_turns_it_round(office: Office, open_site: Open) -> None:
    office.insert([make_row(recipient=name) for name in ("b@example.net", "a@example.net", "c@example.net")])
    site = open_site(office.service)
    page = read_page(site, account="bob@example.org")
    assert {one["by"][0] for one in _links(page, "by")} >= {"sent", "sender", "recipient", "status"}
    (by_recipient,) = (one for one in _links(page, "by") if one["by"] == ["recipient"])
    assert by_recipient["ascending"] == ["yes"]
    up = read_page(site, account="bob@example.org", by="recipient", ascending="yes")
    shown = [word for word in up.words if word in ("a@example.net", "b@example.net", "c@example.net")]
    assert list(dict.fromkeys(shown)) == ["a@example.net", "b@example.net", "c@example.net"]
    (turned,) = (
        one
        for one in _links(up, "by")
        if one["by"] == ["recipient"] and "status" not in one and one.get("ascending") is None
    )
    assert turned["account"] == ["bob@example.org"]


def test_pages_in_an_order_are_links_that_keep_it(office: Office, open_site: Open) -> None:
    office.insert(make_rows(70))
    site = open_site(office.service)
    first = read_page(site, account="bob@example.org", by="recipient", ascending="yes")
    older = next(one["href"] or "" for one in first.all("a") if one.get("rel") == "next")
    second = Page(site.get(older).text)
    assert len(first.all("tbody")) == 50
    assert len(second.all("tbody")) == 20
    site.cookies.set(COOKIE, ListChoice(by="size").to_cookie())  # of another tab: the link still means what it meant
    assert len(Page(site.get(older).text).all("tbody")) == 20


def test_times_are_shown_and_read_in_the_viewers_zone(office: Office, open_site: Open) -> None:
    midnight = NOW_MS // DAY_MS * DAY_MS - DAY_MS
    row = make_row(queued_at=midnight - 3_600_000, updated_at=midnight - 3_600_000)
    office.insert([row])
    site = open_site(office.service)
    words = " ".join(read_page(site, account="bob@example.org").words)
    assert "Times are in UTC" in words.replace(" UTC .", " UTC.")
    site.cookies.set(ZONE_COOKIE, "auto:Asia%2FJakarta")
    page = read_page(site, account="bob@example.org")
    day = page.all("time")[0]["datetime"]
    assert day is not None
    assert day.endswith("T23:00:00.000Z")
    assert any(word.endswith(" 06:00:00") for word in page.words)
    assert page.field("zone") == "Asia/Jakarta"
    jakarta_day = next(word for word in page.words if word.endswith(" 06:00:00"))[:10]
    found = read_page(site, account="bob@example.org", since=jakarta_day, until=jakarta_day, zone="Asia/Jakarta")
    assert len(found.all("tbody")) == 1
    # The same link, opened by somebody in UTC: the same rows, in his own words.
    site.cookies.clear()
    other = read_page(site, account="bob@example.org", since=jakarta_day, until=jakarta_day, zone="Asia/Jakarta")
    assert len(other.all("tbody")) == 1
    assert (other.field("since") or "").endswith(" 17:00")
    assert other.field("zone") == "UTC"
    assert read_page(site, account="bob@example.org", since=jakarta_day, until=jakarta_day).all("tbody") == []


def test_a_zone_is_chosen_by_a_form_and_given_back_to_the_browser(office: Office, open_site: Open) -> None:
    site = open_site(office.service)
    site.post("/list", data={"zone": "America/New_York"})
    page = read_page(site)
    assert page.all("html")[0]["data-zone"] == "America/New_York"
    assert page.chosen("zone") == []  # the form of the columns is there with the rows
    site.post("/list", data={"column": "size"})
    assert read_page(site).all("html")[0]["data-zone"] == "UTC"
    assert site.post("/list", data={"zone": "Mars/Olympus"}).status_code == 422
    with pytest.raises(SettingsError, match="POSTWATCH_QUERY_TIME_ZONE='Mars/Olympus' is not a time zone"):
        zone_of_setting("Mars/Olympus")


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("account", "@"),
        ("days", "many"),
        ("days", "31"),
        ("since", "24.11.2026"),
        ("until", "soon"),
        ("recipient", "x" * 999),
        ("text", "a\tb\x01"),
        ("direction", "both"),
        ("status", "lost"),
        ("zone", "Mars/Olympus"),
    ],
)
def test_what_is_wrong_is_said_next_to_its_field_and_nothing_is_lost(
    empty_site: httpx.Client, field: str, word: str
) -> None:
    asked = {"account": "bob@example.org", "recipient": "r1", "text": "t1", "since": "2026-11-01", field: word}
    page = read_page(empty_site, "/", 422, **asked)
    alerts = [one for one in page.all("p") if one.get("role") == "alert"]
    assert [one["id"] for one in alerts] == [f"{field}-wrong"]
    for name in ("account", "recipient", "text", "since"):
        assert page.field(name) is not None
        assert str(page.field(name)).startswith(asked[name].rstrip()[:1])
