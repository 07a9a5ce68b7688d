"""The search: what each kind of term finds, on the real engine, for an engineer and for a viewer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from postwatch.query.errors import FilterError, TooLargeError
from postwatch.query.reports import search, whole_rows
from postwatch.query.reports.report import Tables
from postwatch.query.reports.search import MOST_ROWS_AT_ONCE, REPORT, STEPS_MS, Found
from postwatch.query.reports.search_question import SearchQuestion, read_size
from postwatch.query.statements import Statement
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import KEY, RESULTS, Outcome

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, Open, make_row, make_rows

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
ORG = Viewer("org", domains=frozenset({"example.org"}))


def _search(office: Office, q: str = "", viewer: Viewer = ENGINEER, **asked: Any) -> Found:
    return office.service.answer(viewer, REPORT, SearchQuestion(q, **asked))


def _ids(found: Found) -> list[str]:
    return [row.queue_id for row in found.rows]


ROWS = [
    make_row(queue_id="1xVatV-0008Jo-O8", message_id="long.1234567890@web1", subject="Your invoice is late"),
    make_row(queue_id="AAAA1", sender="Carol@Shop.example", direction="received", client_ip="192.0.2.7"),
    make_row(queue_id="AAAA2", recipient="dave@Gmail.example", remote_host="mx1.gmail.example", remote_ip="192.0.2.9"),
    make_row(
        queue_id="AAAA3",
        status="bounced",
        reason="mailbox-full",
        remote_provider="Google",
        response="552 5.2.2 The mailbox is full",
        size_bytes=2_000_000,
    ),
    make_row(queue_id="AAAA4", account="eve@other.example", server="web2", client_host="dsl7.isp.example"),
    make_row(queue_id="AAAA5", next_queue_id="BBBB7 BBBB8", remote_ip="2001:db8::1"),
]


FINDS = [
    ("1xVatV-0008Jo-O8", "queue-id", ["1xVatV-0008Jo-O8"]),
    ("BBBB8", "queue-id", ["AAAA5"]),
    ("<long.1234567890@web1>", "message-id", ["1xVatV-0008Jo-O8"]),
    ("carol@shop.EXAMPLE", "address", ["AAAA1"]),
    ("Carol@Shop.example", "address", ["AAAA1"]),
    ("eve@other.example", "address", ["AAAA4"]),
    ("gmail.example", "domain", ["AAAA2"]),
    ("@shop.example", "domain", ["AAAA1"]),
    ("other.example", "domain", ["AAAA4"]),
    ("mx1.gmail.example", "host", ["AAAA2"]),
    ("isp.example", "host", ["AAAA4"]),
    ("web2", "host", ["AAAA4"]),
    ("192.0.2.7", "ip", ["AAAA1"]),
    ("[192.0.2.9]", "ip", ["AAAA2"]),
    ("2001:DB8:0::1", "ip", ["AAAA5"]),
    ("full mailbox", "words", ["AAAA3"]),
    ("5.2.2", "words", ["AAAA3"]),
    ("late INVOICE", "words", ["1xVatV-0008Jo-O8"]),
    ("mail", "words", []),
    ("nothing-like-it", "words", []),
]


def test_each_kind_of_term_finds_its_rows(office: Office) -> None:
    office.insert(ROWS)
    for q, kind, found in FINDS:
        answer = _search(office, q)
        assert sorted(_ids(answer)) == sorted(found), q
        assert answer.term is not None
        assert not found or answer.term.kind == kind, q
        assert answer.is_complete


def test_by_the_indexes_a_rare_term_finds_what_it_finds_without(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(19)
    hosts = ["mx.far.example", "FAR.example", "a.b.c.d.far.example", "c.d.far.example", "far", "x..far.example", ""]
    names = ["Ann@Far.example", "ann@far.example", "odd@name@far.example", "far.example", "", "ann@sub.far.example"]
    rows = [
        make_row(
            queue_id=f"R{number}",
            sender=chance.choice(names),
            recipient=chance.choice(names),
            original_recipient=chance.choice(names),
            client_host=chance.choice(hosts),
            remote_host=chance.choice(hosts),
            client_ip=chance.choice(["192.0.2.1", ""]),
            remote_ip=chance.choice(["192.0.2.1", "192.0.2.2"]),
            queued_at=NOW_MS - chance.randrange(20 * DAY_MS),
        )
        for number in range(300)
    ]
    office.insert(rows)
    office.client.command("OPTIMIZE TABLE deliveries FINAL")  # the indexes are made
    asked = [(host.lower(), "host") for host in (*hosts, "d.far.example", "b.c.d.far.example", "example")]
    asked += [(name, kind) for name in (*names, "name@far.example") for kind in ("address", "domain")]
    asked += [("192.0.2.1", "ip"), ("R7", "queue-id")]
    for q, kind in asked:
        if not q:
            continue
        found = []
        for most_rows in (MOST_ROWS_AT_ONCE, 1):  # 1: no term is rare
            monkeypatch.setattr(search, "MOST_ROWS_AT_ONCE", most_rows)
            found.append(sorted(_ids(_search(office, q, kind=kind, limit=1000))))
        assert found[0] == found[1], (q, kind)
        assert found[0] or kind == "domain" or q == "name@far.example", (q, kind)


def test_a_text_that_is_nothing_of_the_likeliest_kind_is_tried_as_another(office: Office) -> None:
    office.insert([make_row(response="250 queued as 7F3A9B21C4")])
    taken = _search(office, "7F3A9B21C4")
    assert (taken.term and taken.term.kind, len(taken.rows)) == ("words", 1)
    told = _search(office, "7F3A9B21C4", kind="queue-id")
    assert (told.term and told.term.kind, len(told.rows)) == ("queue-id", 0)
    assert REPORT.nothing_found(told) == "No mail found for '7F3A9B21C4' as a queue ID."


def test_the_filters_narrow_and_work_without_a_text(office: Office) -> None:
    office.insert(ROWS)
    assert len(_search(office).rows) == len(ROWS)
    assert _ids(_search(office, status="failed")) == ["AAAA3"]
    assert _ids(_search(office, reason="mailbox-full", provider="google")) == ["AAAA3"]
    assert _ids(_search(office, direction="received")) == ["AAAA1"]
    assert _ids(_search(office, server="WEB2")) == ["AAAA4"]
    assert _ids(_search(office, larger="1M")) == ["AAAA3"]
    assert "AAAA3" not in _ids(_search(office, smaller="1M"))
    assert _ids(_search(office, "example.org", status="failed")) == ["AAAA3"]
    assert _ids(_search(office, status="failed", reason="spam")) == []
    assert [read_size(words, "larger") for words in ("", "1500", "500k", "10 MB", "1GiB")] == [
        None,
        1500,
        512_000,
        10 * 1024**2,
        1024**3,
    ]
    for wrong in ({"larger": "big"}, {"reason": "bad"}, {"status": "x"}, {"days": 99}, {"cursor": "x"}):
        with pytest.raises(FilterError):
            _search(office, **wrong)


def test_a_row_counts_in_its_last_version_only(office: Office) -> None:
    rows = make_rows(30, status="deferred", response="451 try later")
    office.insert(rows)
    office.insert(
        [row._replace(status="delivered", result="accepted", response="250 OK", version=2) for row in rows[:28]]
    )
    assert _ids(_search(office, "try later", limit=5)) == [row.queue_id for row in rows[28:]]
    office.insert([row._replace(version=3, is_deleted=1) for row in rows])
    assert _search(office, "try later").rows == ()
    assert _search(office, "example.org").rows == ()


def test_pages_are_exact_while_rows_arrive_and_change(office: Office) -> None:
    """By brute force: what did not change is on exactly one page, in order; what changed may be on none or be new."""
    chance = random.Random(19)
    rows = [
        make_row(
            queue_id=f"C{number:05d}",
            queued_at=NOW_MS - chance.choice([1, 40, 3_000, 12_000, 30_000]) * MINUTE_MS,
            account=f"{chance.choice(['bob', 'eve', 'zoe'])}@{chance.choice(['example.org', 'other.example'])}",
            status=chance.choice(["delivered", "deferred", "bounced"]),
        )
        for number in range(300)
    ]
    rows = [row._replace(updated_at=row.queued_at + chance.randrange(0, 2) * 60_000) for row in rows]
    office.insert(rows)
    untouched = [row for row in rows[100:] if row.status == "bounced"]
    cursor = ""
    seen: list[Outcome] = []
    for page in range(100):
        found = _search(office, "example.org", status="bounced", limit=7, cursor=cursor)
        seen += found.rows
        changed = chance.choice(rows[:100])
        office.insert([changed._replace(version=page + 2, updated_at=NOW_MS + page, status="bounced")])
        office.insert([row._replace(version=page + 2) for row in rows[100:110]])
        office.insert([make_row(queue_id=f"NEW{page}", queued_at=NOW_MS + page, status="bounced")])
        cursor = found.next_cursor
        if not cursor:
            break
    expected = sorted(
        (row for row in untouched if row.account_domain == "example.org"), key=lambda row: row.updated_at, reverse=True
    )
    old = {row.queue_id for row in expected}
    assert len(old) > 20
    got = [row for row in seen if row.queue_id in old]
    assert sorted(row.queue_id for row in got) == sorted(old)
    assert [row.updated_at for row in got] == [row.updated_at for row in expected]
    assert [row.updated_at for row in seen] == sorted((row.updated_at for row in seen), reverse=True)


def _crowded_rows(seed: int) -> list[Outcome]:
    """Versions of rows of which many have the same account, the same milliseconds and the same queue id."""
    chance = random.Random(seed)
    times = [NOW_MS - minutes * MINUTE_MS for minutes in (1, 1, 50, 2_000, 2_000, 12_000, 30_000)]
    rows: list[Outcome] = []
    for number in range(120):
        row = make_row(
            account=f"{chance.choice(['bob', 'eve'])}@{chance.choice(['example.org', 'other.example'])}",
            queued_at=chance.choice(times),
            queue_id=f"Q{chance.randrange(30)}",
            recipient=f"r{number}@far.example",
        )
        for version in chance.sample(range(1, 6), chance.choice([1, 1, 2, 3])):
            rows.append(
                row._replace(
                    updated_at=row.queued_at + chance.choice([0, 5, 3 * MINUTE_MS]),
                    status=(status := chance.choice(["delivered", "bounced", "deferred"])),
                    result=RESULTS[status],
                    response=chance.choice(["452 over quota", "250 OK"]),
                    version=version,
                    is_deleted=int(version == 5),
                )
            )
    chance.shuffle(rows)
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_every_page_has_the_newest_rows_in_their_last_versions(
    seed: int, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By brute force; with keys that are read before the rows, and where there are too many for that."""
    rows = _crowded_rows(seed)
    for some in (rows[::3], rows[1::3], rows[2::3]):
        office.insert(some)
    last = {tuple(getattr(row, name) for name in KEY): row for row in sorted(rows, key=lambda row: row.version)}
    whole = [row for row in last.values() if not row.is_deleted]
    asked: list[tuple[str, str, str, Callable[[Outcome], bool]]] = [
        ("quota", "words", "", lambda row: "quota" in row.response),
        ("quota", "words", "bounced", lambda row: "quota" in row.response and row.status == "bounced"),
        ("", "", "bounced,deferred", lambda row: row.status in ("bounced", "deferred")),
        ("Q7", "queue-id", "", lambda row: row.queue_id == "Q7"),
        ("other.example", "domain", "", lambda row: row.account_domain == "other.example"),
    ]
    for most_keys in (20, search.MOST_KEYS):
        monkeypatch.setattr(search, "MOST_KEYS", most_keys)
        for q, kind, status, matches in asked:
            expected = sorted((row for row in whole if matches(row)), key=lambda row: row.updated_at, reverse=True)
            seen: list[Outcome] = []
            cursor, limit = "", 4 + seed * 9
            while True:
                found = _search(office, q, kind=kind, status=status, limit=limit, cursor=cursor)
                seen += found.rows
                cursor = found.next_cursor
                if not cursor:
                    break
                assert len(found.rows) == limit
            assert [row.updated_at for row in seen] == [row.updated_at for row in expected], (q, status, most_keys)
            assert sorted(map(str, seen)) == sorted(map(str, expected)), (q, status, most_keys)


def _changing_rows(seed: int) -> list[Outcome]:
    """Versions of rows that tell other senders, Message-IDs, hosts and times, a newer one an earlier time too."""
    chance = random.Random(seed)
    names = ["ann@far.example", "Ann@Far.example", "joe@near.example", ""]
    rows: list[Outcome] = []
    for number in range(60):
        row = make_row(
            account=chance.choice(["bob@example.org", "eve@other.example", "ann@far.example"]),
            queued_at=NOW_MS - chance.choice([1, 50, 1_441, 1_441, 12_000, 30_000]) * MINUTE_MS,
            queue_id=f"Q{number % 7}",
            recipient=chance.choice(names),
            direction=chance.choice(["sent", "received"]),
        )
        for version in chance.sample(range(1, 7), chance.choice([1, 1, 2, 3])):
            rows.append(
                row._replace(
                    updated_at=row.queued_at + chance.choice([0, 5, 3 * MINUTE_MS]),
                    sender=chance.choice(names),
                    message_id=chance.choice(["one@web1", "two@web1"]),
                    next_queue_id=chance.choice(["", "Q7 Q8", "Q9"]),
                    remote_host=chance.choice(["mx.far.example", "mx.near.example"]),
                    version=version,
                    is_deleted=int(version == 6),
                )
            )
    chance.shuffle(rows)
    return list({(*(getattr(row, name) for name in KEY), row.version): row for row in rows}.values())


def _has_name(row: Outcome, name: str) -> bool:
    told = [row.sender.lower(), row.recipient.lower(), row.original_recipient.lower(), row.account]
    return any(one == name or one.endswith(f"@{name}") for one in told)


@pytest.mark.parametrize("seed", range(2))
def test_of_a_rare_term_the_last_versions_are_found(seed: int, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """By brute force; read whole at once, and by keys."""
    rows = _changing_rows(seed)
    for some in (rows[::3], rows[1::3], rows[2::3]):
        office.insert(some)
    last = {tuple(getattr(row, name) for name in KEY): row for row in sorted(rows, key=lambda row: row.version)}
    asked: list[tuple[str, str, Callable[[Outcome], bool]]] = [
        ("ann@far.example", "address", lambda row: _has_name(row, "ann@far.example")),
        ("joe@near.example", "address", lambda row: _has_name(row, "joe@near.example")),
        ("far.example", "domain", lambda row: _has_name(row, "far.example")),
        ("one@web1", "message-id", lambda row: row.message_id == "one@web1"),
        ("Q3", "queue-id", lambda row: row.queue_id == "Q3"),
        ("Q8", "queue-id", lambda row: "Q8" in row.next_queue_id),
        ("near.example", "host", lambda row: row.remote_host == "mx.near.example"),
    ]
    for most_whole in (whole_rows.MOST_WHOLE, 20, 0):
        monkeypatch.setattr(search, "MOST_WHOLE", most_whole)
        for q, kind, matches in asked:
            for days in (30, 1):
                since_ms = NOW_MS - days * DAY_MS
                found = [row for row in last.values() if row.updated_at >= since_ms and not row.is_deleted]
                expected = sorted(map(str, filter(matches, found)))
                for limit in (4, 200):
                    page = _search(office, q, kind=kind, limit=limit, days=days).rows
                    words = (q, kind, days, limit, most_whole)
                    assert len(page) == min(limit, len(expected)), words
                    assert not set(map(str, page)) - set(expected), words
                    times = [row.updated_at for row in page]
                    assert times == sorted((row.updated_at for row in filter(matches, found)), reverse=True)[:limit], (
                        words
                    )


def test_a_row_that_changes_during_a_search_is_found_as_it_is_now(office: Office) -> None:
    row = make_row(queue_id="W1", sender="carol@shop.example", status="deferred")
    gone = row._replace(queue_id="W2", recipient="gone@far.example")
    office.insert([row, gone])
    read = office.service._read

    def late(statement: Statement) -> Sequence[Sequence[Any]]:
        if "max(version)" in statement.sql:
            office.insert(
                [row._replace(version=2, status="delivered"), gone._replace(version=2, sender="x@far.example")]
            )
        return read(statement)

    tables = Tables(late, office.settings.database, 30, 50, 6 * DAY_MS, NOW_MS, ENGINEER)
    found = REPORT.answer(tables, SearchQuestion("carol@shop.example"))
    assert [(one.queue_id, one.status) for one in found.rows] == [("W1", "delivered")]


def test_a_file_holds_each_row_once(office: Office) -> None:
    rows = make_rows(120, message_id="m1@example.org")
    office.insert(rows)
    pages = office.service.pages(ENGINEER, REPORT, SearchQuestion("m1@example.org", kind="message-id"))
    assert sorted(row.queue_id for page in pages for row in page.rows) == sorted(row.queue_id for row in rows)


HIDDEN = make_row(
    account="bob@example.org",
    original_recipient="team@partner.example",
    recipient="secret77@private.example",
    status="bounced",
    response="550 <secret77@private.example> rejected: hush by mx.private.example",
    remote_host="mx.private.example",
    remote_ip="203.0.113.9",
    remote_provider="Google",
    server="web1",
    parent_queue_id="PARENT1",
)
RECEIVED = make_row(
    queue_id="RRRR1",
    direction="received",
    sender="carol@shop.example",
    recipient="bob@example.org",
    authenticated_as="carol",
    client_ip="198.51.100.4",
    client_host="dsl4.isp.example",
    response="250 OK for <hidden@elsewhere.example> /home/carol/mail",
)


HIDDEN_TERMS = [
    ("secret77@private.example", ""),
    ("private.example", ""),
    ("mx.private.example", "host"),
    ("private.example", "host"),
    ("203.0.113.9", ""),
    ("hush", ""),
    ("secret77", "words"),
    ("198.51.100.4", ""),
    ("isp.example", "host"),
    ("hidden", "words"),
    ("elsewhere example", ""),
    ("hidden@elsewhere.example", "words"),
    ("carol mail", "words"),
    ("web1", ""),
    ("web1", "host"),
    ("PARENT1", ""),
    ("eve@other.example", ""),
    ("AAAA4", ""),
]


def test_what_a_viewer_may_not_see_finds_nothing(office: Office) -> None:
    office.insert([HIDDEN, RECEIVED, *ROWS])
    for q, kind in HIDDEN_TERMS:
        for viewer in (BOB, ORG):
            assert _search(office, q, viewer, kind=kind).rows == (), (q, kind)
        if q not in ("elsewhere example", "hidden@elsewhere.example"):  # a row has both in parts only
            assert _search(office, q, ENGINEER, kind=kind).rows != (), (q, kind)


def test_a_viewer_finds_his_own(office: Office) -> None:
    office.insert([HIDDEN, RECEIVED, *ROWS])
    found = _search(office, "team@partner.example", BOB)
    assert [(row.recipient, row.status) for row in found.rows] == [("team@partner.example", "bounced")]
    assert "private" not in repr(found.rows)
    assert sorted(_ids(_search(office, "carol@shop.example", BOB))) == ["AAAA1", "RRRR1"]
    assert _ids(_search(office, "full mailbox", BOB)) == ["AAAA3"]
    assert _ids(_search(office, "gmail.example", ORG)) == ["AAAA2"]
    assert {row.account for row in _search(office, "", ORG).rows} == {"bob@example.org"}
    with pytest.raises(FilterError, match="only engineers"):
        _search(office, viewer=BOB, server="web1")
    assert _search(office, viewer=BOB, provider="Google", reason="").rows != ()
    assert HIDDEN.queue_id not in _ids(_search(office, viewer=BOB, provider="Google"))


def test_of_members_that_a_viewer_may_not_see_the_one_with_the_last_event_is_found(office: Office) -> None:
    members = [
        HIDDEN._replace(recipient="one@private.example", updated_at=NOW_MS - 50_000),
        HIDDEN._replace(
            recipient="two@private.example", updated_at=NOW_MS - 40_000, status="delivered", result="accepted"
        ),
    ]
    office.insert(members)
    assert [row.status for row in _search(office, "team@partner.example", BOB).rows] == ["delivered"]
    assert _search(office, "team@partner.example", BOB, status="failed").rows == ()
    assert len(_search(office, "team@partner.example").rows) == 2


def test_a_search_that_meets_its_limit_says_how_far_back_it_went(office: Office) -> None:
    office.insert(make_rows(3))
    service = office.service
    read = service._read

    def slow(statement: Statement) -> Sequence[Sequence[Any]]:
        if NOW_MS - statement.parameters.get("since_ms", 0) > STEPS_MS[1]:
            raise TooLargeError("too slow")
        return read(statement)

    tables = Tables(slow, office.settings.database, 30, 50, 6 * DAY_MS, NOW_MS, ENGINEER)
    found = REPORT.answer(tables, SearchQuestion("example.org"))
    assert (len(found.rows), found.is_complete, found.since_ms) == (3, False, NOW_MS - STEPS_MS[1])
    assert "may be older mail" in REPORT.limits_met(found)
    assert not REPORT.is_certain(found)
    full = REPORT.answer(tables, SearchQuestion("example.org", limit=2))
    assert full.is_complete
    assert full.next_cursor


def test_an_id_leads_to_its_message_and_a_filter_does_not(office: Office, open_site: Open) -> None:
    office.insert(ROWS)
    site = open_site(office.service)
    for q in ("1xVatV-0008Jo-O8", "<long.1234567890@web1>"):
        answer = site.get("/search", params={"q": q})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/trace?id=")
        assert "Your invoice is late" in site.get(answer.headers["location"]).text
    page = site.get("/search", params={"q": "1xVatV-0008Jo-O8", "status": "accepted"})
    assert (page.status_code, "was taken for a queue ID" in page.text) == (200, True)
    assert 'href="/search?q=1xVatV-0008Jo-O8&amp;kind=words&amp;status=accepted"' in page.text
    assert site.get("/search", params={"q": "AAAA4", "kind": "words"}).status_code == 200


def test_every_page_has_the_box(office: Office, open_site: Open) -> None:
    site = open_site(office.service)
    for path in ("/", "/servers", "/trace?id=x", "/search", "/nothing"):
        assert site.get(path).text.count('name="q"') == 1, path
    assert 'name="q"' not in open_site(office.service, None).get("/nothing").text


def test_rows_of_strangers_words_are_shown_as_text(office: Office, open_site: Open) -> None:
    word = '<script>alert(1)</script>" onload=x ﹤'
    office.insert([make_row(subject=word, sender=word, response=word, recipient=word)])
    page = open_site(office.service).get("/search", params={"q": word})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
