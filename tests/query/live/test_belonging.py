"""What a row in memory is said to be, against what SQL says of it on the real engine."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from postwatch.query.filters import STATUS_WORDS
from postwatch.query.live.arrivals import Group, Member
from postwatch.query.live.changes import changes_of
from postwatch.query.report_service import ReportService
from postwatch.query.reports.account import REPORT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Delivery
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import RESULTS, Outcome
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, make_row

_ACCOUNTS = (
    "bob@shop.example",
    "anna@bakery.example",
    "boss@bakery.example",
    "bakery@web1",
    "bakery@web2",
    "bakery@shop.example",
)
_ADDRESSES = ("bob@shop.example", "Anna@Bakery.Example", "m1@secret.example", "m2@secret.example", "x=40y@z", "")
_ALIASES = ("list@bakery.example", "All@Shop.Example", "ÄRGER@über.example", "", "")
_WORDS = ("secret", "m1@", "@bakery.example", "über", "ÜBER", "STRASSE", "straße", "full", "192.0.2", "web1", "ſ", "K")
_REPLIES = (
    "552 mailbox full for <m1@secret.example>",
    "250 OK STRASSE",
    "/home/secret/x full",
    "İstanbul K",
    "",
    "a＠b c",
)
_VIEWERS = (
    ENGINEER,
    Viewer("all", sees_all=True),
    Viewer("bob", mailboxes=frozenset({"bob@shop.example"})),
    Viewer("anna", mailboxes=frozenset({"anna@bakery.example"})),
    Viewer("owner", domains=frozenset({"bakery.example"}), system_users=frozenset({"bakery"})),
    Viewer("nobody"),
)


def _row(random: Random, number: int) -> Outcome:
    status = random.choice(sorted(RESULTS))
    # Two messages of an account: so members of one address meet.
    queued_at = NOW_MS - random.choice([1, 2]) * DAY_MS
    account = random.choice(_ACCOUNTS)
    domain = account.rpartition("@")[2]
    return make_row(
        account=account,
        queue_id=random.choice("AB"),
        message_id=f"{number}@x",
        direction=random.choice(["sent", "sent", "received"]),
        server=domain if "." not in domain else random.choice(["web1", "web2"]),  # a system user's domain is his server
        sender=random.choice(_ADDRESSES),
        recipient=random.choice(_ADDRESSES),
        original_recipient=random.choice(_ALIASES),
        subject=random.choice([*_REPLIES, chr(random.randrange(0xA0, 0x2000)) * 3]),
        client_ip=random.choice(["", "192.0.2.1"]),
        authenticated_as=random.choice(["", "bob"]),
        parent_queue_id=random.choice(["", "P"]),
        response=random.choice(_REPLIES),
        remote_host=random.choice(["", "mx.secret.example"]),
        queued_at=queued_at,
        updated_at=queued_at + random.choice([0, 1000, 2000, DAY_MS - MINUTE_MS]),
        status=status,
        result=RESULTS[status],
        version=number,  # no two rows of one key have one version: it is a function of what is known
        is_deleted=int(random.random() < 0.2),
    )


def _question(random: Random) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "account": random.choice(
            [*_ACCOUNTS, "@bakery.example", "@bakery.example", "@shop.example", "bakery", "@web1"]
        ),
        "days": random.choice([None, None, 1, 2]),
        "by": random.choice(["event", "sent"]),
        "bounces": random.random() < 0.5,
    }
    if random.random() < 0.3:
        asked["recipient"] = random.choice([*_ADDRESSES, *_ALIASES, *_WORDS])
    if random.random() < 0.5:
        asked["text"] = random.choice([*_WORDS, *_WORDS, *_REPLIES[:4], chr(random.randrange(0xA0, 0x2000))])
    if random.random() < 0.3:
        asked["status"] = random.choice(STATUS_WORDS)
    if random.random() < 0.3:
        asked["direction"] = random.choice(["sent", "received"])
    return asked


@pytest.mark.stack
@pytest.mark.parametrize("seed", range(3))
def test_a_page_that_got_its_rows_live_is_the_page_that_is_read(seed: int, office: Office) -> None:
    """Everything inserted is handed to a page as one poll hands it over; then it must show what the report shows."""
    random = Random(seed)
    office.insert([_row(random, number) for number in range(1, 600)])
    watched = {("domain", name) for name in ("shop.example", "bakery.example", "web1", "web2")}
    found = office.service.arrivals().poll(watched, MINUTE_MS)
    assert not found.has_more
    compared = 0
    for _ in range(60):
        viewer, question = random.choice(_VIEWERS), AccountQuestion(**_question(random))
        answer = office.service.answer(viewer, REPORT, question)
        changes = changes_of(office.service.window(viewer, question), found.groups, NOW_MS)
        live = [(one.row.id, one.row) for one in reversed(changes.shown)]
        assert live == [(row.id, row) for row in answer.rows], (viewer, question)
        assert changes.has_more == bool(answer.next_cursor)
        compared += len(live)
    assert compared >= 300


ROW_ID = "of-one-row"


def test_a_repeat_tells_of_rows_that_are_not_new() -> None:
    row = Delivery(*make_row(version=2))
    row.id = ROW_ID
    viewer = Viewer("bob", mailboxes=frozenset({row.account}))
    group = Group("all", 1, (Member(row, False),))
    service = ReportService(lambda _statement: [], QuerySettings(), ClickHouseSettings(), JoinSettings())
    window = service.window(viewer, AccountQuestion(row.account))
    assert not changes_of(window, [group], NOW_MS)
    assert [one.row.id for one in changes_of(window, [group], NOW_MS, is_repeat=True).shown] == [ROW_ID]
