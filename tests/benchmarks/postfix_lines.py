"""Lines of an ordinary day of Postfix: about eight for each message, twenty messages under way at a time."""

from __future__ import annotations

import datetime
import random
from collections import deque
from collections.abc import Iterator

_UNDER_WAY = 20
_EVERY_MS = 100


def postfix_lines(count: int, seed: int, first_ms: int) -> Iterator[str]:
    """So many lines, or a few less; the messages under way at the end are not finished."""
    chance = random.Random(seed)
    in_flight: deque[deque[str]] = deque()
    made = number = 0
    while made < count:
        if len(in_flight) < _UNDER_WAY:
            in_flight.append(deque(_message(chance, number)))
            number += 1
        message = chance.choice(in_flight)
        moment = datetime.datetime.fromtimestamp((first_ms + number * _EVERY_MS) / 1000, datetime.UTC)
        yield f"{moment:%b} {moment.day:2} {moment:%H:%M:%S} mx7 {message.popleft()}"
        made += 1
        if not message:
            in_flight.remove(message)


def _message(chance: random.Random, number: int) -> Iterator[str]:
    queue_id = f"{chance.randrange(16**5):05X}{number % 16**6:06X}"
    sender = f"writer{chance.randrange(2000)}@here.example"
    size = chance.randrange(800, 90_000)
    ip = f"198.51.100.{number % 250}"
    yield f"postfix/smtpd[7001]: connect from host{number % 900}.dsl.example[{ip}]"
    yield (
        f"postfix/submission/smtpd[7001]: {queue_id}: client=host{number % 900}.dsl.example[{ip}], sasl_method=PLAIN,"
        f" sasl_username={sender}"
    )
    yield f"postfix/cleanup[7002]: {queue_id}: message-id=<{number}.{_word(chance)}@here.example>"
    yield f"postfix/qmgr[7003]: {queue_id}: from=<{sender}>, size={size}, nrcpt=1 (queue active)"
    yield f"postfix/smtpd[7001]: disconnect from host{number % 900}.dsl.example[{ip}] ehlo=2 auth=1 commands=5"
    for _ in range(1 + (chance.random() < 0.3)):
        yield f"postfix/smtp[7004]: {queue_id}: {_delivery(chance)}"
    yield f"postfix/qmgr[7003]: {queue_id}: removed"


def _word(chance: random.Random) -> str:
    return f"{chance.randrange(16**8):08x}"


def _delivery(chance: random.Random) -> str:
    to = f"to=<reader{chance.randrange(100_000)}@far{chance.randrange(300)}.example>"
    relay = f"relay=mx1.far{chance.randrange(300)}.example[192.0.2.1]:25, delay=1.2, delays=0.1/0/0.6/0.5"
    drawn = chance.random()
    if drawn < 0.85:
        return f"{to}, {relay}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {_word(chance).upper()})"
    if drawn < 0.95:
        return f"{to}, {relay}, dsn=4.7.1, status=deferred (host mx1.far.example[192.0.2.9] said: 451 4.7.1 Greylisted)"
    return f"{to}, {relay}, dsn=5.1.1, status=bounced (host mx1.far.example[192.0.2.9] said: 550 5.1.1 User unknown)"
