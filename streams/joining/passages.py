"""A passage: what a filter's own lines say of one message that it was given, under the filter's id for it. Pure.

A passage is kept like a message under `f:` and the filter's id, and makes no rows of its own. Its attempts are what
the filter decided about each recipient. Its parts are the queue ids that asked, and the answer before the queue. So a
verdict and the answer that it explains meet there, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from postwatch.streams.contracts.outcome import DELIVERED, DISCARDED, REJECTED
from postwatch.streams.joining.merge import add_part
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.status import OPEN
from postwatch.streams.parsers.events import FILTER, JUDGED, KEPT, Arrival, Attempt, Refusal
from postwatch.streams.parsers.queue_ids import CLAMSMTP_PREFIX, DOVECOT_PREFIX, PASSAGE_PREFIX, refusal_id

_ASKED = "asked"
_NEAR_MS = 120_000
"""Between a filter's line and the line of the MTA that it explains. A filter's id may come again, days later."""
_NEAR_WITHOUT_ID_MS = 5_000
"""The same where they have only sender and recipient in common."""


def note_asker(passage: Message, event: Attempt) -> None:
    """Note the message that the filter's answer named this passage to."""
    name = f"{_ASKED} {event.queue_id}"
    add_part(passage, Arrival(passage.queue_id, event.at, event.line, part=name, earlier_queue_id=event.queue_id))
    passage.completed_at = max(passage.completed_at, event.at)


def decide(passage: Message, recipient: str) -> Attempt | None:
    """What the filter did with the recipient; None: no line of it says so yet.

    Mail that was accepted goes on, whatever was taken out of it before.
    """
    verdicts = passage.attempts.get(recipient)
    if not verdicts:
        return None
    return min(verdicts, key=lambda one: (one.status != DELIVERED, not one.is_attempt, one.at, one.line))


def passage_name(verdict: Attempt) -> str:
    """The filter's own id."""
    return verdict.queue_id.removeprefix(PASSAGE_PREFIX)


def judge(message: Message, event: Attempt, verdict: Attempt) -> Attempt:
    """Replace the attempt into the filter by what became of it, and return that."""
    is_accepted = verdict.status == DELIVERED
    judged = msgspec.structs.replace(
        event,
        status=verdict.status,
        next_queue_id=verdict.next_queue_id,
        handover=FILTER if is_accepted else "",
        response=f"250 2.5.0 OK ({passage_name(verdict)})" if is_accepted else verdict.response,
        told_by=verdict.line,
    )
    attempts = message.attempts[event.recipient]
    message.attempts[event.recipient] = [judged if one.line == event.line else one for one in attempts]
    message.change([event.recipient])
    message.awaits_verdict = any(
        one.passage_id and not one.told_by and not one.passage_id.startswith(DOVECOT_PREFIX)
        for tried in message.attempts.values()
        for one in tried
    )
    return judged


def refusals_of(passage: Message, answer: Arrival) -> Iterator[Refusal]:
    """What a filter before the queue kept back, while the client was told that the message was accepted.

    Where the client was refused, the answer names the first recipient, who has a refusal of that line already.
    """
    is_refused = bool(answer.recipients)
    for recipient in passage.attempts:
        verdict = decide(passage, recipient)
        if verdict is not None and verdict.status == DISCARDED and recipient not in answer.recipients:
            yield Refusal(
                refusal_id(answer.line),
                answer.at,
                answer.line,
                sender=answer.sender,
                recipient=recipient,
                client_host=answer.client_host,
                client_ip=answer.client_ip,
                authenticated_as=answer.authenticated_as,
                auth_method=answer.auth_method,
                smtp_code=554 if is_refused else 250,
                enhanced_code="5.7.1" if is_refused else "",
                response=verdict.response,
                status=REJECTED if is_refused else DISCARDED,
                told_by=verdict.line,
            )


def others_refused(passage: Message) -> Iterator[Refusal]:
    """What the client was told, for each recipient that the filter's own lines name. The MTA's line names one alone."""
    for refusal in passage.refusals or ():
        is_refused = refusal.status == REJECTED
        for recipient in passage.attempts:
            verdict = _nearest(passage, recipient, refusal.at)
            if verdict is None or (is_refused and recipient == refusal.recipient):
                continue
            yield msgspec.structs.replace(
                refusal,
                recipient=recipient,
                response=refusal.response if is_refused else verdict.response,
                status=REJECTED if is_refused else _kept_status(verdict),
                told_by=verdict.line,
            )


def note_kept(passage: Message, event: Arrival) -> Arrival:
    """Note the message whose recipients the filter kept back, and return what was noted."""
    noted = Arrival(
        passage.queue_id, event.at, event.line, part=f"{KEPT} {event.queue_id}", earlier_queue_id=event.queue_id
    )
    add_part(passage, noted)
    passage.completed_at = max(passage.completed_at, event.at)
    return noted


def is_about_kept(part: Arrival) -> bool:
    return part.part.startswith(KEPT)


def kept_back(passage: Message, noted: Arrival) -> Iterator[Attempt]:
    """What the filter kept back, as verdicts on recipients of the message that was noted."""
    for recipient in passage.attempts:
        verdict = _nearest(passage, recipient, noted.at)
        if verdict is not None and verdict.status != DELIVERED:
            yield msgspec.structs.replace(verdict, queue_id=noted.earlier_queue_id, status=_kept_status(verdict))


def _kept_status(verdict: Attempt) -> str:
    """A filter that wants to refuse may be set to discard or to quarantine; then the MTA's line says so."""
    return DISCARDED if verdict.status == REJECTED else verdict.status


def _nearest(passage: Message, recipient: str, at: int) -> Attempt | None:
    has_id = not passage.queue_id.startswith(CLAMSMTP_PREFIX)
    most_ms = _NEAR_MS if has_id else _NEAR_WITHOUT_ID_MS
    verdicts = [one for one in passage.attempts[recipient] if abs(one.at - at) <= most_ms]
    if len(verdicts) > 1 and not has_id:
        return None  # two messages of the same sender; which of them is not known
    return min(verdicts, key=lambda one: (abs(one.at - at), one.at, one.line), default=None)


def by_mailbox(passage: Message, answer: Attempt) -> Attempt | None:
    """The mailbox's answer as its owner's script has it; None: the script kept the message.

    Dovecot logs a discard whatever else the script does, and what it stores or forwards in spite of that behind it.
    """
    actions = passage.attempts.get("", [])
    verdict = min(actions, key=lambda one: (one.status != DELIVERED, one.at, one.line), default=None)
    if verdict is None:
        return None
    if verdict.status == DELIVERED:
        return msgspec.structs.replace(answer, told_by=verdict.line)
    return msgspec.structs.replace(
        answer,
        status=verdict.status,
        smtp_code=0,
        enhanced_code="",
        response=verdict.response,
        told_by=verdict.line,
    )


def as_judged(attempts: list[Attempt]) -> list[Attempt]:
    """The attempts with the filter's verdict in the place of an answer that passed the recipient on, or of a wait.

    An answer that is final tells the same as the verdict, or is what an operator let go later.
    """
    verdict = next((one for one in attempts if one.handover == JUDGED), None)
    if verdict is None:
        return attempts
    others = [one for one in attempts if one.handover != JUDGED]
    if any(one.handover != FILTER and one.status not in OPEN for one in others):
        return others
    passed = [one for one in others if one.handover == FILTER]
    waits = [one for one in others if one.handover != FILTER]
    if not passed:
        return [*waits, verdict]
    judged = msgspec.structs.replace(
        passed[-1],
        status=verdict.status,
        response=verdict.response,
        enhanced_code="",
        smtp_code=0,
        next_queue_id="",
        handover="",
        told_by=verdict.line,
    )
    return [*waits, judged]
