"""The idempotent merge of events into a message, one by one or from another copy of it.

Invariant: the result does not depend on the order of events or on duplicates. Only the parts of one arrival are taken
as they come, because one server writes them in order.
"""

from __future__ import annotations

import msgspec
from postwatch.streams.contracts.outcome import DEFERRED
from postwatch.streams.joining.message import RANKS, Message, envelope_key
from postwatch.streams.joining.status import is_mailbox
from postwatch.streams.parsers.events import ENVELOPE, IDENTITY, QUEUE, Arrival, Attempt, LifecycleEvent, Refusal
from postwatch.streams.parsers.queue_ids import PIECE_PREFIX

MOST_ATTEMPTS = 50
"""Of a recipient: the first attempts, up to this number, and the last one are kept."""
MOST_ENVELOPES = 1000
"""Lines of a message that name one recipient each."""


def merge(known: Message, other: Message) -> None:
    """Merge another copy of the same message into `known`: a set union."""
    for attempts in other.attempts.values():
        for attempt in attempts:
            add_attempt(known, attempt)
    if not known.queue_id.startswith(PIECE_PREFIX):  # of a process, each entry begins anew
        for part in (other.parts or {}).values():
            add_part(known, part)
    known.was_partial |= other.was_partial
    known.was_reported_alone |= other.was_reported_alone
    if known.arrival is None:
        known.arrival = other.arrival
    if other.identity is not None:
        add_part(known, other.identity)
    if known.lineage is None:
        known.lineage = other.lineage
    for queue_id in other.envelopes or ():
        known.add_envelope(queue_id)
    known.former = known.former or other.former
    if known.earlier is None:
        known.earlier = other.earlier
    if other.terminal_event is not None:
        add_lifecycle_event(known, other.terminal_event)
    for cancelled_recipients in (other.cancelled_recipients or {}).values():
        add_lifecycle_event(known, cancelled_recipients)
    known.completed_at = max(known.completed_at, other.completed_at)
    for recipient, is_told in (other.forwarded or {}).items():
        known.forwarded = known.forwarded or {}
        known.forwarded[recipient] = is_told or known.forwarded.get(recipient, False)
    known.requeued_as = known.requeued_as or other.requeued_as
    known.awaits_verdict |= other.awaits_verdict
    if known.tries is None:
        known.tries, known.current_try = other.tries, other.current_try
    for refusal in other.refusals or ():
        add_refusal(known, refusal)
    known.return_id = known.return_id or other.return_id
    if other.held_at and (not known.held_at or other.held_at < known.held_at):
        known.held_at = other.held_at


def _order(attempt: Attempt) -> tuple[int, int, str]:
    return attempt.at, RANKS[attempt.status], attempt.line


def add_attempt(message: Message, event: Attempt) -> None:
    if not event.recipient and message.parts is not None:
        event = _with_recipient(event, message.parts.get(QUEUE))
    if message.completed_at and event.status == DEFERRED and message.may_have_more():
        message.completed_at = 0
    attempts = message.attempts.get(event.recipient)
    if attempts is None:
        message.attempts[event.recipient] = [event]
    else:
        for known in attempts:
            if known.line == event.line:
                return
        if not event.is_attempt and not _replaces_waiting(attempts, event):
            return
        is_last = not attempts or event.at > attempts[-1].at
        attempts.append(event)
        if not is_last:
            attempts.sort(key=_order)
        first, last = attempts[0], attempts[-1]
        if first.status == DEFERRED and last.at > first.at and not _is_another(first, last):
            message.is_tried_again = True
        if len(attempts) > MOST_ATTEMPTS + 1:
            del attempts[MOST_ATTEMPTS]
    if message.dirty is not None:
        message.dirty.append(event.recipient)
    if event.original_recipient:
        _add_original(message, event.original_recipient, event.at)


def _with_recipient(event: Attempt, queued: Arrival | None) -> Attempt:
    """The attempt of a message whose lines name its only recipient at the arrival alone."""
    if queued is None or len(queued.recipients) != 1:
        return event
    return msgspec.structs.replace(event, recipient=queued.recipients[0])


def _name_recipient(message: Message, queued: Arrival) -> None:
    """Give the only recipient the attempts that came before the arrival; what was reported of them is retracted."""
    for attempt in message.attempts.pop("", ()):
        add_attempt(message, _with_recipient(attempt, queued))
    _add_original(message, "", queued.at)


def _is_another(first: Attempt, last: Attempt) -> bool:
    """Whether these attempts are of two deliveries to the same address, such as a mailbox and an automatic reply."""
    return first.is_attempt and last.is_attempt and first.transport != last.transport


def _add_original(message: Message, original: str, at: int) -> None:
    if message.originals is None:
        message.originals = {}
    known_at = message.originals.get(original)
    if known_at is None or at < known_at:
        message.originals[original] = at
        message.change([original])


def _replaces_waiting(attempts: list[Attempt], event: Attempt) -> bool:
    """Of repeated lines "retry time not reached" only the first is kept."""
    for index, known in enumerate(attempts):
        if not known.is_attempt:
            if _order(known) <= _order(event):
                return False
            del attempts[index]
            return True
    return True


def add_lifecycle_event(message: Message, event: LifecycleEvent) -> None:
    if event.closes:
        if message.completed_at:
            message.is_repeated = False
        if event.at > message.completed_at:
            message.completed_at = event.at
        for to, attempts in message.attempts.items():
            if attempts[-1].status == DEFERRED or (len(attempts) > 1 and _is_open_beside(attempts)):
                message.change([to])
        if message.cancelled_recipients is not None:
            message.change(list(message.cancelled_recipients))
    if not event.status:
        return
    if event.recipient:
        _cancel_recipient(message, event)
        return
    if event.status == DEFERRED:
        if not message.held_at or event.at < message.held_at:
            message.held_at = event.at
            message.change([recipient for recipient in message.expected() if message.is_pending(recipient)])
        return
    if message.terminal_event is None or (event.at, event.line) < (
        message.terminal_event.at,
        message.terminal_event.line,
    ):
        message.terminal_event = event
    if message.dirty is not None:
        known = dict.fromkeys(message.expected())
        known.update(dict.fromkeys(message.attempts))
        message.dirty += known or ([] if event.is_before_queue else [""])


def _is_open_beside(attempts: list[Attempt]) -> bool:
    """Whether a deferral may decide although it is not the last attempt: its mailbox has a command beside it."""
    return any(one.status == DEFERRED for one in attempts) and not all(map(is_mailbox, attempts))


def add_refusal(passage: Message, refusal: Refusal) -> None:
    """Keep what the client was told of a message that a filter judged."""
    known = passage.refusals = passage.refusals or []
    for index, one in enumerate(known):
        if one.line == refusal.line:
            if refusal.is_changed:
                known[index] = refusal
            return
    if len(known) < MOST_ATTEMPTS:
        known.append(refusal)


def _cancel_recipient(message: Message, event: LifecycleEvent) -> None:
    """Cancel a recipient, and the addresses that an alias made of it."""
    recipient = event.recipient
    if message.cancelled_recipients is None:
        message.cancelled_recipients = {}
    known = message.cancelled_recipients.get(recipient)
    if known is None or (event.at, event.line) < (known.at, known.line):
        message.cancelled_recipients[recipient] = event
        made = [to for to, attempts in message.attempts.items() if attempts[-1].original_recipient == recipient]
        message.change([recipient, *made])


def add_part(message: Message, event: Arrival) -> None:
    """Add one part of an arrival; of two with the same name the older stays."""
    if event.part == IDENTITY:
        if message.identity is None or event.at < message.identity.at:
            message.identity = event
            message.change(list(message.attempts))
        return
    if message.parts is None:
        message.parts = {}
    part = event.part
    if part == ENVELOPE:
        part = envelope_key(event.recipients[0])
        if len(message.parts) > MOST_ENVELOPES:
            return
    known = message.parts.get(part)
    if known is not None and known.at <= event.at:
        return
    message.parts[part] = event
    message.arrival = None
    if "" in message.attempts and len(event.recipients) == 1 and part == QUEUE:
        _name_recipient(message, event)
    if message.attempts:
        message.was_partial = True
        message.change(list(message.attempts))
