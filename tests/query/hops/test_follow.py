"""Rows of one message on several servers, on the real engine: never delivered before the last of them has told."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pytest
from postwatch.query.hops import walk
from postwatch.query.hops.fates import MOST_HOPS
from postwatch.query.report_service import ReportService
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.reports.bounces import REPORT as BOUNCES
from postwatch.query.reports.bounces_question import BouncesQuestion
from postwatch.query.reports.delivery import REPORT as DELIVERY
from postwatch.query.reports.delivery import DeliveryQuestion
from postwatch.query.reports.queue import REPORT as QUEUE
from postwatch.query.reports.queue import QueueQuestion
from postwatch.query.reports.search import REPORT as SEARCH
from postwatch.query.reports.search_question import SearchQuestion
from postwatch.query.reports.statistics import REPORT as STATISTICS
from postwatch.query.reports.statistics import StatisticsQuestion
from postwatch.query.sentences import say
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Delivery
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import Attempt, Outcome

from tests.query.conftest import MINUTE_MS, NOW_MS, Office, make_row

MESSAGE_ID = "hello.1@web1.example"
BOB = Viewer("bob", mailboxes=frozenset(("bob@example.org",)))
CHAIN = ("web1", "gateway2", "mx3", "mail4", "mail5", "mail6")
STATUSES = ["pending", "deferred", "delivered", "bounced", "expired", "rejected", "discarded", "cancelled"]


class Fleet(Office):
    """An office with one service, which has one connection."""

    @functools.cached_property
    def service(self) -> ReportService:
        return super().service


def fleet_of(office: Office, **changes: Any) -> Fleet:
    return Fleet(office.settings, office.client, query_settings=QuerySettings(**changes))


@pytest.fixture
def fleet(office: Office) -> Fleet:
    return fleet_of(office, own_servers=("10.1.0.0/16", "smtp.example.org"))


def hop(place: int, status: str = "handed", **known: Any) -> Delivery:
    """The row of the server at this place of the chain; `handed`: it gave the message to the next one."""
    at = NOW_MS - 10 * MINUTE_MS + place * 2000
    fields: dict[str, Any] = {
        "server": CHAIN[place],
        "queue_id": f"4QUEUE{place}",
        "message_id": MESSAGE_ID,
        "queued_at": at,
        "updated_at": at + 1000,
        "sender": "bob@example.org",
        "status": "delivered" if status == "handed" else status,
        "remote_host": "mx.example.net",
        "remote_ip": "192.0.2.7",
        "response": "250 2.0.0 OK 1732 gsmtp" if status == "delivered" else f"the words of {CHAIN[place]}",
    }
    if place:
        fields |= {"account": "", "account_domain": ""}
    if status == "handed":
        next_id = f"4QUEUE{place + 1}"
        fields |= {
            "next_queue_id": next_id,
            "response": f"250 2.0.0 Ok: queued as {next_id}",
            "remote_host": f"{CHAIN[place + 1]}.example.org",
            "remote_ip": f"10.1.0.{place + 1}",
        }
    row = make_row(**{**fields, **known})
    tried = Attempt(row.updated_at, row.status, row.smtp_code, row.response, row.remote_host, row.remote_ip)
    return row._replace(attempts=(tried,))


def told(fleet: Fleet, viewer: Viewer = ENGINEER, **asked: Any) -> Delivery:
    [row] = fleet.answer(ACCOUNT, AccountQuestion("bob@example.org", **asked), viewer).rows
    return row


def status_everywhere(fleet: Fleet, viewer: Viewer = ENGINEER) -> str:
    """The one status that the list, the counts, the filters, the search and the story of bob's row agree on."""
    row = told(fleet, viewer)
    mail = fleet.answer(ACCOUNT, AccountQuestion("bob@example.org"), viewer)
    assert {status for status, number in mail.by_status.items() if number} == {row.status}
    for status in {row.status, "delivered"}:
        word = {"pending": "in-progress", "rejected": "blocked"}.get(status, status)
        for by in ("event", "status") if status == row.status else ("event",):
            found = fleet.answer(ACCOUNT, AccountQuestion("bob@example.org", status=word, by=by), viewer).rows
            assert [one.status for one in found] == ([status] if status == row.status else []), (word, by)
        asked = SearchQuestion("bob@example.org", kind="address", status=word)
        found = fleet.answer(SEARCH, asked, viewer).rows
        assert (row.id in {one.id for one in found}) == (status == row.status)
    story = fleet.answer(DELIVERY, DeliveryQuestion(row.id), viewer)
    assert story.rows[0].status == row.status
    assert (
        next(iter(fleet.service.pages(viewer, ACCOUNT, AccountQuestion("bob@example.org")))).rows[0].status
        == row.status
    )
    return row.status


@pytest.mark.parametrize("last", ["deferred", "delivered", "bounced"])
def test_the_last_server_tells_the_status(fleet: Fleet, last: str) -> None:
    fleet.insert([hop(0), hop(1), hop(2, last)])
    assert status_everywhere(fleet) == last


@pytest.mark.parametrize("viewer", [ENGINEER, BOB])
def test_a_row_is_pending_until_the_next_server_has_told_and_right_when_it_comes_late(
    fleet: Fleet, viewer: Viewer
) -> None:
    rows = [hop(0), hop(1), hop(2), hop(3, "delivered")]
    for number in range(1, len(rows)):
        fleet.insert(rows[number - 1 : number])
        assert told(fleet, viewer).status == "pending"
    assert status_everywhere(fleet, viewer) == "pending"
    fleet.insert(rows[-1:])
    assert status_everywhere(fleet, viewer) == "delivered"


def test_the_log_of_any_server_behind_may_be_missing(fleet: Fleet) -> None:
    for lost in (1, 2, 3):
        fleet.client.command("TRUNCATE TABLE deliveries")
        fleet.client.command("TRUNCATE TABLE delivery_hops")
        fleet.insert([row for row in (hop(0), hop(1), hop(2), hop(3, "delivered")) if row.server != CHAIN[lost]])
        assert told(fleet).status == "pending", lost
        assert fleet.report(status="accepted").rows == (), lost


def test_a_server_with_rows_is_ours_by_its_name(office: Office) -> None:
    office.insert([hop(0, remote_host="gateway2", remote_ip="192.0.2.9")])
    office.beat("web1", 1000)
    assert status_everywhere(fleet_of(office)) == "delivered"  # nobody knows a gateway2
    office.beat("gateway2", 1000)
    assert status_everywhere(fleet_of(office)) == "pending"
    office.insert([hop(1, "bounced")])
    assert status_everywhere(fleet_of(office)) == "bounced"


NOT_TIED: dict[str, dict[str, Any]] = {
    "another Message-ID": {"message_id": "other@web1.example"},
    "no Message-ID": {"message_id": ""},
    "another recipient": {"recipient": "eve@example.net"},
    "another queue id": {"queue_id": "4OTHER1"},
    "days later": {"queued_at": NOW_MS - 3 * 24 * 60 * MINUTE_MS},
    "the same server": {"server": "web1"},
}


@pytest.mark.parametrize("what", NOT_TIED)
def test_what_does_not_agree_is_not_tied(fleet: Fleet, what: str) -> None:
    fleet.insert([hop(0), hop(1, "delivered", **NOT_TIED[what])])
    assert status_everywhere(fleet) == "pending"


def test_two_servers_that_may_be_the_next_one_are_none(fleet: Fleet) -> None:
    fleet.insert([hop(0), hop(1, "delivered"), hop(1, "delivered", server="forger")])
    assert status_everywhere(fleet) == "pending"


def test_a_far_server_that_names_a_queue_id_of_ours_ties_nothing(fleet: Fleet) -> None:
    fleet.insert([hop(0, remote_host="gateway2.example.com", remote_ip="198.51.100.1"), hop(1, "bounced")])
    assert status_everywhere(fleet) == "delivered"


def test_a_loop_ends(fleet: Fleet) -> None:
    back = {"next_queue_id": "4QUEUE0", "response": "250 Ok: queued as 4QUEUE0", "remote_host": "web1.example.org"}
    fleet.insert([hop(0), hop(1, **back)])
    assert status_everywhere(fleet) == "pending"


def test_an_alias_behind_is_delivered_when_all_of_it_is(fleet: Fleet) -> None:
    members = [
        hop(1, "delivered", recipient=f"{name}@example.net", original_recipient="alice@example.net")
        for name in ("ann", "ben")
    ]
    fleet.insert([hop(0), *members])
    assert status_everywhere(fleet) == "delivered"
    fleet.insert([members[1]._replace(status="bounced", result="failed", version=2)])
    assert status_everywhere(fleet) == "bounced"
    row = told(fleet, BOB)
    assert (row.response, row.remote_host) == ("", "")  # where the alias leads is not bob's affair


def test_a_retracted_row_tells_nothing(fleet: Fleet) -> None:
    fleet.insert([hop(0), hop(1, "delivered")])
    assert status_everywhere(fleet) == "delivered"
    fleet.insert([hop(1, "delivered", version=2, is_deleted=1)])
    assert status_everywhere(fleet) == "pending"


def test_the_last_answer_is_shown_and_no_name_of_a_server_of_ours_to_the_owner(fleet: Fleet) -> None:
    rows = [hop(0), hop(1), hop(2, "bounced", reason="unknown-user", smtp_code=550, response="550 no such user")]
    fleet.insert(rows)
    row = told(fleet, BOB)
    assert (row.reason, row.smtp_code, row.response, row.remote_host) == (
        "unknown-user", 550, "550 no such user", "mx.example.net"
    )  # fmt: skip
    assert [one.status for one in row.attempts] == ["pending", "pending", "bounced"]
    assert not any(name in repr((tuple(row), row.hops)) for name in ("gateway2", "mx3", "4QUEUE1", "4QUEUE2", "10.1.0"))
    assert [one.server for one in told(fleet).hops] == ["gateway2", "mx3"]


def test_what_waits_names_the_server_to_engineers_alone(fleet: Fleet) -> None:
    fleet.insert([hop(0)])
    assert told(fleet).hops[0].server == "gateway2.example.org"
    row = told(fleet, BOB)
    assert row.hops
    assert not any(name in repr((tuple(row), row.hops)) for name in ("gateway2", "4QUEUE1", "10.1.0"))


def test_counts_go_by_each_server_and_what_waits_or_bounced_counts_where_it_did(fleet: Fleet) -> None:
    """A message that is handed on waits in one queue and bounces once, however many servers it passed."""
    fleet.insert([hop(0), hop(1), hop(2, "deferred")])
    queue = fleet.answer(QUEUE, QueueQuestion(by="server"))
    assert [(group.value, group.waiting) for group in queue.groups] == [("mx3", 1)]
    fleet.insert([hop(2, "bounced", updated_at=NOW_MS - MINUTE_MS, reason="unknown-user")])
    assert fleet.answer(QUEUE, QueueQuestion()).total.waiting == 0
    [group] = fleet.answer(BOUNCES, BouncesQuestion(by="server")).groups
    assert (group.place.values, group.failed) == (("mx3",), 1)
    counted = fleet.answer(STATISTICS, StatisticsQuestion(by="server")).groups
    assert {one.value: (one.delivered, one.failed) for one in counted} == {
        "web1": (1, 0),
        "gateway2": (1, 0),
        "mx3": (0, 1),
    }
    own = fleet.answer(STATISTICS, StatisticsQuestion(by="account", account="bob@example.org")).groups
    assert [(one.messages, one.delivered) for one in own] == [(1, 1)]


def rows_of_chains(number: int) -> Sequence[Outcome]:
    """Chains of every length and end, some of which lack a server in their midst."""
    rows = []
    for index in range(number):
        length, lost, end = index % 4, index % 5, STATUSES[index % len(STATUSES)]
        more = {"message_id": f"{index}@web1.example", "recipient": f"reader{index}@example.net"}
        chain = [hop(place, **more) for place in range(length)] + [hop(length, end, **more)]
        rows += [row for place, row in enumerate(chain) if place == 0 or place != lost]
    return rows


def test_counts_and_filters_agree_with_the_rows(fleet: Fleet) -> None:
    fleet.insert([one._replace(queue_id=one.queue_id) for one in rows_of_chains(120)])
    mail = fleet.report(limit=1000)
    assert len(mail.rows) == 120
    counted = {status: sum(row.status == status for row in mail.rows) for status in STATUSES}
    assert {status: mail.by_status.get(status, 0) for status in STATUSES} == counted
    assert counted["pending"] > counted["delivered"] > 0
    for status in ("accepted", "failed", "deferred", "in-progress"):
        pages: list[Outcome] = []
        cursor = ""
        while True:
            page = fleet.report(status=status, limit=7, cursor=cursor)
            pages += page.rows
            cursor = page.next_cursor
            if not cursor:
                break
        wanted = [
            row
            for row in mail.rows
            if status in (row.result, row.status) or (status, row.status) == ("in-progress", "pending")
        ]
        assert sorted(pages) == sorted(wanted), status


def test_clickhouse_follows_many_as_the_server_follows_few(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.insert(rows_of_chains(60))
    few = fleet.report(limit=1000)
    monkeypatch.setattr(walk, "MOST_WALKED", 5)
    many = fleet.report(limit=1000)
    assert (many.by_status, many.rows) == (few.by_status, few.rows)
    for status in ("accepted", "failed", "in-progress"):
        assert set(fleet.report(status=status, limit=1000).rows) == {
            row for row in few.rows if row.result == status or (row.status, status) == ("pending", "in-progress")
        }


@pytest.mark.parametrize("most_walked", [walk.MOST_WALKED, 0])
def test_more_servers_than_are_followed_leave_a_row_pending(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, most_walked: int
) -> None:
    monkeypatch.setattr(walk, "MOST_WALKED", most_walked)
    fleet.insert([hop(place) for place in range(MOST_HOPS + 1)])
    fleet.insert([hop(MOST_HOPS + 1, "delivered")])
    assert fleet.report().by_status["pending"] == 1
    assert fleet.report(status="accepted").rows == ()
    fleet.insert([hop(MOST_HOPS, "delivered", version=2)])
    assert fleet.report().by_status["delivered"] == 1


def test_the_story_and_the_proof_say_what_is_not_told(fleet: Fleet) -> None:
    fleet.insert([hop(0)])
    for viewer, words in ((ENGINEER, "handed to gateway2.example.org"), (BOB, "another mail server of your provider")):
        found = fleet.answer(DELIVERY, DeliveryQuestion(told(fleet).id), viewer)
        assert found.story is not None
        assert words in say(found.story.headline)
        assert "whose log has not told yet" in say(found.story.headline)
    fleet.insert([hop(1, "delivered")])
    found = fleet.answer(DELIVERY, DeliveryQuestion(told(fleet).id))
    assert found.rows[0].updated_at == hop(1, "delivered").updated_at


def test_where_there_is_one_server_nothing_more_is_asked(office: Office) -> None:
    alone = fleet_of(office)
    alone.beat("web1", 1000)
    alone.insert([hop(0)])
    assert told(alone).hops == ()
    assert alone.service._own_servers() is None


def test_what_comes_live_is_not_delivered_before_the_next_server_has_told(fleet: Fleet) -> None:
    arrivals = fleet.service.arrivals()
    fleet.insert([hop(0)])
    [group] = arrivals.poll([("account", "bob@example.org")], 600_000).groups
    row = group.members[0].row
    assert (row.status, row.response, row.remote_host) == ("pending", "", "")
