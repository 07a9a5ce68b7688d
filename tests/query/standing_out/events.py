"""Failures that are counted in memory, as the tables count them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from postwatch.query.standing_out.groups import BASELINE_DAYS, DIMENSIONS, EVERYWHERE, LEVELS, Counts, Group, Place
from postwatch.query.standing_out.surprise import LEAST_EVENTS

NOW = -1
"""As the day: in the window."""


class Failure(NamedTuple):
    day: int
    provider: str
    reason: str
    server: str
    source_ip: str
    domain: str
    account: str


_AT = {name: number for number, name in enumerate(DIMENSIONS, 1)}


def place_of(**named: str) -> Place:
    level = tuple(name for name in DIMENSIONS if name in named)
    return Place(level, tuple(named[name] for name in level))


def is_at(failure: Failure, place: Place) -> bool:
    return all(failure[_AT[name]] == value for name, value in place.named.items())


def counter_of(failures: Sequence[Failure]) -> Callable[[Sequence[Place]], Counts]:
    """Counts them as `Count` has it."""

    def count(without: Sequence[Place]) -> Counts:
        found: dict[Place, Counter[int]] = defaultdict(Counter)
        found[EVERYWHERE] = Counter()
        for failure in failures:
            if any(is_at(failure, place) for place in without):
                continue
            for level in LEVELS:
                values = tuple(str(failure[_AT[name]]) for name in level)
                if all(values):
                    found[Place(level, values)][failure.day] += 1
        return Counts(
            tuple(
                Group(place, days[NOW], tuple(days[day] for day in range(BASELINE_DAYS)))
                for place, days in found.items()
                if not place.level or days[NOW] >= LEAST_EVENTS
            ),
            Counter(place.level for place in found),
        )

    return count


PROVIDERS = ("Google", "Google", "Google", "Microsoft", "Microsoft", "Yahoo", "GMX", "Apple", "")
REASONS = ("unknown-user",) * 5 + ("mailbox-full",) * 3 + ("greylisted",) * 5 + ("spam",) * 3 + ("rate-limit",) * 2


def quiet_failures(
    seed: int, each_day: int, servers: int = 4, days: int = BASELINE_DAYS, growth: int = 1
) -> list[Failure]:
    """What fails while nothing is broken: some accounts far more than others, some messages to several recipients."""
    chance = random.Random(seed)
    accounts = [
        (f"server{number % servers}", f"shop{number // 4}.example", f"mailbox{number}@shop{number // 4}.example")
        for number in range(servers * 32)
    ]
    weights = [1 / (number % 32 + 3) for number in range(len(accounts))]
    found: list[Failure] = []
    for day in (NOW, *range(days)):
        usual = each_day * growth if day == NOW else each_day
        for _ in range(round(chance.gauss(usual, usual**0.5))):
            [(server, domain, account)] = chance.choices(accounts, weights)
            ip = f"192.0.2.{(chance.randrange(3) + 1) * 10 + int(server[6:])}"
            for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
                reason = chance.choice(REASONS)
                found.append(Failure(day, chance.choice(PROVIDERS), reason, server, ip, domain, account))
    return found


def added(
    failures: Iterable[Failure], like: Callable[[random.Random], Failure], number: int, seed: int
) -> list[Failure]:
    chance = random.Random(seed + 1000)
    return [*failures, *(like(chance) for _ in range(number))]
