"""The story of one message as its server logs it: arrival, attempts, retries, bounce, completion.

A story is told as steps in time, each with its line and what becomes true by it. It has no end of its own: whoever
listens stops when the time is up, and what was told until then is the truth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from postwatch.deploy.simulator.courses import Attempt, Course, Stored, token
from postwatch.deploy.simulator.message import Message, RecipientStatus, Saying
from postwatch.deploy.simulator.mta import Mta
from postwatch.deploy.simulator.provider import Customer
from postwatch.deploy.simulator.truth import BOUNCED, DEFERRED, EXPIRED, RECEIVED, SENT, TruthRow

FIRST_ATTEMPT_MS = 400
LINE_MS = 30
_NOTICE_BYTES = 1400
"""What a bounce adds to the message that it is about."""


class Step(NamedTuple):
    """One log line, without its stamp, and the truth that it makes."""

    at_ms: int
    text: str
    rows: tuple[TruthRow, ...]


Meet = Callable[[Message, Course, int, int], Attempt]
"""What a recipient's attempt of a number meets at a time: what its course says, unless something is broken."""


def as_planned(_message: Message, course: Course, number: int, _at_ms: int) -> Attempt:
    return course.attempt(number)


Begin = Callable[[str, Iterator[Step]], None]
"""Takes the name of a server and a story."""


class Teller:
    """Tells stories of messages on the servers of a provider."""

    def __init__(
        self, chance: random.Random, hosted: Callable[[str], bool], begin: Begin, meet: Meet = as_planned
    ) -> None:
        self._chance = chance
        self._hosted = hosted
        """Whether an address is a customer's."""
        self._begin = begin
        """Takes the story of a bounce, which begins while another is told."""
        self._meet = meet

    def tell(self, mta: Mta, message: Message, gaps_ms: Sequence[int]) -> Iterator[Step]:
        """The steps in order of time; `gaps_ms` lie between one try and the next, the last one again and again."""
        yield from self._steps(message.at_ms, message, mta.arrival(message))
        at_ms = message.at_ms + FIRST_ATTEMPT_MS
        waiting = message.courses
        for number in range(1000):
            tries = [(one, self._meet(message, one, number, at_ms)) for one in waiting]
            sayings = list(mta.attempts(message, tries, number, at_ms))
            yield from self._steps(at_ms, message, sayings)
            at_ms += LINE_MS * len(sayings)
            statuses = {recipient: status for _, known in sayings for recipient, _, status in known}
            waiting = tuple(course for course in waiting if statuses[course.recipient] == DEFERRED)
            if BOUNCED in statuses.values() or EXPIRED in statuses.values():
                self._return(mta, message, at_ms, gaps_ms)
            if waiting and message.is_cancelled and number:
                yield from self._steps(at_ms, message, mta.cancellation(message, waiting, at_ms))
                return
            if not waiting:
                yield from self._steps(at_ms + LINE_MS, message, mta.completion(message, at_ms))
                return
            at_ms += gaps_ms[min(number, len(gaps_ms) - 1)]

    def _steps(self, at_ms: int, message: Message, sayings: Iterable[Saying]) -> Iterator[Step]:
        for text, statuses in sayings:
            yield Step(at_ms, text, self._rows(message, statuses) if statuses else ())
            at_ms += LINE_MS

    def _rows(self, message: Message, statuses: Sequence[RecipientStatus]) -> tuple[TruthRow, ...]:
        """An address that turns out to be an alias gives way to the one that it means."""
        rows: list[TruthRow] = []
        for recipient_status in statuses:
            rows += self._views(message, recipient_status)
            if recipient_status.original:
                rows += self._views(message, RecipientStatus(recipient_status.original, "", ""))
        return tuple(rows)

    def _views(self, message: Message, recipient_status: RecipientStatus) -> list[TruthRow]:
        """What the sender sees and what the recipient sees, as far as they are customers."""
        views = [(message.account, SENT)] if message.account else []
        recipient, original, status = recipient_status
        if self._hosted(recipient):
            views.append((recipient, RECEIVED))
        elif original and self._hosted(original):
            views.append((original, RECEIVED))
        server, queue_id, message_id, sender = message.server, message.queue_id, message.message_id, message.sender
        return [
            TruthRow(server, queue_id, message_id, account, direction, sender, recipient, original, status)
            for account, direction in views
        ]

    def _return(self, mta: Mta, failed: Message, at_ms: int, gaps_ms: Sequence[int]) -> None:
        """The server's own message to a customer whose mail failed; strangers get theirs unseen."""
        if not self._hosted(failed.sender):
            return
        queue_id = mta.new_id(at_ms)
        notice = Message(
            server=failed.server,
            at_ms=at_ms,
            queue_id=queue_id,
            message_id=mta.message_id(queue_id, at_ms),
            sender="",
            account="",
            origin=failed.queue_id,
            subject="",
            size_bytes=failed.size_bytes + _NOTICE_BYTES,
            courses=(Course(failed.sender, "", (Stored(token(self._chance), isinstance(failed.origin, Customer)),)),),
            source_ip=failed.source_ip,
        )
        self._begin(notice.server, self.tell(mta, notice, gaps_ms))
