"""Failures over the real engine: counts, the baseline, what stands out, and who may see what."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import pytest
from postwatch.query.commands.reports import command_of
from postwatch.query.errors import FilterError
from postwatch.query.reports.bounces import REPORT
from postwatch.query.reports.bounces_question import BouncesQuestion, decode_position, encode_position, read_bounces
from postwatch.query.reports.bounces_table import cut_middle
from postwatch.query.reports.failures import Failures
from postwatch.query.statements import Delivery
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import Attempt

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, Open, make_row

OWNER = Viewer("shop", domains=frozenset({"shop.example"}))


def failing(number: int, minutes_ago: float = 5, days_ago: int = 0, **known: Any) -> Delivery:
    """A row whose attempts failed then."""
    at = NOW_MS - round(minutes_ago * MINUTE_MS) - days_ago * DAY_MS
    status, reason = known.get("status", "bounced"), known.get("reason", "reputation")
    source_ip = known.pop("source_ip", "192.0.2.5")
    attempt = Attempt(at, status, 550, "550 no", "mx.example", "198.51.100.1", reason, source_ip)
    return make_row(
        **{
            "account": "ann@shop.example",
            "server": "web1",
            "queue_id": f"q{number:06}",
            "recipient": f"r{number}@far.example",
            "queued_at": at - 1000,
            "updated_at": at,
            "status": "bounced",
            "reason": reason,
            "response": "550 no",
            "remote_provider": "Google",
            "attempts": (attempt,),
            **known,
        }
    )


def delivered(days: int = 8, each: int = 30) -> Iterator[Delivery]:
    """Mail of every day, so that the days before are known."""
    for day in range(days):
        for number in range(each):
            at = NOW_MS - day * DAY_MS - number * MINUTE_MS
            yield make_row(
                account="zoe@other.example",
                queue_id=f"d{day}-{number}",
                queued_at=at - 1500,
                updated_at=at,
                attempts=(Attempt(at, "delivered", 250, "250 OK", "mx", "198.51.100.1", "", "192.0.2.5"),),
            )


def ask(office: Office, viewer: Viewer = ENGINEER, **asked: Any) -> Failures:
    return office.service.answer(viewer, REPORT, BouncesQuestion(**asked))


def values(answer: Failures) -> list[tuple[tuple[str, ...], int, int]]:
    return [(one.place.values, one.failed, one.deferred) for one in answer.groups]


def test_each_recipient_counts_once_for_a_group_of_the_window(office: Office) -> None:
    at = NOW_MS - 20 * MINUTE_MS
    tries = tuple(
        Attempt(at + n * MINUTE_MS, "deferred", 451, "451 later", "mx", "198.51.100.1", "greylisted", "")
        for n in range(4)
    )
    waits = make_row(
        status="deferred", attempts=tries, queued_at=at, updated_at=at + 3 * MINUTE_MS, remote_provider="Google",
        account="ann@shop.example", reason="greylisted", queue_id="w1",
    )  # fmt: skip
    office.insert([waits, waits._replace(version=2), failing(1), failing(2), failing(3, minutes_ago=90)])
    assert sorted(values(ask(office))) == [(("Google", "greylisted"), 0, 1), (("Google", "reputation"), 2, 0)]
    assert sorted(values(ask(office, last="day"))) == [
        (("Google", "greylisted"), 0, 1),
        (("Google", "reputation"), 3, 0),
    ]
    assert values(ask(office, status="deferred")) == [(("Google", "greylisted"), 0, 1)]
    assert values(ask(office, by="ip,server", status="failed")) == [(("web1", "192.0.2.5"), 2, 0)]
    assert values(ask(office, by="account", reason="greylisted")) == [(("ann@shop.example",), 0, 1)]
    assert values(ask(office, by="domain", provider="Yahoo")) == []


def test_a_later_version_and_a_tombstone_are_believed(office: Office) -> None:
    gone = failing(1)
    office.insert([gone, failing(2)])
    office.insert([gone._replace(version=2, is_deleted=1)])
    assert values(ask(office)) == [(("Google", "reputation"), 1, 0)]


def test_one_address_that_one_provider_refuses_is_named_with_its_beginning_and_its_lines(office: Office) -> None:
    old = [
        failing(day * 100 + number, minutes_ago=number * 3, days_ago=day, reason="unknown-user", source_ip=ip)
        for day in range(8)
        for number in range(12)
        for ip in (f"192.0.2.{5 + number % 3}",)
    ]
    new = [failing(5000 + number, minutes_ago=30 - number) for number in range(28)]
    office.insert([*delivered(), *old, *new])
    answer = ask(office)
    assert answer.known_days == 7
    [trouble] = answer.troubles
    assert trouble.group.place.named == {"provider": "Google", "reason": "reputation", "source_ip": "192.0.2.5"}
    assert (trouble.group.failed, trouble.group.deferred, trouble.span.until_ms) == (28, 0, 0)
    assert abs(trouble.span.since_ms - (NOW_MS - 30 * MINUTE_MS)) <= 15 * MINUTE_MS
    assert answer.groups[0].stands_out
    assert [one.recipient for one in ask(office, reason="reputation").newest][:2] == [
        "r5027@far.example",
        "r5026@far.example",
    ]
    story = office.service.answer(ENGINEER, _story(), _story().question(trouble.group.id))
    assert story.rows[0].recipient == "r5027@far.example"
    assert ask(office, unusual=True).rows == (trouble,)


def _story() -> Any:
    from postwatch.query.reports.delivery import REPORT as DELIVERY

    return DELIVERY


def test_nothing_stands_out_where_no_day_before_is_known(office: Office) -> None:
    office.insert([failing(number) for number in range(40)])
    answer = ask(office)
    assert (answer.known_days, answer.troubles) == (0, ())
    assert answer.groups[0].expected is None
    assert "nothing can stand out yet" in REPORT.nothing_found(ask(office, unusual=True))


def test_who_owns_a_domain_sees_its_failures_and_no_server(office: Office, open_site: Open) -> None:
    hidden = failing(
        7, direction="sent", recipient="secret@elsewhere.example", original_recipient="info@friend.example",
        reason="unknown-user",
    )  # fmt: skip
    office.insert([failing(1), hidden, failing(3, account="bob@rival.example")])
    answer = ask(office, OWNER)
    assert sorted(values(answer)) == [(("", "unknown-user"), 1, 0), (("Google", "reputation"), 1, 0)]
    assert {one.recipient for one in answer.newest} == {"r1@far.example", "info@friend.example"}
    assert [one.id for one in answer.groups if one.place.values[0] == ""] == [""]
    for name in ("server", "ip"):
        for refused in ({"by": name}, {name: "web1"}):
            with pytest.raises(FilterError, match=f"{name} is for engineers only"):
                ask(office, OWNER, **refused)
    page = open_site(office.service, OWNER).get("/bounces").text
    assert "web1" not in page
    assert "192.0.2.5" not in page
    assert "secret@" not in page
    assert "rival" not in page


def test_pages_of_groups_by_a_cursor(office: Office) -> None:
    office.insert([failing(number, account=f"a{number // (number % 3 + 1)}@shop.example") for number in range(30)])
    whole = values(ask(office, by="account"))
    found, cursor = [], ""
    for _ in range(20):
        answer = ask(office, by="account", limit=4, cursor=cursor)
        found += values(answer)
        office.now_ms += MINUTE_MS  # the window of a cursor stays
        cursor = answer.next_cursor
        if not cursor:
            break
    assert found == whole
    assert decode_position(encode_position(1, 2, 3)) == (1, 2, 3)


@pytest.mark.parametrize("cursor", ["x", "AAAA", encode_position(5, 5, 1), encode_position(1, 2, 10_001), "\u00e4"])
def test_a_cursor_that_is_none_is_refused(cursor: str, office: Office) -> None:
    with pytest.raises(FilterError, match="cursor is not valid"):
        ask(office, cursor=cursor)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"by": "recipient"}, "by 'recipient' is not valid: use provider, reason, server, ip, domain, account"),
        ({"last": "week"}, "last 'week' is not valid: use hour, day"),
        ({"status": "delivered"}, "status 'delivered' is not valid"),
        ({"since": "2026-11-02", "until": "2026-11-01"}, "nothing lies between them"),
        ({"since": "2026-11-01", "until": "2026-11-20"}, "at most 7 days"),
        ({"limit": 0}, "limit=0 is out of range"),
    ],
)
def test_what_can_not_be_asked_is_told(asked: dict[str, Any], words: str, office: Office) -> None:
    with pytest.raises(FilterError, match=words):
        ask(office, **asked)


def _run(office: Office, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    command = command_of("bounces")
    command.configure(parser)
    return command.show(office.service, parser.parse_args(words)), capsys.readouterr().out


@pytest.mark.parametrize(("since", "ago_ms"), [("90m", 90 * MINUTE_MS), ("3H", 180 * MINUTE_MS), ("2d", 2 * DAY_MS)])
def test_since_may_be_an_age(since: str, ago_ms: int) -> None:
    wanted = read_bounces(BouncesQuestion(since=since), ENGINEER, NOW_MS, 50)
    assert (wanted.since_ms, wanted.until_ms) == (NOW_MS - ago_ms, NOW_MS)
    with pytest.raises(FilterError, match="at most 7 days"):
        read_bounces(BouncesQuestion(since="8d"), ENGINEER, NOW_MS, 50)


def test_the_table_fits_80_columns_and_each_row_has_an_id(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "a-customer-with-a-very-long-name-indeed@a-domain-that-is-long-too.example"
    office.insert([*delivered(), *(failing(n, 5 + n / 9, account=long, server="s" * 50) for n in range(25))])
    status, out = _run(office, capsys, "--by", "server,ip,account,reason")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    [group] = ask(office, by="account").groups
    assert group.id in out
    assert cut_middle(long, 28) in out
    assert "25 failed, 0 deferred" in out
    status, out = _run(office, capsys, "--unusual", "--format", "ndjson")
    [trouble] = map(json.loads, out.splitlines())
    assert (status, trouble["server"], trouble["stands_out"], trouble["until"]) == (0, "s" * 50, True, None)
    assert _run(office, capsys, "--unusual", "--domain", "quiet.example")[0] == 1
    assert _run(office, capsys, "--provider", "Yahoo")[0] == 1


def test_a_cut_text_keeps_both_ends() -> None:
    assert cut_middle("abcdefghij", 10) == "abcdefghij"
    assert cut_middle("abcdefghijk", 10) == "abcd…ghijk"
    assert all(len(cut_middle("x" * 40, width)) == width for width in range(3, 40))


def test_a_stranger_writes_no_control_into_the_terminal(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.insert([failing(1, account="\x1b[31mx@shop.example", account_domain="shop.example", server="we\u202eb")])
    out = _run(office, capsys, "--by", "account,server")[1]
    assert "\\x1b[31mx@shop.example" in out
    assert "\u202e" not in out


def test_the_page_leads_from_what_stands_out_to_the_rows_and_the_lines(office: Office, open_site: Open) -> None:
    lines = ("2026-11-28 one => line", "another line")
    office.insert([*delivered(), *(failing(number, log_lines=lines) for number in range(25))])
    site = open_site(office.service)
    page = site.get("/bounces").text
    assert page.index("What stands out") < page.index("All that failed or was deferred")
    [trouble] = ask(office).troubles
    assert f'href="/delivery/{trouble.group.id}"' in page
    assert "one =&gt; line" in site.get(f"/delivery/{trouble.group.id}").text
    wrong = site.get("/bounces", params={"since": "yesterday"})
    assert wrong.status_code == 422
    assert "is not a time" in wrong.text
