"""The queue, on the real engine: against a count by hand, and for a viewer who may not see where mail goes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from postwatch.query.errors import FilterError
from postwatch.query.reports.queue import REPORT, Queue, QueueQuestion
from postwatch.query.reports.queue_statements import GROUPS
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import Attempt, Outcome

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, Open, make_row

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))


def _queue(office: Office, viewer: Viewer = ENGINEER, **asked: Any) -> Queue:
    return office.service.answer(viewer, REPORT, QueueQuestion(**asked))


def _tries(number: int) -> tuple[Attempt, ...]:
    return tuple(Attempt(NOW_MS - number, "deferred", 451, "451 later", "mx.example.net", "") for _ in range(number))


def _figures(queue: Queue) -> dict[str, tuple[int, int, int, int]]:
    return {one.value: (one.waiting, one.deferred, one.cleared, one.delivered) for one in queue.groups}


def test_the_queue_is_what_a_count_by_hand_says(office: Office) -> None:
    """Old versions, repeats and tombstones among random rows."""
    chance = random.Random(19)
    newest: dict[str, Outcome] = {}
    batches: list[list[Outcome]] = [[], [], []]
    for number in range(400):
        age = chance.choice([5, 50, 300, 2000, 7000, 20_000])
        row = make_row(
            queue_id=f"Q{number:04d}",
            queued_at=NOW_MS - age * MINUTE_MS,
            updated_at=NOW_MS - chance.randrange(0, min(age, 120)) * MINUTE_MS,
            server=chance.choice(["web1", "web2"]),
            recipient=f"r@{chance.choice(['a.example', 'B.example'])}",
            remote_provider=chance.choice(["Google", "Microsoft", ""]),
            remote_host=chance.choice(["mx1.google.example", "MX2.google.example"]),
        )
        for version in range(1, chance.randrange(2, 5)):
            status = chance.choice(["pending", "deferred", "deferred", "delivered", "bounced"])
            reason = chance.choice(["greylisted", "connection"]) if status == "deferred" else ""
            result = {"delivered": "accepted", "bounced": "failed"}.get(status, "pending")
            row = row._replace(
                status=status, result=result, reason=reason, version=version, attempts=_tries(version),
                is_deleted=int(chance.random() < 0.05),
            )  # fmt: skip
            batches[version % 3].append(row)
        newest[row.queue_id] = row
    for batch in chance.sample(batches, 3):
        office.insert(batch)
        office.insert(batch[:50])
    now = [one for one in newest.values() if not one.is_deleted and one.queued_at >= NOW_MS - 6 * DAY_MS]
    waits = [one for one in now if one.status in ("pending", "deferred")]
    cleared = [
        one
        for one in now
        if one.status not in ("pending", "deferred")
        and len(one.attempts) > 1
        and one.updated_at >= NOW_MS - 60 * MINUTE_MS
    ]
    key = {
        "provider": lambda one: one.remote_provider,
        "host": lambda one: one.remote_host,
        "server": lambda one: one.server,
        "reason": lambda one: one.reason,
        "domain": lambda one: one.recipient.rpartition("@")[2].lower(),
        "account": lambda one: one.account,
    }
    assert len(waits) > 100
    assert len(cleared) > 10
    for by in GROUPS:
        queue = _queue(office, by=by)
        expected = {}
        for value in {key[by](one) for one in waits + cleared}:
            of_waiting = [one for one in waits if key[by](one) == value]
            of_cleared = [one for one in cleared if key[by](one) == value]
            expected[value] = (
                len(of_waiting),
                sum(one.status == "deferred" for one in of_waiting),
                len(of_cleared),
                sum(one.status == "delivered" for one in of_cleared),
            )
            [group] = [one for one in queue.groups if one.value == value]
            assert group.oldest_ms == min((one.queued_at for one in of_waiting), default=0)
        assert _figures(queue) == expected, by
        assert queue.total.waiting == len(waits)
        assert [one.waiting for one in queue.groups] == sorted((one.waiting for one in queue.groups), reverse=True)
    of_google = [one for one in waits if one.remote_provider == "Google" and one.reason == "connection"]
    assert _queue(office, provider="google", reason="connection").total.waiting == len(of_google)
    assert _queue(office, provider="unknown").total.waiting == sum(not one.remote_provider for one in waits)
    seen: list[Outcome] = []
    cursor = ""
    while True:
        page = _queue(office, limit=17, cursor=cursor)
        seen += page.oldest
        cursor = page.next_cursor
        if not cursor:
            break
    assert [one.queued_at for one in seen] == sorted(one.queued_at for one in waits)
    assert {one.queue_id for one in seen} == {one.queue_id for one in waits}
    assert len(seen) == len(waits)


def test_the_id_of_a_group_leads_to_its_oldest_message(office: Office, open_site: Open) -> None:
    rows = [
        make_row(
            queue_id=f"Q{number}", queued_at=NOW_MS - number * MINUTE_MS, status="deferred", remote_provider="Google"
        )
        for number in range(1, 5)
    ]
    office.insert(rows)
    site = open_site(office.service)
    [group] = site.get("/api/v1/queue").json()["groups"]
    assert group["waiting"] == 4
    assert site.get(f"/api/v1/deliveries/{group['oldest_id']}").json()["delivery"]["queue_id"] == "Q4"
    page = site.get("/queue").text
    assert 'href="/queue?by=host&amp;provider=Google"' in page
    assert "4 wait, 4 of them deferred" in page
    assert "Nothing waits." in site.get("/queue?provider=Microsoft").text
    assert site.get("/queue?by=nothing").status_code == 422


def test_a_viewer_counts_his_own_and_not_where_it_goes(office: Office) -> None:
    hidden = make_row(
        status="deferred",
        original_recipient="team@partner.example",
        recipient="one@private.example",
        remote_host="mx.private.example",
        remote_provider="Google",
    )
    office.insert(
        [
            hidden,
            hidden._replace(recipient="two@private.example", updated_at=hidden.updated_at + 5),
            make_row(queue_id="OTHER", status="deferred", account="eve@other.example", remote_provider="Google"),
        ]
    )
    assert _figures(_queue(office, BOB)) == {"": (1, 1, 0, 0)}
    assert _figures(_queue(office, BOB, by="host")) == {"": (1, 1, 0, 0)}
    assert _figures(_queue(office, BOB, by="domain")) == {"partner.example": (1, 1, 0, 0)}
    narrowed: list[dict[str, Any]] = [
        {"provider": "Google"},
        {"host": "mx.private.example"},
        {"domain": "private.example"},
    ]
    for asked in narrowed:
        assert _queue(office, BOB, **asked).total.waiting == 0
        assert _queue(office, **asked).total.waiting > 0
    assert [row.recipient for row in _queue(office, BOB).oldest] == ["team@partner.example"]
    assert "private" not in repr(_queue(office, BOB))
    refused: list[dict[str, Any]] = [{"by": "server"}, {"server": "web1"}]
    for asked in refused:
        with pytest.raises(FilterError, match="only engineers"):
            _queue(office, BOB, **asked)
