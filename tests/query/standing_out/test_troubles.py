"""What is named as broken, and that nothing is while nothing is broken."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.query.standing_out.groups import BASELINE_DAYS, EVERYWHERE, LEVELS, Counts, Group
from postwatch.query.standing_out.surprise import LEAST_EVENTS, Expectation, growth_of
from postwatch.query.standing_out.troubles import MOST_TROUBLES, _sender_of, find_troubles

from tests.query.standing_out.events import (
    NOW,
    PROVIDERS,
    Failure,
    added,
    counter_of,
    place_of,
    quiet_failures,
)

SEEDS = range(8)
Kind = Callable[[random.Random, list[tuple[str, str, str]]], Failure]


def _ip_of(server: str, chance: random.Random) -> str:
    return f"192.0.2.{(chance.randrange(3) + 1) * 10 + int(server[6:])}"


def _ip_refused(chance: random.Random, accounts: list[tuple[str, str, str]]) -> Failure:
    sender = chance.choice([one for one in accounts if one[0] == "server1"])
    return Failure(NOW, "Google", "reputation", "server1", "192.0.2.11", *sender[1:])


def _dns_dead(chance: random.Random, accounts: list[tuple[str, str, str]]) -> Failure:
    sender = chance.choice([one for one in accounts if one[0] == "server2"])
    return Failure(NOW, "", "dns", "server2", "", *sender[1:])


def _spam_sent(chance: random.Random, accounts: list[tuple[str, str, str]]) -> Failure:
    server, domain, account = next(one for one in accounts if one[2].startswith("mailbox40@"))
    reason = chance.choice(("spam", "reputation", "rate-limit", "unknown-user"))
    return Failure(NOW, chance.choice(PROVIDERS), reason, server, _ip_of(server, chance), domain, account)


def _greylisted(chance: random.Random, accounts: list[tuple[str, str, str]]) -> Failure:
    server, domain, account = chance.choice(accounts)
    return Failure(NOW, "Yahoo", "greylisted", server, _ip_of(server, chance), domain, account)


KINDS: dict[str, tuple[Kind, dict[str, str]]] = {
    "one provider refuses one address": (
        _ip_refused,
        {"provider": "Google", "reason": "reputation", "source_ip": "192.0.2.11"},
    ),
    "the DNS of one server is dead": (_dns_dead, {"reason": "dns", "server": "server2"}),
    "one account sends spam": (_spam_sent, {"account": "mailbox40@shop10.example"}),
    "a provider greylists everybody": (_greylisted, {"provider": "Yahoo", "reason": "greylisted"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("each_day", [30, 120])
def test_the_broken_thing_is_named_at_its_own_level(kind: str, each_day: int) -> None:
    like, named = KINDS[kind]
    for seed in SEEDS:
        quiet = quiet_failures(seed, each_day)
        accounts = sorted({(one.server, one.domain, one.account) for one in quiet_failures(0, 300)})
        number = 30 + each_day // 5
        failures = added(quiet, lambda chance, known=accounts: like(chance, known), number, seed)  # type: ignore[misc]
        found = find_troubles(counter_of(failures), BASELINE_DAYS)
        assert [one.group.place.named for one in found] == [named], (seed, found)
        assert found[0].group.now >= number


@pytest.mark.parametrize("each_day", [10, 30, 120])
def test_nothing_stands_out_while_nothing_is_broken(each_day: int) -> None:
    for seed in SEEDS:
        assert find_troubles(counter_of(quiet_failures(seed, each_day)), BASELINE_DAYS) == []


def test_two_troubles_are_two_and_their_shadows_are_none() -> None:
    quiet = quiet_failures(3, 100)
    accounts = sorted({(one.server, one.domain, one.account) for one in quiet})
    failures = added(quiet, lambda chance: _dns_dead(chance, accounts), 40, 3)
    failures = added(failures, lambda chance: _greylisted(chance, accounts), 80, 3)
    found = [one.group.place.named for one in find_troubles(counter_of(failures), BASELINE_DAYS)]
    assert sorted(found, key=str) == sorted((KINDS[kind][1] for kind in list(KINDS)[1::2]), key=str)


def test_a_domain_is_not_named_beside_its_account() -> None:
    """One reason of the spam stands out at the domain: there are fewer domains to look at, and the account has failed
    for other reasons before."""
    reason = Group(place_of(reason="reputation", domain="a.example"), 26, (0,) * BASELINE_DAYS)
    of_account = Group(place_of(reason="reputation", account="x@a.example"), 25, (0,) * BASELINE_DAYS)
    sizes: dict[tuple[str, ...], int] = {("reason",): 10, ("domain",): 1000, ("account",): 4000}
    counts = Counts((Group(EVERYWHERE, 300, (250,) * BASELINE_DAYS), reason, of_account), sizes)
    usual = Expectation(counts, BASELINE_DAYS)
    assert _sender_of(usual.judge(reason), counts, usual) == of_account.place
    other = replace(of_account, place=place_of(reason="spam", account="x@a.example"))
    counts = replace(counts, groups=(counts.groups[0], reason, other))
    assert _sender_of(usual.judge(reason), counts, usual) == reason.place


def test_a_group_with_few_events_is_never_named() -> None:
    failures = [Failure(0, "Google", "spam", "server1", "", "a.example", "x@a.example")] * 5
    new = Failure(NOW, "Google", "dns", "server9", "", "b.example", "y@b.example")
    assert find_troubles(counter_of([*failures, *[new] * (LEAST_EVENTS - 1)]), BASELINE_DAYS) == []
    [found] = find_troubles(counter_of([*failures, *[new] * 3 * LEAST_EVENTS]), BASELINE_DAYS)
    assert found.group.now == 3 * LEAST_EVENTS


def test_a_judgement_needs_enough_events() -> None:
    usual = Expectation(counter_of(quiet_failures(1, 10))(()), BASELINE_DAYS)
    never = (0,) * BASELINE_DAYS
    surprising = usual.judge(Group(place_of(reason="dns"), LEAST_EVENTS - 1, never))
    assert surprising.surprise > 4
    assert not surprising.stands_out
    assert usual.judge(Group(place_of(reason="dns"), LEAST_EVENTS + 3, never)).stands_out


def test_more_mail_of_all_is_no_trouble() -> None:
    """Four times as much of everything: the growth of what is delivered says so."""
    four = quiet_failures(5, 100, growth=4)
    assert find_troubles(counter_of(four), BASELINE_DAYS) != []
    assert find_troubles(counter_of(four), BASELINE_DAYS, growth_of(4000, [1000] * 7)) == []


def test_less_mail_hides_no_trouble() -> None:
    assert growth_of(10, [1000] * 7) == growth_of(0, []) == growth_of(5, [0, 0]) == 1


def test_bursts_that_are_usual_for_a_group_are_no_trouble() -> None:
    group = Group(place_of(account="x@a.example"), 60, (0, 70, 0, 0, 65, 0, 0))
    steady = Group(place_of(account="y@a.example"), 60, (19, 20, 18, 20, 21, 18, 19))
    counter = counter_of([Failure(day, "", "spam", "s", "", "d", "z@d") for day in (NOW, *range(7)) for _ in range(30)])
    usual = Expectation(counter(()), BASELINE_DAYS)
    assert not usual.judge(group).stands_out
    assert usual.judge(steady).stands_out


def test_without_a_day_before_nothing_can_be_said() -> None:
    with pytest.raises(ValueError, match="day"):
        Expectation(counter_of([])(()), 0)


def test_days_that_are_not_known_do_not_count_as_quiet_ones() -> None:
    known = quiet_failures(2, 100, days=2)
    assert find_troubles(counter_of(known), 2) == []
    [everything] = [one for one in counter_of(known)(()).groups if one.place == EVERYWHERE]
    judged = [Expectation(counter_of(known)(()), days).judge(everything) for days in (2, BASELINE_DAYS)]
    assert judged[0].expected == pytest.approx(everything.now, rel=0.3)
    assert judged[1].expected < everything.now / 2


@given(st.integers(0, 400), st.integers(0, 400), st.lists(st.integers(0, 200), min_size=7, max_size=7))
def test_more_failures_are_never_less_surprising(few: int, more: int, days: list[int]) -> None:
    usual = Expectation(counter_of(quiet_failures(1, 30))(()), BASELINE_DAYS)
    place = place_of(server="server1")
    assert (
        usual.judge(Group(place, few, tuple(days))).surprise
        <= usual.judge(Group(place, few + more, tuple(days))).surprise
    )


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_the_loop_ends_and_names_no_place_twice(seed: int, broken: int) -> None:
    chance = random.Random(seed)
    failures = quiet_failures(seed, 20)
    for number in range(broken):
        one = chance.choice(failures)._replace(day=NOW, reason=f"odd-{number % 3}")
        failures += [one] * chance.randint(10, 60)
    found = find_troubles(counter_of(failures), BASELINE_DAYS)
    places = [one.group.place for one in found]
    assert len(set(places)) == len(places) <= MOST_TROUBLES
    assert all(one.stands_out for one in found)
    assert [one.surprise for one in found] == sorted((one.surprise for one in found), reverse=True)


def test_every_level_is_in_the_order_of_the_dimensions() -> None:
    assert LEVELS[0] == EVERYWHERE.level
    assert len(set(LEVELS)) == len(LEVELS)
    assert place_of(provider="Google", source_ip="192.0.2.1").common(place_of(provider="Google")) == place_of(
        provider="Google"
    )
