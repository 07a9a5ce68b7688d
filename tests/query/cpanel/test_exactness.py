"""The answers against brute force: random rows with old versions, repeats, tombstones, aliases and local mail."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from postwatch.query.cpanel.functions import Caller, answer_whm
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.cpanel.records import TYPES, events_of
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import KEY, Attempt, Outcome

from tests.query.conftest import MINUTE_MS, NOW_MS, Office, make_row

NAMES = OwnerNames({f"d{number}.example": f"user{number % 4}" for number in range(8)}, {"user1": "seller"})
VIEWERS = [
    ENGINEER,
    Viewer("dashboard", sees_all=True),
    Viewer("owner", domains=frozenset({"d1.example", "d5.example"}), system_users=frozenset({"user1"})),
    Viewer("anna", mailboxes=frozenset({"anna@d2.example"})),
]
STATUSES = list(TYPES)
ALL = {"success": "1", "defer": "1", "failure": "1", "inprogress": "1", "api.version": "1"}


def _messages(chance: random.Random, number: int) -> list[Outcome]:
    """Rows of messages, some with several recipients, versions, or a row for each end."""
    rows: list[Outcome] = []
    for index in range(number):
        account = f"{chance.choice(['anna', 'bert'])}@d{chance.randrange(8)}.example"
        if chance.random() < 0.1:
            account = f"user{chance.randrange(4)}@web1"
        queued_at = NOW_MS - chance.randrange(1, 20 * 24 * 60) * MINUTE_MS
        for to in range(chance.choice([1, 1, 1, 2, 3])):
            row = _one(chance, account, f"1tQ-{index}", queued_at, to)
            ends = [row]
            if chance.random() < 0.2:
                ends.append(row._replace(account="carl@d3.example", account_domain="d3.example", direction="received"))
            for end in ends:
                rows += _versions(chance, end)
    return rows


def _one(chance: random.Random, account: str, queue_id: str, queued_at: int, to: int) -> Outcome:
    attempts = tuple(
        Attempt(queued_at + (tried + 1) * MINUTE_MS, chance.choice(["deferred", "deferred", "delivered"]), 250, "said")
        for tried in range(chance.choice([0, 0, 1, 2, 5]))
    )
    comes_in = chance.random() < 0.2
    aliased = chance.random() < 0.2 and not comes_in
    return make_row(
        account=account,
        direction="received" if comes_in else "sent",
        sender="news@far.example" if comes_in else account,
        queue_id=queue_id,
        queued_at=queued_at,
        updated_at=queued_at + 10 * MINUTE_MS + to,
        recipient=f"r{to}@far.example",
        original_recipient="list@d7.example" if aliased else "",
        status=chance.choice(STATUSES),
        attempts=attempts,
        size_bytes=chance.randrange(1, 9000) if to == 0 else 0,
        transport=chance.choice(["", "remote_smtp", "dovecot_delivery", "lmtp", "smtp"]),
        remote_ip=chance.choice(["", "192.0.2.7"]),
    )


def _versions(chance: random.Random, row: Outcome) -> list[Outcome]:
    """The row, older versions of it, repeats; now and then it was retracted."""
    found = [row._replace(version=5)]
    if chance.random() < 0.3:
        found.append(row._replace(version=3, status="pending", attempts=(), updated_at=row.queued_at, size_bytes=77))
    if chance.random() < 0.2:
        found.append(found[0])
    if chance.random() < 0.1:
        found.append(row._replace(version=6, is_deleted=1))
    return found


def _last_versions(rows: Sequence[Outcome]) -> list[Outcome]:
    last: dict[tuple[Any, ...], Outcome] = {}
    for row in rows:
        key = tuple(getattr(row, name) for name in KEY)
        if key not in last or row.version > last[key].version:
            last[key] = row
    return [row for row in last.values() if not row.is_deleted]


def _is_his(viewer: Viewer, row: Outcome) -> bool:
    if viewer.sees_all or row.account in viewer.mailboxes or row.account_domain in viewer.domains:
        return True
    user, _, host = row.account.rpartition("@")
    return host == row.server and user in viewer.system_users


def _deliveries(viewer: Viewer, rows: Sequence[Outcome]) -> list[Outcome]:
    """One row of each delivery, as the viewer may tell them apart."""
    his = [row for row in _last_versions(rows) if _is_his(viewer, row)]
    sent = {(row.server, row.queue_id, row.queued_at, row.recipient) for row in his if row.direction == "sent"}
    single = [
        row
        for row in his
        if row.direction == "sent" or (row.server, row.queue_id, row.queued_at, row.recipient) not in sent
    ]
    kept: dict[tuple[Any, ...], Outcome] = {}
    for row in single:
        hidden = row.direction == "sent" and row.original_recipient and not viewer.owns(row.original_recipient)
        shown = row.original_recipient if hidden and not viewer.sees_all else row.recipient
        key = (row.account, row.server, row.queue_id, row.queued_at, shown, row.direction)
        if key not in kept or row.updated_at > kept[key].updated_at:
            kept[key] = row
    return list(kept.values())


def _ask(office: Office, viewer: Viewer, function: str, **asked: str) -> dict[str, Any]:
    document = answer_whm(office.service, Caller(viewer, NAMES), function, asked)
    assert document["metadata"]["result"] == 1, document
    return document


@pytest.mark.parametrize("seed", [1, 2])
def test_records_and_statistics_are_those_of_brute_force(seed: int, office: Office) -> None:
    chance = random.Random(seed)
    rows = _messages(chance, 500)
    chance.shuffle(rows)
    for start in range(0, len(rows), 200):
        office.insert(rows[start : start + 200])
    for viewer in VIEWERS:
        deliveries = _deliveries(viewer, rows)
        expected = Counter(
            (TYPES[event.status], row.queue_id, row.queued_at // 1000, event.at // 1000)
            for row in deliveries
            for event in events_of(row)
        )
        document = _ask(office, viewer, "emailtrack_search", **ALL)
        found = Counter(
            (one["type"], one["msgid"], one["sendunixtime"], one["actionunixtime"])
            for one in document["data"]["records"]
        )
        assert found == expected, viewer.name
        assert document["metadata"]["overflowed"] == 0

        counted = [row for row in deliveries if viewer.sees_all or row.direction == "sent"]
        if viewer.sees_all:  # of a message that somebody here sent, what its recipients got is not counted again
            sent = {(row.server, row.queue_id) for row in counted if row.direction == "sent"}
            counted = [row for row in counted if row.direction == "sent" or (row.server, row.queue_id) not in sent]
        types = Counter(TYPES[event.status] for row in counted for event in events_of(row))
        sizes: dict[tuple[str, str], int] = {}
        for row in counted:
            key = (row.account if row.direction == "sent" else "", row.queue_id)
            sizes[key] = max(sizes.get(key, 0), row.size_bytes)
        [total] = _ask(office, viewer, "emailtrack_stats", **{"api.version": "1"})["data"]["records"]
        assert total["SENDCOUNT"] == len(sizes), viewer.name
        assert total["TOTALSIZE"] == sum(sizes.values())
        assert total["SUCCESSCOUNT"] == types["success"]
        assert total["DEFERCOUNT"] == types["defer"]
        assert total["FAILCOUNT"] == types["failure"]
        assert total["INPROGRESSCOUNT"] == types["inprogress"]
        users = _ask(office, viewer, "emailtrack_user_stats", **{"api.version": "1"})["data"]["records"]
        assert sum(one["SENDCOUNT"] for one in users) == len(sizes)


@pytest.mark.parametrize("is_reversed", ["0", "1"])
@pytest.mark.parametrize("delivery_type", ["all", "remote"])
def test_pages_are_read_in_pieces_and_hold_each_record_once(
    delivery_type: str, is_reversed: str, office: Office
) -> None:
    """Of remote deliveries, few of all that are read, a page needs more than the first piece."""
    rows = _messages(random.Random(3), 700)
    office.insert(rows)
    known = {**ALL, "deliverytype": delivery_type}
    whole = _ask(office, ENGINEER, "emailtrack_search", **known)["data"]["records"]
    asked = {
        **known,
        "api.sort.enable": "1",
        "api.sort.a.field": "sendunixtime",
        "api.sort.a.reverse": is_reversed,
        "api.chunk.enable": "1",
        "api.chunk.size": "120",
    }
    found: list[dict[str, Any]] = []
    while page := _ask(office, ENGINEER, "emailtrack_search", **asked, **{"api.chunk.start": str(len(found) + 1)})[
        "data"
    ]["records"]:
        assert len(found) % 120 == 0, "only the last page may have room"
        found += page
    times = [one["sendunixtime"] for one in found]
    assert times == sorted(times, reverse=is_reversed == "1")
    assert Counter(map(str, found)) == Counter(map(str, whole))


@pytest.mark.parametrize("delivery_type", ["remote", "local", "all"])
def test_the_kind_of_a_delivery_is_the_same_in_records_and_statistics(delivery_type: str, office: Office) -> None:
    rows = _messages(random.Random(4), 300)
    office.insert(rows)
    for viewer in VIEWERS[2:]:
        records = _ask(office, viewer, "emailtrack_search", **ALL, deliverytype=delivery_type)["data"]["records"]
        sent = {row.queue_id for row in _deliveries(viewer, rows) if row.direction == "sent"}
        records = [one for one in records if one["msgid"] in sent and one["sender"] != "news@far.example"]
        types = Counter(one["type"] for one in records)
        [total] = _ask(office, viewer, "emailtrack_stats", deliverytype=delivery_type)["data"]["records"]
        assert (total["SUCCESSCOUNT"], total["DEFERCOUNT"]) == (types["success"], types["defer"]), viewer.name


def test_what_is_cut_is_said_in_words(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postwatch.query.cpanel.search.MOST_ROWS", 40)
    office.insert(_messages(random.Random(5), 100))
    document = _ask(office, ENGINEER, "emailtrack_search", **ALL)
    assert document["metadata"]["overflowed"] == 1
    assert "Only the newest 40 deliveries" in document["metadata"]["output"]["warnings"][0]
    times = [one["sendunixtime"] for one in document["data"]["records"]]
    assert times == sorted(times, reverse=True)
    first = {"api.sort.enable": "1", "api.sort.a.field": "sendunixtime"}
    upwards = _ask(office, ENGINEER, "emailtrack_search", **ALL, **first)
    assert "Only the oldest 40 deliveries" in upwards["metadata"]["output"]["warnings"][0]
    assert upwards["data"]["records"][-1]["sendunixtime"] < times[-1]


def test_where_users_are_left_out_those_told_have_all_their_numbers(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.insert(_messages(random.Random(6), 200))
    whole = _ask(office, ENGINEER, "emailtrack_user_stats")["data"]["records"]
    monkeypatch.setattr("postwatch.query.cpanel.fleet_statistics.MOST_GROUPS", 3)
    monkeypatch.setattr("postwatch.query.cpanel.statistics.MOST_GROUPS", 3)
    cut = _ask(office, ENGINEER, "emailtrack_user_stats")
    assert cut["metadata"]["overflowed"] == 1
    assert "who sent most" in cut["metadata"]["output"]["warnings"][0]
    found = cut["data"]["records"]
    assert len([one for one in found if one["USER"] != "-remote-"]) == 3
    assert all(one in whole for one in found)
