from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from postwatch.query.errors import FilterError, TooManyRowsError
from postwatch.query.filters import Mailbox
from postwatch.query.orders import ORDERS
from postwatch.query.reader import TableReader
from postwatch.query.reports.account import OVERVIEW_ROWS, newest_mail
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountFilters, AccountQuestion
from postwatch.query.reports.report import DAY_MS, Tables
from postwatch.query.reports.trace import without_partial
from postwatch.query.statements import Read, Statement
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import RESULTS, Attempt, Outcome, iso_time

from tests.query.conftest import MINUTE_MS, NOW_MS, TEXT_FIELDS, Office, make_row, make_rows

HOSTILE = (
    "'; DROP TABLE deliveries; -- \\' \" % _ {database:Identifier} \\n \\0 <script>alert(1)</script> =1+1 é漢😀"
    "\u202e\x1b[31m"
)


def _recipients(rows: Sequence[Outcome]) -> list[str]:
    return [row.recipient for row in rows]


def test_a_row_comes_back_as_it_went_in(office: Office) -> None:
    attempt = Attempt(NOW_MS - 500, "deferred", 451, HOSTILE, "mx.example.net", "2001:db8::1")
    text = {name: f"{name} {HOSTILE}" for name in TEXT_FIELDS}
    text |= {"account": "bob@example.org", "account_domain": "example.org", "status": "bounced", "result": "failed"}
    row = make_row(**text, attempts=(attempt, attempt), log_lines=(HOSTILE, "\x00\x85"), version=2**63 + 7)
    office.insert([row])
    assert office.report().rows == (row,)


def test_newest_first_and_only_of_the_account(office: Office) -> None:
    rows = make_rows(5)
    office.insert(rows[::-1])
    office.insert(make_rows(3, account="carol@example.org"))
    office.insert(make_rows(3, account="bob@example.com"))
    assert office.report().rows == tuple(rows)
    assert office.report("BOB@Example.Org").rows == tuple(rows)
    assert office.report("nobody@example.org").rows == ()


def test_a_domain_and_a_system_user_have_reports_of_their_own(office: Office) -> None:
    assert office.report("root").rows == ()
    office.insert(
        [
            make_row(account="bob@example.org", recipient="1"),
            make_row(account="carol@example.org", recipient="2"),
            make_row(account="root@web1", server="web1", recipient="3"),
            make_row(account="root@web2", server="web2", recipient="4"),
            make_row(account="root@example.org", recipient="5"),
            make_row(account="root2@web1", recipient="6"),
        ]
    )
    assert sorted(_recipients(office.report("@example.org").rows)) == ["1", "2", "5"]
    assert sorted(_recipients(office.report("example.org").rows)) == ["1", "2", "5"]
    assert sorted(_recipients(office.report("root").rows)) == ["3", "4"]
    assert _recipients(office.report("root@web2").rows) == ["4"]
    assert sorted(_recipients(office.report("@web1").rows)) == ["3", "6"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Bob@Example.Net", ["bob@example.net"]),
        ("bob@", ["BOB@other.example", "bob@example.net"]),
        ("@example.net", ["bob@example.net", "jacob@example.net", "list@example.net"]),
        ("JACOB", ["jacob@example.net"]),
        ("ürg", ["JÜRGEN@other.example"]),
        ("alias@", ["list@example.net"]),
        ("%", []),
        ("_", []),
        (HOSTILE[:-6].strip(), []),
    ],
)
def test_a_recipient_is_found_by_address_or_part(office: Office, asked: str, found: list[str]) -> None:
    names = ["bob@example.net", "jacob@example.net", "BOB@other.example", "JÜRGEN@other.example"]
    office.insert(
        [
            *(make_row(recipient=name) for name in names),
            make_row(recipient="list@example.net", original_recipient="Alias@example.org"),
        ]
    )
    assert sorted(_recipients(office.report(recipient=asked).rows)) == sorted(found)


def test_a_status_is_a_result_or_a_finer_one(office: Office) -> None:
    office.insert([make_row(status=status, recipient=status) for status in RESULTS])
    for word in ("accepted", "failed", "pending", "discarded"):
        expected = sorted(status for status, result in RESULTS.items() if result == word)
        assert sorted(_recipients(office.report(status=word).rows)) == expected
    for status in ("deferred", "delivered", "bounced", "expired", "rejected", "cancelled"):
        assert _recipients(office.report(status=status).rows) == [status]
    assert _recipients(office.report(status="in-progress").rows) == ["pending"]
    assert sorted(_recipients(office.report(status="blocked,deferred").rows)) == ["deferred", "rejected"]


def test_a_row_shows_in_its_last_version_only(office: Office) -> None:
    pending = make_row(status="pending", version=1)
    delivered = make_row(status="delivered", version=2)
    office.insert([delivered])
    office.insert([pending])
    assert office.report().rows == (delivered,)
    assert office.report(status="pending").rows == ()
    assert office.report(status="accepted").rows == (delivered,)


def test_a_retracted_row_is_gone(office: Office) -> None:
    row = make_row(status="pending", version=1)
    office.insert([row])
    office.insert([row._replace(version=2, is_deleted=1)])
    assert office.report().rows == ()
    assert office.trace(row.queue_id).rows == ()


def test_a_page_is_full_even_where_old_versions_hide_what_matched(office: Office) -> None:
    """The first step counts 900 pending rows; all but the oldest ten were delivered since."""
    rows = make_rows(900, status="pending")
    office.insert(rows)
    office.insert([row._replace(status="delivered", result="accepted", version=2) for row in rows[:890]])
    report = office.report(status="pending", limit=5)
    assert report.rows == tuple(rows[890:895])
    assert report.next_cursor


def test_pages_follow_each_other_while_rows_arrive(office: Office) -> None:
    rows = make_rows(25)
    office.insert(rows)
    seen: list[Outcome] = []
    cursor = ""
    for page in range(10):
        report = office.report(limit=7, cursor=cursor)
        seen += report.rows
        # Newer mail comes in, and versions of what was shown, and of what was not.
        office.insert([make_row(queue_id=f"new{page}", queued_at=NOW_MS + page)])
        office.insert([row._replace(version=page + 2) for row in rows])
        cursor = report.next_cursor
        if not cursor:
            break
    assert [row._replace(version=1) for row in seen] == rows


def test_the_newest_event_comes_first_however_old_the_message_is(office: Office) -> None:
    expired = make_row(
        recipient="late@example.net", queued_at=NOW_MS - 4 * DAY_MS, updated_at=NOW_MS - 1, status="expired"
    )
    today = make_row(recipient="today@example.net")
    office.insert([today, expired])
    assert office.report(days=1).rows == (expired, today)
    assert office.report().rows == (expired, today)
    assert office.report(by="sent").rows == (today, expired)
    assert office.report(days=1, by="sent").rows == (today, expired)


def test_what_happened_within_the_days_is_shown_and_what_ended_before_is_not(office: Office) -> None:
    """A message is open for eight days at most, so whatever has an event in the window lies near it."""
    office.insert(
        [
            make_row(recipient="in", queued_at=NOW_MS - 9 * DAY_MS, updated_at=NOW_MS - DAY_MS + MINUTE_MS),
            make_row(recipient="out", queued_at=NOW_MS - 2 * DAY_MS, updated_at=NOW_MS - DAY_MS - MINUTE_MS),
        ]
    )
    assert _recipients(office.report(days=1).rows) == ["in"]
    assert _recipients(office.report(days=1, by="sent").rows) == ["in"]


def test_a_cursor_belongs_to_its_order(office: Office) -> None:
    office.insert(make_rows(5))
    cursor = office.report(limit=2).next_cursor
    with pytest.raises(FilterError, match="the cursor belongs to --by event"):
        office.report(limit=2, by="sent", cursor=cursor)


@pytest.mark.parametrize("by", ["event", "sent"])
@pytest.mark.parametrize("seed", range(3))
def test_pages_show_each_row_once_beside_a_writer(office: Office, by: str, seed: int) -> None:
    """Rows come in and change between the pages. Whatever changes goes to the top, where the first page shows it."""
    chance = random.Random(seed)
    rows = make_rows(40)
    rows = [row._replace(updated_at=row.queued_at + chance.randrange(3 * MINUTE_MS)) for row in rows]
    office.insert(rows)
    changed: set[str] = set()
    seen: list[Outcome] = []
    cursor = ""
    for page in range(20):
        report = office.report(limit=chance.randrange(3, 9), cursor=cursor, by=by)
        seen += report.rows
        cursor = report.next_cursor
        if not cursor:
            break
        moved = chance.choice(rows)
        changed.add(moved.recipient)
        office.insert([moved._replace(version=page + 2, updated_at=NOW_MS + page, status="bounced")])
        office.insert([make_row(recipient=f"new{page}@example.net", queued_at=NOW_MS + page)])
    known = {row.recipient for row in rows}
    shown = [row.recipient for row in seen if row.recipient in known]
    assert len(shown) == len(set(shown))
    assert known - changed <= set(shown)
    newest = office.report(limit=1000, by=by).rows
    assert changed <= {row.recipient for row in newest}
    at = [row.queued_at if by == "sent" else row.updated_at for row in newest]
    assert at == sorted(at, reverse=True)


KEYS: dict[str, Callable[[Outcome], Any]] = {
    "event": lambda row: row.updated_at,
    "sent": lambda row: row.queued_at,
    "sender": lambda row: row.sender.lower(),
    "recipient": lambda row: (row.original_recipient or row.recipient).lower(),
    "size": lambda row: row.size_bytes,
    "status": lambda row: f"{row.result} {row.status}",
    "host": lambda row: row.remote_host.lower(),
    "duration": lambda row: row.delay_ms,
}


def test_every_order_has_its_key() -> None:
    assert tuple(KEYS) == ORDERS


def _mixed_rows(chance: random.Random, number: int) -> list[Outcome]:
    """Rows that are equal in much, so that pages end among equal rows."""
    return [
        make_row(
            queue_id=f"1tABCD-{index:011d}-ABCD",
            queued_at=(queued_at := NOW_MS - chance.randrange(1, 30) * MINUTE_MS),
            updated_at=queued_at + chance.randrange(3) * 1000,
            sender=chance.choice(["ann@example.org", "Bob@example.org", "", "zoë@example.org"]),
            recipient=f"{chance.choice('abC')}{chance.randrange(99)}@example.net",
            original_recipient=chance.choice(["", "", "list@example.org"]),
            remote_host=chance.choice(["", "mx1.example.net", "MX2.example.net", "mx é.example"]),
            size_bytes=chance.choice([0, 5, 10**7]),
            delay_ms=chance.choice([0, 1000, 90_000]),
            status=chance.choice(list(RESULTS)),
            direction=chance.choice(["sent", "received"]),
        )
        for index in range(number)
    ]


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("by", ORDERS)
def test_rows_come_in_the_order_asked_for_on_pages_that_miss_none(office: Office, by: str, ascending: bool) -> None:
    rows = _mixed_rows(random.Random(by), 24)
    office.insert([row._replace(version=0, status="pending", result="pending") for row in rows])
    office.insert(rows)
    seen: list[Outcome] = []
    cursor = ""
    for _page in range(20):
        report = office.report(limit=9, by=by, ascending=ascending, cursor=cursor)
        seen += report.rows
        if not (cursor := report.next_cursor):
            break
    keys = [KEYS[by](row) for row in seen]
    if by == "host":
        keys = [key.replace("é", "??") for key in keys]
    assert keys == sorted(keys, reverse=not ascending)
    assert sorted(seen) == sorted(rows)
    if by not in ("event", "sent"):
        assert all(
            one.queued_at >= two.queued_at
            for one, two, key, next_key in zip(seen, seen[1:], keys, keys[1:], strict=False)
            if key == next_key
        )


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("by", ORDERS)
def test_pages_in_every_order_show_each_row_once_beside_a_writer(office: Office, by: str, ascending: bool) -> None:
    """Rows come in and change between the pages, in all that an order can go by."""
    chance = random.Random(f"{by}{ascending}")
    rows = _mixed_rows(chance, 24)
    office.insert(rows)
    changed: set[str] = set()
    seen: list[str] = []
    cursor = ""
    for page in range(30):
        report = office.report(limit=chance.randrange(4, 9), by=by, ascending=ascending, cursor=cursor)
        seen += [row.queue_id for row in report.rows]
        if not (cursor := report.next_cursor):
            break
        for moved in (chance.choice(rows), *(row for row in rows if row.queue_id == seen[-1])):
            changed.add(moved.queue_id)
            status = chance.choice(["bounced", "delivered", "expired"])
            office.insert(
                [
                    moved._replace(
                        version=page + 2,
                        updated_at=NOW_MS + page,
                        delay_ms=chance.choice([5, 10**6]),
                        remote_host=chance.choice(["a", "zz"]),
                        status=status,
                        result=RESULTS[status],
                    )
                ]
            )
        office.insert([make_row(queue_id=f"new{page}", queued_at=NOW_MS + page, recipient=chance.choice("az"))])
    known = {row.queue_id for row in rows}
    shown = [queue_id for queue_id in seen if queue_id in known]
    assert len(shown) == len(set(shown))
    assert known - changed <= set(shown)
    if by in ("sent", "sender", "recipient") or (by, ascending) == ("sent", True):
        assert known <= set(shown)


def test_a_page_goes_on_behind_a_row_that_is_gone(office: Office) -> None:
    rows = make_rows(4)
    office.insert(rows)
    report = office.report(limit=2, by="recipient", ascending=True)
    office.insert([report.rows[-1]._replace(version=2, is_deleted=1)])
    rest = office.report(limit=2, by="recipient", ascending=True, cursor=report.next_cursor)
    assert _recipients(rest.rows) == ["reader2@example.net", "reader3@example.net"]
    office.client.command("TRUNCATE TABLE deliveries")
    with pytest.raises(FilterError, match="belongs to a row that is gone"):
        office.report(limit=2, by="recipient", ascending=True, cursor=report.next_cursor)


@pytest.mark.parametrize("by", ["sender", "recipient"])
def test_a_cursor_holds_no_address(office: Office, by: str) -> None:
    office.insert(make_rows(4))
    cursor = office.report(limit=2, by=by).next_cursor
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    assert "example" not in text


def test_rows_of_the_same_moment_are_parted_by_pages_without_loss(office: Office) -> None:
    rows = [make_row(recipient=f"reader{index:02d}@example.net") for index in range(20)]
    office.insert(rows)
    seen: list[str] = []
    cursor = ""
    while True:
        report = office.report(limit=3, cursor=cursor)
        seen += _recipients(report.rows)
        if not (cursor := report.next_cursor):
            break
    assert len(seen) == len(set(seen)) == 20


def test_a_full_last_page_has_no_next_one(office: Office) -> None:
    office.insert(make_rows(6))
    report = office.report(limit=3)
    assert report.next_cursor
    assert office.report(limit=3, cursor=report.next_cursor).next_cursor == ""


def test_nothing_older_than_the_days_is_shown(office: Office) -> None:
    edges = {days: NOW_MS - days * DAY_MS + 20 * MINUTE_MS for days in (1, 2, 30)}
    office.insert([make_row(recipient=f"{days}", queued_at=edge) for days, edge in edges.items()])
    # Past the TTL, as a table looks whose merge has not come yet.
    office.client.command(f"SYSTEM STOP TTL MERGES {office.settings.database}.deliveries")
    office.insert([make_row(recipient="old", queued_at=NOW_MS - 30 * DAY_MS - MINUTE_MS, message_id="old@example.org")])
    assert _recipients(office.report().rows) == ["1", "2", "30"]
    assert _recipients(office.report(days=2).rows) == ["1", "2"]
    assert _recipients(office.report(days=1).rows) == ["1"]
    assert office.trace("old@example.org").rows == ()
    assert office.client.query("SELECT count() FROM deliveries WHERE recipient = 'old'").result_rows == [(1,)]


def test_rows_from_a_clock_that_is_ahead_are_shown(office: Office) -> None:
    office.insert([make_row(queued_at=NOW_MS + 10 * MINUTE_MS)])
    assert len(office.report().rows) == 1


def test_a_sparse_account_is_found_in_whichever_window_its_mail_lies(office: Office) -> None:
    days = [0.5, 2, 5, 12, 29]
    office.insert([make_row(recipient=str(day), queued_at=NOW_MS - int(day * DAY_MS)) for day in days])
    assert _recipients(office.report().rows) == [str(day) for day in days]


def test_a_busy_account_is_not_read_further_back_than_its_page() -> None:
    """The statement that shows rows, which is the dear one, begins where the newest of them lie."""
    asked: list[Statement] = []

    def read(statement: Statement) -> Sequence[Sequence[Any]]:
        if "max_rows_to_read" in statement.sql:
            raise TooManyRowsError("")  # it is too busy for one statement
        asked.append(statement)
        return [[NOW_MS - 1000, statement.parameters["rows"]]] if "count()" in statement.sql else []

    filters = AccountFilters(Mailbox("bob@example.org", "example.org"), days=30, limit=50)
    # Nothing remains of them, so that a second round has to go on behind them.
    rounds = iter([False, True])

    def stop_after_two(statement: Statement) -> Sequence[Sequence[Any]]:
        found = read(statement)
        if "count()" not in statement.sql and next(rounds):
            raise InterruptedError
        return found

    with pytest.raises(InterruptedError):
        newest_mail(Tables(stop_after_two, "mail", 30, 50, 9 * DAY_MS, NOW_MS, ENGINEER), filters)
    first_bound, first_rows, second_bound, second_rows = asked
    assert first_bound.parameters["since_ms"] == NOW_MS - 2 * DAY_MS
    assert first_rows.parameters["since_ms"] == NOW_MS - 1000
    assert second_bound.parameters["until_ms"] == second_rows.parameters["until_ms"] == NOW_MS - 1000
    assert second_bound.parameters["rows"] > first_bound.parameters["rows"]


_LED_TO = ["", "", "list@example.org", "list@example.net"]
_HIDDEN_FROM = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))


@pytest.mark.parametrize("viewer", [ENGINEER, _HIDDEN_FROM], ids=["engineer", "owner"])
def test_a_page_that_is_one_statement_is_the_page_that_several_find(office: Office, viewer: Viewer) -> None:
    """Over old versions, tombstones, aliases, equal times and every week of the table, page by page."""
    chance = random.Random(18)
    for version in range(1, 4):
        rows = [
            make_row(
                queue_id=f"1tABCD-{number:011d}-ABCD",
                queued_at=NOW_MS - number * DAY_MS // 4,
                updated_at=NOW_MS - number * DAY_MS // 4 + min(number, chance.randrange(9) * version) * DAY_MS // 4,
                recipient=f"reader{number % 7}@example.net",
                original_recipient=chance.choice(_LED_TO),
                status=chance.choice([*RESULTS]),
                response=chance.choice(["", "250 OK", "550 gone"]),
                version=version,
                is_deleted=int(chance.random() < 0.1),
            )
            for number in range(60)
            if version == 1 or chance.random() < 0.4
        ]
        office.insert([row._replace(result=RESULTS[row.status]) for row in rows])

    def tables(read: Read) -> Tables:
        return Tables(read, office.settings.database, 30, 50, 9 * DAY_MS, NOW_MS, viewer)

    engine = TableReader(office.query_settings, office.settings)

    def too_much_for_one(statement: Statement) -> Sequence[Sequence[Any]]:
        statement.sql = statement.sql.replace(f"= {OVERVIEW_ROWS}", "= 1")
        return engine(statement)

    for words in ({}, {"by": "sent"}, {"status": "failed"}, {"recipient": "reader3"}, {"text": "gone"}, {"days": 2}):
        cursor, seen = "", 0
        while True:
            question = AccountQuestion("bob@example.org", limit=9, cursor=cursor, **words)
            one, several = (ACCOUNT.answer(tables(read), question) for read in (engine, too_much_for_one))
            assert (one.rows, one.by_status, one.next_cursor) == (several.rows, several.by_status, several.next_cursor)
            assert [row.id for row in one.rows] == [row.id for row in several.rows]
            seen += len(one.rows)
            if not (cursor := one.next_cursor):
                break
        assert seen > 2, words


@pytest.mark.parametrize(
    "words", ["m1@example.org", "<m1@example.org>", " <m1@example.org> ", "1tABCD-00000000001-ABCD"]
)
def test_a_message_is_traced_by_each_of_its_ids(office: Office, words: str) -> None:
    mine = make_row(message_id="m1@example.org", version=1)
    newer = mine._replace(version=2, response="250 later")
    other = make_row(message_id="m2@example.org", queue_id="1tABCD-00000000002-ABCD", recipient="alice@example.com")
    office.insert([mine, other])
    office.insert([newer])
    report = office.trace(words)
    assert report.rows == (newer,)
    assert not report.has_more


def test_a_trace_shows_every_passage_and_what_came_of_a_message(office: Office) -> None:
    first = make_row(queue_id="A1B2C3D4E5", next_queue_id="B1B2C3D4E5 C1B2C3D4E5", queued_at=NOW_MS - 3000)
    bounce = make_row(queue_id="D1B2C3D4E5", parent_queue_id="B1B2C3D4E5", queued_at=NOW_MS - 2000)
    other = make_row(queue_id="E1B2C3D4E5", next_queue_id="B1B2C3D4E", queued_at=NOW_MS - 1000)
    office.insert([first, bounce, other])
    assert office.trace("B1B2C3D4E5").rows == (bounce, first)
    assert office.trace("C1B2C3D4E5").rows == (first,)


def test_a_trace_by_recipient_crosses_accounts_and_takes_either_case(office: Office) -> None:
    one = make_row(account="bob@example.org", queued_at=NOW_MS - 5000)
    two = make_row(account="carol@example.com", queued_at=NOW_MS - 9000)
    office.insert([two, one, make_row(recipient="malice@example.net")])
    assert office.trace("Alice@Example.NET").rows == (one, two)


def test_a_message_id_may_lack_its_at_sign(office: Office) -> None:
    row = make_row(message_id="odd-id")
    office.insert([row])
    assert office.trace("<odd-id>").rows == (row,)


def test_a_trace_is_bounded_and_says_so(office: Office) -> None:
    office.insert(make_rows(205, recipient="all@example.net"))
    report = office.trace("all@example.net")
    assert len(report.rows) == 200
    assert report.has_more
    assert report.rows[0].queued_at == NOW_MS - MINUTE_MS


@pytest.mark.parametrize("words", ["", "  ", "<>", "a\nb", "x" * 1000])
def test_a_trace_of_nothing_is_refused(office: Office, words: str) -> None:
    with pytest.raises(FilterError, match="id"):
        office.trace(words)


def test_a_question_may_be_as_long_as_a_header_line(office: Office) -> None:
    """Its parameters are more than the driver puts into an address, so they go as a form."""
    long = "é" * 900
    row = make_row(recipient=long + "@example.net", message_id=long)
    office.insert([row])
    assert office.report(recipient=long).rows == (row,)
    assert office.trace(long).rows == (row,)


def test_hostile_words_are_only_words(office: Office) -> None:
    words = HOSTILE.replace("\x1b", "")
    row = make_row(queue_id=words, message_id=words)
    office.insert([row])
    assert office.trace(words).rows == (row,)
    assert office.report(recipient=words).rows == ()
    assert office.report().rows == (row,)


def test_a_partial_row_gives_way_to_the_whole_one(office: Office) -> None:
    partial = make_row(account="", account_domain="", message_id="")
    lonely = make_row(account="", account_domain="", message_id="", recipient="lonely@example.net")
    whole = make_row(message_id="m1@example.org")
    office.insert([partial, lonely])
    assert set(office.trace(partial.queue_id).rows) == {partial, lonely}
    office.insert([whole])
    assert set(office.trace(partial.queue_id).rows) == {whole, lonely}
    assert without_partial([partial]) == [partial]


def test_servers_by_their_newest_heartbeat(office: Office) -> None:
    office.beat("web1", age_ms=90_000)
    office.beat("web1", age_ms=5_000, lag_bytes=77)
    office.beat("web2", age_ms=120_001, last_line_ms=0)
    office.beat("web3", age_ms=-3_000)
    office.beat("gone", age_ms=31 * DAY_MS)
    report = office.service.servers()
    assert [(one.server, one.age_ms, one.is_stale) for one in report.servers] == [
        ("web1", 5_000, False),
        ("web2", 120_001, True),
        ("web3", 0, False),
    ]
    assert report.servers[0].lag_bytes == 77
    assert report.servers[1].last_line_ms == 0
    assert [one.server for one in report.stale()] == ["web2"]


def test_a_bounce_of_ours_is_no_mail_of_its_own_unless_asked_for(office: Office) -> None:
    sent = make_row(queue_id="first", status="bounced")
    from_elsewhere = make_row(queue_id="ignored", sender="", direction="received", queued_at=NOW_MS - 2 * MINUTE_MS)
    forwarded = make_row(queue_id="forward", parent_queue_id="other", queued_at=NOW_MS - 3 * MINUTE_MS)
    bounce = make_row(
        queue_id="bounce", sender="", parent_queue_id="first", direction="received", queued_at=NOW_MS - 4 * MINUTE_MS
    )
    office.insert([sent, from_elsewhere, forwarded, bounce])
    assert office.report().rows == (sent, from_elsewhere, forwarded)
    assert office.report(bounces=True).rows == (sent, from_elsewhere, forwarded, bounce)
    assert [row.queue_id for row in office.trace("first").rows] == ["first", "bounce"]
    assert [row.queue_id for row in office.trace("bounce").rows] == ["bounce"]


def test_rows_are_counted_by_result_whatever_page_and_status(office: Office) -> None:
    office.insert(make_rows(12))
    office.insert([make_row(recipient=f"gone{index}", status="bounced") for index in range(3)])
    office.insert([make_row(recipient="old", status="pending", version=1)])
    office.insert([make_row(recipient="old", status="expired", version=2)])
    questions: list[dict[str, Any]] = [{}, {"limit": 2}, {"status": "failed"}, {"by": "sent"}]
    for asked in questions:
        assert office.report(**asked).counts == {"accepted": 12, "failed": 4, "pending": 0, "discarded": 0}
    assert office.report(recipient="gone1").counts == {"accepted": 0, "failed": 1, "pending": 0, "discarded": 0}


def test_sent_and_received_mail_are_told_apart(office: Office) -> None:
    office.insert([make_row(recipient="1"), make_row(recipient="2", direction="received")])
    assert _recipients(office.report(direction="sent").rows) == ["1"]
    assert _recipients(office.report(direction="RECEIVED").rows) == ["2"]
    with pytest.raises(FilterError, match="'both' is not a valid direction: use sent, received"):
        office.report(direction="both")


def test_a_window_of_time_is_by_the_last_event(office: Office) -> None:
    start = NOW_MS // DAY_MS * DAY_MS - 3 * DAY_MS
    hours = {"before": -1, "midnight": 0, "noon": 12, "late": 23.9, "next": 24}
    office.insert(
        [
            make_row(recipient=name, queued_at=start - DAY_MS, updated_at=start + int(hour * 3_600_000))
            for name, hour in hours.items()
        ]
    )
    day = iso_time(start)[:10]
    for by in ("event", "sent"):
        found = office.report(since=day, until=day, by=by)
        assert sorted(_recipients(found.rows)) == ["late", "midnight", "noon"]
        assert found.counts["accepted"] == 3
    assert _recipients(office.report(since=f"{day} 11:00", until=f"{day} 13:00").rows) == ["noon"]
    assert _recipients(office.report(since=f"{day}T13:00+02:00", until=f"{day}T13:00Z").rows) == ["noon"]
    with pytest.raises(FilterError, match=r"since .* is not before until"):
        office.report(since=f"{day} 13:00", until=f"{day} 12:00")
    with pytest.raises(FilterError, match=r"since '24\.11\.2026' is not a time: use YYYY-MM-DD"):
        office.report(since="24.11.2026")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SECOND@FAR", ["second@far.example"]),
        ("angebot", ["first@far.example"]),
        ("m2@x", ["second@far.example"]),
        ("mx7.far", ["second@far.example"]),
        ("192.0.2.77", ["second@far.example"]),
        ("no such user", ["second@far.example"]),
        ("%", []),
        ("far.example", ["first@far.example", "second@far.example"]),
    ],
)
def test_a_text_is_searched_in_what_people_see(office: Office, text: str, found: list[str]) -> None:
    office.insert(
        [
            make_row(recipient="first@far.example", subject="Ihr ANGEBOT", message_id="m1@x"),
            make_row(
                recipient="second@far.example",
                message_id="m2@x",
                remote_host="mx7.far.example",
                remote_ip="192.0.2.77",
                response="550 No such user",
            ),
        ]
    )
    assert sorted(_recipients(office.report(text=text).rows)) == found
