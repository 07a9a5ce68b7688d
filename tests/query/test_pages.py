from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import httpx
import pytest
from postwatch.producers.service.errors import PostwatchError, UnavailableError
from postwatch.query.errors import NotMigratedError
from postwatch.query.reports.servers import SHOWN_SERVERS
from postwatch.streams.contracts.outcome import Attempt, iso_time

from tests.query.conftest import DAY_MS, NOW_MS, TEXT_FIELDS, Office, Open, make_row, make_rows, refusing

VOID = {"meta", "link", "input", "img", "path", "circle", "rect", "br"}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}&amp;\x1b[31m\u202e\x00\n"
SHOWN = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}&amp;\\x1b[31m\\u202e\\x00\\n"


class Page(HTMLParser):
    """A page as a browser takes it: its elements, its words, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def checked(self, name: str) -> list[str | None]:
        """The values of the boxes of this name that are checked."""
        return [one["value"] for one in self.all("input") if one.get("name") == name and "checked" in one]

    def chosen(self, name: str) -> list[str | None]:
        """What is selected in the box of this name."""
        found: list[str | None] = []
        is_inside = False
        for tag, one in self.elements:
            if tag == "select":
                is_inside = one.get("name") == name
            elif tag == "option" and is_inside and "selected" in one:
                found.append(one.get("value"))
        return found

    def field(self, name: str) -> str | None:
        return next(one.get("value") for one in self.all("input") if one.get("name") == name)


def read_page(site: httpx.Client, path: str = "/", expected: int = 200, /, **asked: str) -> Page:
    answer = site.get(path, params=asked or None)
    assert answer.status_code == expected
    return Page(answer.text)


def open_rows(site: httpx.Client, page: Page) -> list[Page]:
    """What a reader sees who opens each row of a list."""
    return [read_page(site, one["data-of"] or "") for one in page.all("details") if "data-of" in one]


def test_the_first_visit_asks_for_an_account(empty_site: httpx.Client) -> None:
    page = read_page(empty_site)
    assert "Run Report" in page.words
    assert "Show All" in page.words
    assert page.all("table") == []
    labelled = {one["for"] for one in page.all("label")}
    assert labelled == {one["id"] for one in page.all("input") + page.all("select") if one.get("type") != "hidden"}


def test_rows_are_shown_with_time_recipient_status_and_message(office: Office, open_site: Open) -> None:
    attempts = tuple(Attempt(NOW_MS - at, "deferred", 451, "451 later", "mx.example.net", "192.0.2.7") for at in (9, 5))
    row = make_row(
        status="bounced",
        response="550 no such user",
        reason="unknown-user",
        recipient="final@example.net",
        original_recipient="alias@example.org",
        subject="Angebot",
        tls="TLS1.3",
        remote_host="mx.example.net",
        attempts=attempts,
        log_lines=("the first line", "the second line"),
        message_id="m1@example.org",
    )
    office.insert([row])
    office.beat("web1", age_ms=1000)
    site = open_site(office.service)
    page = read_page(site, account="bob@example.org")
    [opened] = open_rows(site, page)
    for words in (
        "Last event",
        "Sent",
        "Recipient",
        "Status",
        "Reply",
        "final@example.net",
        "alias@example.org",
        "Failed",
        "unknown user",
        "550 no such user",
    ):
        assert words in page.words
    for words in ("550 no such user", "Angebot", "TLS1.3", "the first line", "the second line", "1.0 KB"):
        assert words in opened.words
    assert "the first line" not in page.words  # most rows of a list are never opened
    assert sum("451 later" in words for words in opened.words) == 2
    times = {
        one["datetime"] for one in page.all("time") + opened.all("time")
    }  # which a script shows in the browser's zone
    assert {iso_time(row.updated_at), *(iso_time(one.at) for one in attempts)} <= times
    assert "/trace?id=m1%40example.org" in [one["href"] for one in opened.all("a")]
    assert all("silent" not in words for words in page.words)


def test_run_report_narrows_and_show_all_does_not(office: Office, open_site: Open) -> None:
    office.insert([*make_rows(3), make_row(recipient="failed@example.net", status="bounced")])
    site = open_site(office.service)
    asked = {"account": "bob@example.org", "recipient": "reader1", "status": "accepted", "days": "7"}
    page = read_page(site, **asked)
    assert "reader1@example.net" in page.words
    assert "reader2@example.net" not in page.words
    assert page.field("recipient") == "reader1"
    assert page.chosen("days") == ["7"]
    assert page.checked("status") == ["accepted"]
    everything = read_page(site, **asked, show="all")
    assert {"reader1@example.net", "reader2@example.net", "failed@example.net"} <= set(everything.words)
    assert everything.field("recipient") == ""
    assert everything.field("account") == "bob@example.org"


def test_pages_are_links(office: Office, open_site: Open) -> None:
    office.insert(make_rows(70))
    site = open_site(office.service)
    first = read_page(site, account="bob@example.org", status="accepted")
    assert "reader49@example.net" in first.words
    assert "reader50@example.net" not in first.words
    assert "Newest" not in first.words
    older = next(one["href"] or "" for one in first.all("a") if one.get("rel") == "next")
    second = Page(site.get(older).text)
    assert "reader49@example.net" not in second.words
    assert {"reader50@example.net", "reader69@example.net", "Newest"} <= set(second.words)
    assert "Older" not in second.words
    assert second.checked("status") == ["accepted"]


def test_no_mail_does_not_look_like_no_data(office: Office, open_site: Open) -> None:
    site = open_site(office.service)
    words = " ".join(read_page(site, account="bob@example.org").words)
    assert "No mail found for bob@example.org in the last 30 days." in words
    assert "No mail server has reported yet" in words
    office.beat("web1", age_ms=1000)
    office.beat("web2", age_ms=600_000)
    page = read_page(site, account="bob@example.org")
    assert any(
        "1 of 2 servers is silent (web2 for 10 min): its newest mail may be missing here." in words
        for words in page.words
    )
    assert "/servers" in [one["href"] for one in page.all("a")]
    narrowed = read_page(site, account="bob@example.org", recipient="x", status="failed")
    assert any("in the last 30 days with recipient x and status failed." in words for words in narrowed.words)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"account": "@"}, "'@' is not a valid account: use user@domain, @domain or a system user"),
        (
            {"account": "bob@example.org", "days": "31"},
            "days=31 is out of range: use 1 to 30 (mail is kept for 30 days)",
        ),
        ({"account": "bob@example.org", "days": "many"}, "days 'many' is not a whole number"),
        (
            {"account": "bob@example.org", "cursor": "zzz"},
            "the cursor is not valid: leave it out to start with the first page",
        ),
        ({"account": "bob@example.org", "status": "<b>"}, "'<b>' is not a valid status"),
        ({"show": "all"}, "'' is not a valid account"),
    ],
)
def test_a_wrong_question_keeps_the_form(empty_site: httpx.Client, asked: dict[str, str], words: str) -> None:
    page = read_page(empty_site, "/", 422, **asked)
    assert any(words in one for one in page.words)
    assert page.field("account") == asked.get("account", "")


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("no ClickHouse (NewConnectionError) <b>; set POSTWATCH_X"),
        NotMigratedError("run `postwatch x`"),
    ],
)
def test_a_page_says_plainly_that_there_are_no_reports(open_site: Open, error: PostwatchError) -> None:
    site = open_site(refusing(error))
    for path in ("/", "/?account=bob@example.org", "/servers", "/trace?id=x"):
        answer = site.get(path)
        assert answer.status_code == 503
        assert "Reports are not available at the moment. Try again in a minute." in Page(answer.text).words
        assert answer.headers["Retry-After"]
        assert not re.search("POSTWATCH|NewConnection|postwatch x|ClickHouse", answer.text)
        assert "No mail" not in answer.text


def test_strangers_words_stay_words(office: Office, open_site: Open) -> None:
    text = dict.fromkeys(TEXT_FIELDS, HOSTILE)
    kept = {"account": "bob@example.org", "account_domain": "example.org", "message_id": f"m1{HOSTILE}"}
    attempt = Attempt(NOW_MS, HOSTILE, 550, HOSTILE, HOSTILE, HOSTILE)
    office.insert([make_row(**{**text, **kept}, attempts=(attempt,), log_lines=(HOSTILE,))])
    office.beat(HOSTILE, age_ms=DAY_MS)
    site = open_site(office.service)
    for page in (
        read_page(site, account="bob@example.org"),
        *open_rows(site, read_page(site, account="bob@example.org")),
        read_page(site, "/trace", id="m1" + HOSTILE.rstrip("\n").replace("\x00", "").replace("\x1b", "")),
        read_page(site, "/servers"),
        read_page(site, "/", 422, account=HOSTILE, recipient=HOSTILE, status=HOSTILE, days=HOSTILE, cursor=HOSTILE),
    ):
        ours = {"/static/local-time.js", "/static/live.js", "/static/row-details.js"}
        assert {one.get("src") for one in page.all("script")} <= ours
        assert {one.get("src") for one in page.all("img")} <= {"/static/icon.svg"}
        assert not any(name.startswith("on") or name == "style" for _tag, names in page.elements for name in names)
        assert not any(character in "".join(page.words) for character in "\x1b\u202e\x00")
        assert "49" not in page.words
    shown = read_page(site, account="bob@example.org").words
    assert SHOWN in shown


def test_the_trace_page(office: Office, open_site: Open) -> None:
    office.insert(make_rows(2, message_id="m1@example.org"))
    site = open_site(office.service)
    page = read_page(site, "/trace", id="<m1@example.org>")
    assert {"reader0@example.net", "reader1@example.net"} <= set(page.words)
    assert any(
        "No message found for 'unknown' in the last 30 days." in words
        for words in read_page(site, "/trace", id="unknown").words
    )
    assert {one["id"] for one in read_page(site, "/trace").all("input") if one.get("type") != "hidden"} == {"find"}
    assert page.field("q") == "<m1@example.org>"
    assert read_page(site, "/trace", 422, id="a\tb\x01").field("q")


def test_the_servers_page(office: Office, open_site: Open) -> None:
    office.beat("web1", age_ms=1000, lag_bytes=2_500_000)
    office.beat("web2", age_ms=600_000, last_line_ms=0)
    page = read_page(open_site(office.service), "/servers")
    assert {"web1", "Alive", "2.5 MB", "web2", "Silent", "10 min ago", "none yet", "2 servers, 1 silent"} <= set(
        page.words
    )


def test_the_servers_page_shows_the_silent_first_and_of_many_some(office: Office, open_site: Open) -> None:
    for number in range(SHOWN_SERVERS + 2):
        office.beat(f"web{number:03}", age_ms=600_000 if number == 150 else 1000)
    site = open_site(office.service)
    page = read_page(site, "/servers")
    links = [one["href"] for one in page.all("a") if (one["href"] or "").startswith("/servers/")]
    assert links[:2] == ["/servers/web150", "/servers/web000"]
    assert len(links) == SHOWN_SERVERS
    assert {"202 servers, 1 silent", "200 of 202 are shown, the silent ones first."} <= set(page.words)
    some = read_page(site, "/servers", matching="WEB20", state="alive")
    assert {"web200", "web201", "2 servers, 0 silent"} <= set(some.words)
    assert some.field("matching") == "WEB20"
    assert "No server matches." in read_page(site, "/servers", state="retired").words
    assert any("is not a valid state" in words for words in read_page(site, "/servers", 422, state="asleep").words)


def test_nothing_is_loaded_from_elsewhere(empty_site: httpx.Client) -> None:
    for path in ("/", "/servers", "/nothing"):
        page = Page(empty_site.get(path).text)
        addresses = [
            one.get(name) for _tag, one in page.elements for name in ("href", "src", "action") if one.get(name)
        ]
        assert addresses
        assert all(address and address.startswith("/") and not address.startswith("//") for address in addresses)
    for path in ("/static/postwatch.css", "/static/local-time.js", "/static/icon.svg"):
        answer = empty_site.get(path)
        assert answer.status_code == 200
        assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")


def test_a_bounce_is_shown_where_it_is_asked_for_and_leads_to_its_message(office: Office, open_site: Open) -> None:
    office.insert([make_row(sender="", parent_queue_id="1tPARE-NT&", direction="received")])
    site = open_site(office.service)
    nothing = "No mail found for bob@example.org in the last 30 days."
    assert nothing in read_page(site, account="bob@example.org").words
    [opened] = open_rows(site, read_page(site, account="bob@example.org", bounces="yes"))
    assert "The message that bounced" in opened.words
    assert "/trace?id=1tPARE-NT%26" in [one["href"] for one in opened.all("a")]
    assert nothing in read_page(site, account="bob@example.org", bounces="yes", show="all").words


def test_a_reply_of_several_lines_is_shown_as_such(office: Office, open_site: Open) -> None:
    reply = r"550-5.1.1 No such user <b>\n550 5.1.1 Ask the recipient"
    attempt = Attempt(NOW_MS, "bounced", 550, reply, "", "")
    office.insert([make_row(status="bounced", response=reply, attempts=(attempt,), log_lines=(reply,))])
    site = open_site(office.service)
    answer = site.get("/", params={"account": "bob@example.org"})
    [one] = Page(answer.text).all("details")[-1:]
    opened = site.get(one["data-of"] or "").text
    lines = "<bdi>550-5.1.1 No such user &lt;b&gt;</bdi><br><bdi>550 5.1.1 Ask the recipient</bdi>"
    assert answer.text.count(lines) == opened.count(lines) == 1  # in the table, and among the facts
    words_of_it = Page(opened).words
    assert sum(words.endswith("550-5.1.1 No such user <b>") for words in words_of_it) == 2  # and in the attempt
    assert reply in words_of_it  # the log line, as it is


def test_every_link_holds_names_that_no_address_does(office: Office, open_site: Open) -> None:
    """Each link that a page makes of an account, a domain, an id or a server leads to what it names."""
    account, odd = "we/b%41?#&+ird@ex%ample/x.org", "a/b%41?c#d&e+f;g"
    office.insert(
        [
            make_row(
                account=account,
                account_domain=account.partition("@")[2],
                sender=account,
                recipient=f"{odd}@far/1%.example",
                message_id=f"{odd}@x",
                queue_id=odd,
                parent_queue_id=odd,
                server=odd,
                status=status,
                reason=reason,
                remote_provider=odd,
                queued_at=NOW_MS - number * 1000,
                updated_at=NOW_MS - number * 1000,
            )
            for number, (status, reason) in enumerate([("bounced", "policy"), ("deferred", "dns")])
        ]
    )
    site = open_site(office.service)
    starts = [f"/?{urlencode({'account': account})}", f"/trace?{urlencode({'id': odd})}"]
    for by in ("account", "domain", "server", "provider"):
        starts += [f"/{page}?by={by}" for page in ("bounces", "queue", "statistics")]
    links = {link for start in starts for link in _links(site.get(start))}
    odd_links = sorted(link for link in links if "%25" in link)
    for page in ("/?", "/trace?", "/queue?", "/statistics?"):
        assert any(link.startswith(page) for link in odd_links), page
    for link in odd_links:
        answer = site.get(link)
        assert answer.status_code in (200, 303), link
        assert {"Location"} & set(answer.headers) or "41?" in answer.text, link
    told = site.get(f"/api/v1/accounts/{quote(account, safe='')}/deliveries").json()
    assert len(told["deliveries"]) == 2


def _links(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.url
    found = (one.get("href") or "" for one in Page(answer.text).all("a"))
    return {link for link in found if link.startswith("/")}
