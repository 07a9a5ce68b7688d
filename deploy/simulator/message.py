"""The story of one message as its server logs it: arrival, attempts, retries, bounce, completion.

A story is told as steps in time, each with its line and what becomes true by it. It has no end of its own: whoever
listens stops when the time is up, and what was told until then is the truth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from postwatch.deploy.simulator import exim
from postwatch.deploy.simulator.courses import Course, token
from postwatch.deploy.simulator.truth import CANCELLED, DEFERRED, DELIVERED, PENDING, RECEIVED, SENT, TruthRow

FIRST_ATTEMPT_MS = 400
_LINE_MS = 30


class Step(NamedTuple):
    """One log line, without its stamp, and the truth that it makes."""

    at_ms: int
    text: str
    rows: tuple[TruthRow, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is handed in."""

    server: str
    at_ms: int
    queue_id: str
    message_id: str
    sender: str
    account: str
    """Whose mail it is, as far as the sender is a customer; else empty."""
    how: str
    """The client and protocol, as the arrival line has them."""
    subject: str
    size_bytes: int
    courses: tuple[Course, ...]
    is_cancelled: bool = False
    """Root removes it from the queue when the first retry is due."""


class Teller:
    """Tells stories of messages on the servers of a provider."""

    def __init__(self, chance: random.Random, hosted: Callable[[str], bool], next_process: Callable[[], int]) -> None:
        self._chance = chance
        self._hosted = hosted
        """Whether an address is a customer's."""
        self._next_process = next_process

    def tell(self, message: Message, gaps_ms: Sequence[int]) -> Iterator[Step]:
        """The steps in order of time; `gaps_ms` lie between one try and the next, the last one again and again."""
        given = list(dict.fromkeys(course.given for course in message.courses))
        opening = exim.arrival(
            message.sender, message.how, message.size_bytes, message.message_id, message.subject, given
        )
        pending = tuple(row for address in given for row in self._rows(message, address, "", PENDING))
        yield Step(message.at_ms, f"{message.queue_id} {opening}", pending)
        at_ms = message.at_ms + FIRST_ATTEMPT_MS
        waiting = list(message.courses)
        for number in range(1000):
            failed: list[str] = []
            hosts: set[str] = set()
            for course in list(waiting):
                text, status = course.attempts[min(number, len(course.attempts) - 1)]
                yield Step(at_ms, self._shared(message.queue_id, text, hosts), self._changes(message, course, status))
                at_ms += _LINE_MS
                if status != DEFERRED:
                    waiting.remove(course)
                    if text.startswith("**"):
                        failed.append(course.given)
            if failed:
                yield from self._bounce(message, at_ms)
                at_ms += _LINE_MS
            if waiting and message.is_cancelled and number:
                gone = tuple(row for course in waiting for row in self._changes(message, course, CANCELLED))
                yield Step(at_ms, f"{message.queue_id} removed by root", gone)
                waiting = []
            if not waiting:
                yield Step(at_ms + _LINE_MS, f"{message.queue_id} Completed", ())
                return
            at_ms += gaps_ms[min(number, len(gaps_ms) - 1)]

    def _shared(self, queue_id: str, text: str, hosts: set[str]) -> str:
        """Recipients that share a connection are logged with -> behind the first."""
        _, remote, rest = text.partition(" H=")
        if remote and text.startswith("=>"):
            host = rest[: rest.index(" ")]
            if host in hosts:
                text = "->" + text[2:]
            hosts.add(host)
        return f"{queue_id} {text}"

    def _changes(self, message: Message, course: Course, status: str) -> tuple[TruthRow, ...]:
        rows = self._rows(message, course.recipient, course.original, status)
        if course.original:
            rows += self._rows(message, course.original, "", "")
        return rows

    def _rows(self, message: Message, recipient: str, original: str, status: str) -> tuple[TruthRow, ...]:
        """What the sender sees and what the recipient sees, as far as they are customers."""
        views: list[tuple[str, str]] = []
        if message.account:
            views.append((message.account, SENT))
        own = next((address for address in (recipient, original) if address and self._hosted(address)), "")
        if own:
            views.append((own, RECEIVED))
        return tuple(
            TruthRow(
                message.server,
                message.queue_id,
                message.message_id,
                account,
                direction,
                message.sender if message.sender != "<>" else "",
                recipient,
                original,
                status,
            )
            for account, direction in views
        )

    def _bounce(self, parent: Message, at_ms: int) -> Iterator[Step]:
        """Exim's own message to a customer whose mail failed; strangers get theirs unseen."""
        if not self._hosted(parent.sender):
            return
        queue_id = exim.queue_id(at_ms, self._next_process())
        bounce = Message(parent.server, at_ms, queue_id, "", "<>", "", "", "", 0, ())
        opening = exim.bounce_arrival(parent.queue_id, parent.size_bytes + 1400, parent.sender)
        yield Step(at_ms, f"{queue_id} {opening}", self._rows(bounce, parent.sender, "", PENDING))
        is_mailbox = not parent.how.startswith("U=")
        delivered = (
            exim.local_delivery(parent.sender, "", token(self._chance))
            if is_mailbox
            else exim.system_delivery(parent.sender, token(self._chance))
        )
        yield Step(at_ms, f"{queue_id} {delivered}", self._rows(bounce, parent.sender, "", DELIVERED))
        yield Step(at_ms, f"{queue_id} Completed", ())
