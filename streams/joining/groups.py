"""Names the recipients of a line that tells what came of some of them, and names none. Pure.

Haraka makes a queue file for each domain of a message's recipients, or, where `always_split` is set, for each of them.
The lines of a queue file tell its number and how many recipients had which status. The recipients themselves were named
as they were accepted, in the order of the files. Where the numbers do not fit, nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from postwatch.streams.contracts.outcome import DEFERRED, DELIVERED
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.status import OPEN
from postwatch.streams.parsers.events import ANNOUNCED, ENVELOPE, QUEUE, Attempt, Event, LifecycleEvent, Step
from postwatch.streams.parsers.smtp import next_queue_id, reply_codes


def name_recipients(message: Message, step: Step) -> list[Event]:
    """The attempts that the line tells, and the end of the message when every recipient has a final status.

    A line without a status tells that the message was taken: it is over then, unless it is in Haraka's own queue.
    """
    if not step.status:
        is_queued = message.parts is not None and QUEUE in message.parts
        return [] if is_queued else [LifecycleEvent(step.queue_id, step.at, step.line, closes=True)]
    if any(one.line == step.line for attempts in message.attempts.values() for one in attempts):
        return []
    known = [part.recipients[0] for part in (message.parts or {}).values() if part.part == ENVELOPE]
    if step.recipients:
        tried: Sequence[str] = step.recipients
    elif known:
        tried = _choose(message, step, known) if len(known) == _announced(message) else ()
    else:
        tried = ("",)
    events: list[Event] = [*_attempts(step, tried)]
    final = set() if step.status == DEFERRED else set(tried)
    if events and known and all(recipient in final or not _is_open(message, recipient) for recipient in known):
        events.append(LifecycleEvent(step.queue_id, step.at, step.line, closes=True))
    return events


def _announced(message: Message) -> int:
    """How many recipients were accepted; where another number was logged, lines were lost."""
    announced = (message.parts or {}).get(ANNOUNCED)
    return announced.recipient_count if announced is not None else 0


def _choose(message: Message, step: Step, known: Sequence[str]) -> Sequence[str]:
    """The recipients of the queue file that the line is about; empty where the numbers do not fit."""
    still_open = [recipient for recipient in _of_file(step, known) if _is_open(message, recipient)]
    if not step.counts:
        return still_open
    accepted, deferred = step.counts[:2]
    if deferred:  # these were named just before
        waiting = [recipient for recipient in still_open if recipient in message.attempts]
        waiting.sort(key=lambda recipient: message.attempts[recipient][-1].at, reverse=True)
        still_open = [recipient for recipient in still_open if recipient not in waiting[:deferred]]
    return still_open if len(still_open) == accepted else ()


def _of_file(step: Step, known: Sequence[str]) -> Sequence[str]:
    """Those of the domain, or the one, whose queue file has that number; of a domain's, where both are possible."""
    domains = list(dict.fromkeys(map(_domain, known)))
    choices: list[list[str]] = []
    if 0 < step.group <= len(domains):
        choices.append([recipient for recipient in known if _domain(recipient) == domains[step.group - 1]])
    if 0 < step.group <= len(known):
        choices.append([known[step.group - 1]])
    for recipients in choices:
        is_of_domain = not step.domain or _domain(recipients[0]) == step.domain
        if is_of_domain and (not step.is_first or len(recipients) == sum(step.counts)):
            return recipients
    return ()


def _domain(recipient: str) -> str:
    return recipient.rpartition("@")[2]


def _is_open(message: Message, recipient: str) -> bool:
    return all(attempt.status in OPEN for attempt in message.attempts.get(recipient, ()))


def _attempts(step: Step, recipients: Sequence[str]) -> Iterator[Attempt]:
    code, enhanced = reply_codes(step.answer)
    for recipient in recipients:
        yield Attempt(
            step.queue_id,
            step.at,
            step.line,
            step.status,
            recipient=recipient,
            smtp_code=code,
            enhanced_code=enhanced,
            response=step.answer,
            remote_host=step.remote_host,
            remote_ip=step.remote_ip,
            transport=step.transport,
            next_queue_id=next_queue_id(step.answer) if step.status == DELIVERED else "",
        )
