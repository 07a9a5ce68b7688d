"""The statistics, on the real engine: against a count by hand, and as each viewer may see them."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.errors import FilterError
from postwatch.query.reports.statistics import REPORT, Statistics, StatisticsQuestion
from postwatch.query.reports.statistics_statements import GROUPS, SORTS, StatisticsWindow, state_groups
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import RESULTS, Outcome, iso_time

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, Open, make_row

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
OWNER = Viewer("owner", domains=frozenset({"d1.example"}))
HOUR_MS = 60 * MINUTE_MS
HOSTILE = "x'; DROP TABLE deliveries; --"


def _statistics(office: Office, viewer: Viewer = ENGINEER, **asked: Any) -> Statistics:
    return office.service.answer(viewer, REPORT, StatisticsQuestion(**asked))


def _random_rows(seed: int) -> list[Outcome]:
    """Messages with several recipients, in several versions; some are retracted."""
    chance = random.Random(seed)
    rows: list[Outcome] = []
    for number in range(300):
        queued_at = NOW_MS - chance.randrange(1, 40 * 24 * 60) * MINUTE_MS
        for to in range(chance.choice([1, 1, 2, 3])):
            row = make_row(
                account=f"{chance.choice(['anna', 'bert'])}@d{chance.randrange(3)}.example",
                direction=chance.choice(["sent", "sent", "received"]),
                queue_id=f"Q{number}",
                server=chance.choice(["web1", "web2"]),
                queued_at=queued_at,
                recipient=f"r{to}@far.example",
                remote_provider=chance.choice(["Google", ""]),
                reason=chance.choice(["", "rate-limit", "dns"]),
                size_bytes=chance.randrange(1, 5000),
                status=chance.choice(list(RESULTS)),
                version=2,
            )
            rows += [row, row._replace(version=1, status="pending", size_bytes=99999)]
            if chance.random() < 0.1:
                rows.append(row._replace(version=3, is_deleted=1))
    chance.shuffle(rows)
    return rows


def _by_hand(rows: list[Outcome], by: str, direction: str, days: int) -> dict[str, tuple[int, ...]]:
    newest: dict[tuple[Any, ...], Outcome] = {}
    for row in rows:
        key = (row.account, row.queued_at, row.server, row.queue_id, row.recipient, row.direction)
        if key not in newest or row.version > newest[key].version:
            newest[key] = row
    found: dict[str, list[Outcome]] = {}
    for row in newest.values():
        if row.is_deleted or row.direction != direction or row.queued_at < NOW_MS - days * DAY_MS:
            continue
        values = {
            "domain": row.account_domain,
            "account": row.account,
            "server": row.server,
            "provider": row.remote_provider,
            "day": iso_time(row.queued_at // DAY_MS * DAY_MS),
            "hour": iso_time(row.queued_at // HOUR_MS * HOUR_MS),
        }
        found.setdefault(values[by], []).append(row)
    return {value: _counted(some) for value, some in found.items()}


def _counted(rows: list[Outcome]) -> tuple[int, ...]:
    sizes: dict[tuple[Any, ...], int] = {}
    for row in rows:
        key = (row.server, row.queue_id, row.queued_at)
        sizes[key] = max(sizes.get(key, 0), row.size_bytes)

    def number(*statuses: str) -> int:
        return sum(row.status in statuses for row in rows)

    return (
        len(sizes),
        len(rows),
        number("delivered"),
        number("pending", "deferred"),
        number("bounced", "expired", "cancelled"),
        number("rejected"),
        number("discarded"),
        sum(row.reason == "rate-limit" for row in rows),
        sum(sizes.values()),
    )


@pytest.mark.parametrize("direction", ["sent", "received"])
def test_the_statistics_are_what_a_count_by_hand_says(direction: str, office: Office) -> None:
    rows = _random_rows(7)
    office.insert(rows)
    for by in GROUPS:
        for days in (30, 3):
            answer = _statistics(office, by=by, direction=direction, days=days)
            found = {
                one.value: (
                    one.messages,
                    one.recipients,
                    one.delivered,
                    one.waiting,
                    one.failed,
                    one.rejected,
                    one.discarded,
                    one.limited,
                    one.size_bytes,
                )
                for one in answer.groups
            }
            assert found == _by_hand(rows, by, direction, days), (by, days)
            assert answer.total.recipients == sum(one[1] for one in found.values())
    most = [one.messages for one in _statistics(office, by="account").groups]
    assert most == sorted(most, reverse=True)
    hours = [one.value for one in _statistics(office, by="hour").groups]
    assert hours == sorted(hours, reverse=True)


def test_what_it_is_narrowed_to(office: Office) -> None:
    rows = _random_rows(8)
    office.insert(rows)
    his = [row for row in rows if row.account_domain == "d1.example" and row.server == "web1"]
    answer = _statistics(office, by="account", domain="D1.example", server="web1")
    assert {one.value: one.messages for one in answer.groups} == {
        value: counts[0] for value, counts in _by_hand(his, "account", "sent", 30).items()
    }
    unknown = _statistics(office, by="provider", provider="unknown")
    assert [one.value for one in unknown.groups] == [""]


def test_a_viewer_gets_the_statistics_of_his_own_mail(office: Office) -> None:
    rows = _random_rows(9)
    office.insert(rows)
    assert [one.value for one in _statistics(office, OWNER, by="domain").groups] == ["d1.example"]
    assert _statistics(office, OWNER, account="anna@d2.example").total.messages == 0
    assert not _statistics(office, BOB).groups


def test_an_alias_is_one_recipient_to_who_may_not_see_where_it_leads(office: Office) -> None:
    member = make_row(
        account="bob@example.org",
        original_recipient="list@other.example",
        remote_provider="Google",
        recipient="m1@secret.example",
    )
    office.insert([member, member._replace(recipient="m2@secret.example", updated_at=NOW_MS - 5)])
    answer = _statistics(office, BOB, by="provider")
    assert [(one.value, one.messages, one.recipients) for one in answer.groups] == [("", 1, 1)]
    assert not _statistics(office, BOB, by="provider", provider="google").groups
    assert _statistics(office, by="provider").total.recipients == 2


def test_what_can_t_be_asked(office: Office) -> None:
    for asked in ({"by": "sender"}, {"days": 0}, {"days": 31}, {"direction": "up"}):
        with pytest.raises(FilterError):
            _statistics(office, **asked)
    for asked in ({"by": "server"}, {"server": "web1"}):
        with pytest.raises(FilterError, match="only engineers"):
            _statistics(office, OWNER, **asked)


def test_no_word_of_a_question_gets_into_the_statement() -> None:
    for viewer in (ENGINEER, OWNER):
        for group in ("", *GROUPS):
            texts = []
            for word in (HOSTILE, "tame"):
                narrowed = tuple((name, word) for name in ("account", "domain", "server", "provider"))
                statement = state_groups(StatisticsWindow(viewer, "mail", narrowed, word, 5), group, 9)
                assert set(re.findall(r"\{(\w+):", statement.sql)) == statement.parameters.keys()
                texts.append(statement.sql)
            assert texts[0] == texts[1]


def test_the_page_counts_and_leads_on(office: Office, open_site: Open) -> None:
    office.insert(_random_rows(10))
    office.beat("web1", age_ms=1000)
    site = open_site(office.service)
    page = site.get("/statistics").text
    assert "d0.example" in page
    assert "<meter" in page
    assert "/statistics?by=account&amp;domain=d0.example" in page
    assert "anna@d0.example" in site.get("/statistics?by=account&domain=d0.example").text
    assert site.get("/statistics?by=hour&days=7").status_code == 200
    assert "server" not in REPORT.shape(_statistics(office, OWNER), []).model_dump()
    empty = open_site(office.service, BOB).get("/statistics").text
    assert "No mail in the last 30 days." in empty


def test_the_api_tells_the_same(office: Office, open_site: Open) -> None:
    office.insert(_random_rows(11))
    told = open_site(office.service).get("/api/v1/statistics?by=day&days=7").json()
    answer = _statistics(office, by="day", days=7)
    assert [one["value"] for one in told["groups"]] == [one.value for one in answer.groups]
    assert told["total"]["messages"] == answer.total.messages


def test_by_owner_the_domains_of_the_lists_are_put_together(office: Office) -> None:
    rows = _random_rows(10)
    office.insert(rows)
    names = OwnerNames({"d1.example": "olga", "d2.example": "olga", "d0.example": "boris"})
    domains = {one.value: one for one in _statistics(office, by="domain").groups}
    service = office.service
    service.owners = lambda: names
    for viewer, owned in ((ENGINEER, {"olga", "boris", ""}), (OWNER, {"olga"})):
        answer = service.answer(viewer, REPORT, StatisticsQuestion(by="owner"))
        found = {one.value: one for one in answer.groups}
        assert set(found) <= owned
        if viewer is ENGINEER:
            assert found["olga"].messages == domains["d1.example"].messages + domains["d2.example"].messages
            assert sum(one.recipients for one in answer.groups) == answer.total.recipients
    anna = Viewer("anna", mailboxes=frozenset({"anna@d1.example"}))
    assert {one.value for one in service.answer(anna, REPORT, StatisticsQuestion(by="owner")).groups} == {""}


def test_without_a_list_by_owner_says_what_to_set(office: Office, open_site: Open) -> None:
    office.insert(_random_rows(10))
    with pytest.raises(FilterError, match="set POSTWATCH_ACCESS_OWNERS") as caught:
        _statistics(office, by="owner")
    assert caught.value.field == "by"
    with pytest.raises(FilterError, match="no list of who owns"):
        _statistics(office, OWNER, by="owner")
    refused = open_site(office.service).get("/api/v1/statistics?by=owner")
    assert refused.status_code == 422
    assert "POSTWATCH_ACCESS_OWNERS" in refused.text


def test_by_sender_a_domain_or_an_account_is_counted(office: Office) -> None:
    rows = [row._replace(sender=f"s{index % 3}@{row.account_domain}") for index, row in enumerate(_random_rows(11))]
    rows += [row._replace(version=9, sender="s0@d1.example") for row in rows[:5]]
    office.insert(rows)
    newest: dict[tuple[Any, ...], Outcome] = {}
    for row in sorted(rows, key=lambda one: one.version):
        newest[row.account, row.queued_at, row.server, row.queue_id, row.recipient, row.direction] = row
    expected: dict[str, set[tuple[Any, ...]]] = {}
    for row in newest.values():
        is_counted = row.direction == "sent" and row.account_domain == "d1.example"
        if is_counted and not row.is_deleted and row.queued_at >= NOW_MS - 30 * DAY_MS:
            expected.setdefault(row.sender, set()).add((row.server, row.queue_id, row.queued_at))
    answer = _statistics(office, by="sender", domain="d1.example")
    assert {one.value: one.messages for one in answer.groups} == {name: len(ids) for name, ids in expected.items()}
    assert {one.value for one in _statistics(office, OWNER, by="sender").groups} <= set(expected)
    with pytest.raises(FilterError, match="needs a domain or an account"):
        _statistics(office, by="sender")


@pytest.mark.parametrize("sort", SORTS)
def test_who_has_most_of_what_is_asked_for_comes_first(sort: str, office: Office) -> None:
    office.insert(_random_rows(12))
    name = "size_bytes" if sort == "size" else sort
    service = office.service
    service.owners = lambda: OwnerNames({"d1.example": "olga", "d2.example": "olga", "d0.example": "boris"})
    for by in ("account", "owner", "provider"):
        answer = service.answer(ENGINEER, REPORT, StatisticsQuestion(by=by, sort=sort))
        figures = [getattr(one, name) for one in answer.groups]
        assert figures == sorted(figures, reverse=True)
    with pytest.raises(FilterError, match="not one of these"):
        _statistics(office, sort="best")
