"""All that a row tells of one recipient, as far as the message is known now. Pure.

Invariant: a function of the message's events. Fewer of them never make a higher version.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from postwatch.streams.contracts.outcome import DEFERRED, DELIVERED, PENDING
from postwatch.streams.contracts.version import ARRIVALS_SHIFT, MOST_ARRIVALS, MOST_EVENTS, RANK_SHIFT, TIME_SHIFT
from postwatch.streams.joining.message import RANKS, RETRACTED, Lineage, Message
from postwatch.streams.joining.passages import as_judged
from postwatch.streams.joining.status import (
    NO_ATTEMPT,
    OPEN,
    find_account_evidence,
    find_status,
    find_status_beside_forward,
)
from postwatch.streams.parsers.events import FILTER, REPLY, Arrival, Attempt

_RANK_BEHIND = (RANKS[DELIVERED] + 2, RANKS[DELIVERED] + 1)
"""Of a recipient with a forward whose message is seen: above what was told before, and that of a mailbox higher."""


class Facts(NamedTuple):
    """What a row tells, but for its account and what is the same of each recipient of the message."""

    arrival: Arrival | None
    deciding: Attempt
    """NO_ATTEMPT where none decides."""
    account_evidence: Attempt | None
    """The attempt that tells whose mail it is."""
    attempts: list[Attempt]
    """The attempts here, with what the filter told in place of its answer."""
    tried: list[Attempt]
    """With those before the message got this queue id."""
    queue_id: str
    queued_at: int
    updated_at: int
    status: str
    original: str
    next_queue_id: str
    version: int
    deleted: int
    is_assembled: bool
    """More than the arrival and the attempts tells whose the rows are."""


def find_facts(message: Message, recipient: str, attempts: list[Attempt]) -> Facts | None:
    """None: another message tells of the recipient."""
    if len(attempts) > 1:
        attempts = as_judged(attempts)
    is_unnamed = False
    if "" in message.attempts:
        if not recipient:
            is_unnamed = not message.bounces_nobody()
        elif recipient == message.only_recipient():
            attempts = [*attempts, *message.attempts[""]]
    if attempts and attempts[-1].is_original_unsure:
        attempts = _without_sender(message, attempts)
    is_own = message.lineage is None and message.identity is None
    is_plain = is_own and message.parts is None
    if is_own:  # as `_find_place` would say, at less cost
        queue_id, queued_at, arrival = message.queue_id, message.queued_at, message.arrival
        if is_plain:
            arrivals = events = 1 if arrival is not None else 0
        else:
            arrival = message.tell_arrival()
            arrivals = 1 if message.is_whole() else 0
            events = len(message.parts or ())
        updated_at = arrival.at if arrival else queued_at
        original, passed, tried, is_inferred = "", "", attempts, False
    elif message.is_told_before(recipient):
        return None
    else:
        place = _find_place(message, recipient, attempts)
        queue_id, queued_at, arrival, arrivals, updated_at, events, original, passed, tried, is_inferred = place
    deciding: Attempt | None
    is_told_behind = message.forwarded is not None and message.forwarded.get(recipient, False)
    if is_told_behind:
        deciding, status, updated_at = find_status_beside_forward(message, recipient, attempts, updated_at)
        rank = _RANK_BEHIND[status == RETRACTED]
    elif len(attempts) == 1 and attempts[0].status not in OPEN and attempts[0].beside != REPLY:
        deciding = attempts[0]
        status = deciding.status
        rank = RANKS[status]
        if deciding.at > updated_at:
            updated_at = deciding.at
    else:
        deciding, status, updated_at, rank = find_status(message, recipient, attempts, updated_at)
    is_told = deciding is not None and deciding.told_by != ""
    is_taken_back = is_told and deciding is not None and deciding.passage_id == ""
    if is_unnamed:
        status, rank = RETRACTED, RANKS[DELIVERED]
    events += len(attempts) + (message.terminal_event is not None) + is_told
    beyond = arrivals - MOST_ARRIVALS if arrivals > MOST_ARRIVALS else 0
    version = (  # as `make_version` has it, without the call
        (arrivals - beyond) << ARRIVALS_SHIFT
        | updated_at + beyond << TIME_SHIFT
        | (RANKS[DELIVERED] + is_taken_back if (is_inferred or is_told) and not is_told_behind else rank)
        << RANK_SHIFT  # above what the filter was given for delivered
        | (events if events < MOST_EVENTS else MOST_EVENTS)
    )
    deleted = 0
    if status == RETRACTED:
        deleted = 1
        status = DEFERRED if attempts else PENDING
    last = deciding or NO_ATTEMPT
    evidence = deciding if len(attempts) < 2 else find_account_evidence(deciding, attempts)
    is_assembled = not is_plain or arrival is None or last.handover != ""
    return Facts(
        arrival,
        last,
        _judged(message, recipient, evidence, original) if is_assembled else evidence,
        attempts,
        tried,
        queue_id,
        queued_at,
        updated_at,
        status,
        original or last.original_recipient,
        f"{passed} {last.next_queue_id}".strip() if passed else last.next_queue_id,
        version,
        deleted,
        is_assembled,
    )


class _Place(NamedTuple):
    """Where the rows of a message stand, and what was known before it came to this queue id."""

    queue_id: str
    queued_at: int
    arrival: Arrival | None
    arrivals: int
    updated_at: int
    events: int
    original: str
    subsequent_ids: str
    """The queue ids behind the first, with blanks between them."""
    tried: list[Attempt]
    """The attempts before, but for those into the filter, and here."""
    is_inferred: bool
    """That the recipient is here is only what the filter said: one that made several messages of it names one."""


def _find_place(message: Message, recipient: str, attempts: list[Attempt]) -> _Place:
    own = message.submitted()
    updated_at = own.at if own else message.queued_at
    arrivals = 1 if message.is_whole() else 0
    events = len(message.parts) if message.parts is not None else arrivals
    events += message.identity is not None
    lineage = message.lineage
    if lineage is None:
        return _Place(message.queue_id, message.queued_at, own, arrivals, updated_at, events, "", "", attempts, False)
    is_inferred = not attempts and message.is_pending(recipient)
    if is_inferred:
        arrivals = 0  # so what another message of the filter tells of the recipient stays
        events += len(lineage.lines)
    handed = message.handed_over(recipient)
    if handed:
        updated_at = max(updated_at, handed[-1].at)
        events += len(handed)
    return _Place(
        lineage.queue_id,
        lineage.queued_at,
        _joined_arrival(lineage.arrival, own),
        arrivals + 1 + len(lineage.subsequent_ids),
        max(updated_at, lineage.arrival.at),
        events,
        _original(lineage, handed, recipient, attempts) if handed else "",
        " ".join((*lineage.subsequent_ids, message.queue_id)),
        [*(one for one in handed or () if not one.handover), *attempts],
        is_inferred,
    )


def _original(lineage: Lineage, handed: list[Attempt], recipient: str, attempts: list[Attempt]) -> str:
    """The address as it was submitted, where the recipient is another one."""
    if not lineage.forwarded:
        before = handed[-1]
        is_alias = bool(attempts) and attempts[-1].is_expanded and before.recipient != recipient
        return before.original_recipient or (before.recipient if is_alias else "")
    first = handed[0].original_recipient or handed[0].recipient
    return first if first != recipient else ""


def _judged(message: Message, recipient: str, deciding: Attempt | None, original: str) -> Attempt | None:
    """The attempt that tells whose mail it is; one into a filter is not one into a mailbox."""
    if deciding is not None and not original and deciding.handover != FILTER:
        return deciding
    if deciding is None:
        handed = message.handed_over(recipient)
        deciding = handed[-1] if handed else None
    if deciding is None:
        return None
    status = DEFERRED if deciding.handover == FILTER else deciding.status
    original = original or deciding.original_recipient
    if status != deciding.status or original != deciding.original_recipient:
        return msgspec.structs.replace(deciding, status=status, original_recipient=original)
    return deciding


def _joined_arrival(first: Arrival, own: Arrival | None) -> Arrival:
    """The submitter of the first queue id; what the log did not tell there comes from the message itself."""
    if own is None or (first.message_id and first.subject and first.size_bytes):
        return first
    return Arrival(
        first.queue_id,
        first.at,
        first.line,
        sender=first.sender,
        recipients=first.recipients,
        client_host=first.client_host,
        client_ip=first.client_ip,
        system_user=first.system_user,
        auth_method=first.auth_method,
        authenticated_as=first.authenticated_as,
        size_bytes=first.size_bytes or own.size_bytes,
        message_id=first.message_id or own.message_id,
        subject=first.subject or own.subject,
        parent_queue_id=first.parent_queue_id,
    )


def _without_sender(message: Message, attempts: list[Attempt]) -> list[Attempt]:
    """The attempts without an original recipient that is the sender: a user here, who controls what he sends."""
    arrivals = (message.tell_arrival(), message.lineage.arrival if message.lineage is not None else None)
    senders = [arrival.sender.lower() for arrival in arrivals if arrival is not None]
    return [
        msgspec.structs.replace(one, original_recipient="") if one.original_recipient in senders else one
        for one in attempts
    ]
