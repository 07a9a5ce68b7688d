"""The status of a recipient: the deciding attempt, the status, and the time of the last event. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from postwatch.streams.contracts.outcome import DEFERRED, DELIVERED, PENDING
from postwatch.streams.enrichment.accounts import is_into_mailbox
from postwatch.streams.joining.message import RETRACTED, Message
from postwatch.streams.parsers.events import FORWARD, Attempt, LifecycleEvent

NO_ATTEMPT = Attempt("", 0, "", PENDING, is_attempt=False)
OPEN = frozenset((PENDING, DEFERRED))


def find_status(
    message: Message, recipient: str, attempts: list[Attempt], updated_at: int
) -> tuple[Attempt | None, str, int]:
    """The deciding attempt, the status, and the time of the last event, ms since the epoch."""
    is_done = message.is_complete() and (not attempts or terminal_event_of(message, recipient, attempts[-1]) is None)
    deciding = _deciding(attempts, is_done)
    if deciding is not None and not deciding.original_recipient:
        deciding = _with_original(deciding, attempts)
    for attempt in reversed(attempts):  # they are in the order of time
        if attempt.is_attempt:
            updated_at = max(updated_at, attempt.at)
            break
    status = deciding.status if deciding else PENDING
    if status in OPEN:
        ending = terminal_event_of(message, recipient, deciding)
        status, updated_at = _without_final(message, recipient, deciding, ending, updated_at)
        if ending is not None and ending.response and ending.status == status:
            deciding = msgspec.structs.replace(deciding or NO_ATTEMPT, response=ending.response, enhanced_code="")
    return deciding, status, updated_at


def find_status_beside_forward(
    message: Message, recipient: str, attempts: list[Attempt], updated_at: int
) -> tuple[Attempt, str, int]:
    """The same of a recipient whose forward's message tells the rest: that of a mailbox beside it, else retracted."""
    forward = [attempt for attempt in attempts if attempt.handover == FORWARD][-1]
    beside = [
        attempt
        for attempt in attempts
        if attempt.handover != FORWARD and (attempt.status not in OPEN or attempt.at >= forward.at)
    ]
    if beside:
        deciding, status, updated_at = find_status(message, recipient, beside, updated_at)
        if deciding is not None:
            return deciding, status, max(updated_at, forward.at)
    return forward, RETRACTED, max(updated_at, attempts[-1].at)


def _with_original(deciding: Attempt, attempts: list[Attempt]) -> Attempt:
    """Keep the alias that an earlier attempt named: with `one_time` of Exim later lines do not name it."""
    for attempt in attempts:
        if attempt.original_recipient:
            return msgspec.structs.replace(deciding, original_recipient=attempt.original_recipient)
    return deciding


def find_account_evidence(deciding: Attempt | None, attempts: list[Attempt]) -> Attempt | None:
    """The attempt that tells the account: a delivery into a mailbox stays the evidence, whatever follows."""
    if deciding is not None and deciding.status != DELIVERED:
        for attempt in attempts:
            if is_into_mailbox(attempt):
                return attempt
    return deciding


def _deciding(attempts: Iterable[Attempt], is_complete: bool) -> Attempt | None:
    """The attempt that tells the status: the last final one, else the last real one, else the wait. Sorted input.

    A deferral after a final attempt counts only where another router made it: the mailbox is still open beside an
    automatic reply, say. Otherwise, or when the MTA is done, the clock was set back. A final attempt without a router,
    such as a timeout, is about the whole address.
    """
    found: Attempt | None = None
    for attempt in attempts:
        if (
            found is None
            or attempt.status != DEFERRED
            or (
                attempt.is_attempt
                and attempt.at > found.at
                and found.router not in ("", attempt.router)
                and not is_complete
            )
            or (found.status == DEFERRED and (attempt.is_attempt or not found.is_attempt))
        ):
            found = attempt
    return found


def _without_final(
    message: Message, recipient: str, deciding: Attempt | None, ending: LifecycleEvent | None, updated_at: int
) -> tuple[str, int]:
    """Status and time of a recipient without a final attempt."""
    resolved_at = message.originals.get(recipient) if message.originals else None
    if resolved_at is not None and (deciding is None or not deciding.transport):
        return RETRACTED, max(updated_at, resolved_at)
    if deciding is None and recipient in message.duplicate_aliases():
        return RETRACTED, updated_at
    if ending is not None:
        return ending.status, max(updated_at, ending.at)
    if message.completed_at and not message.requeued_as and (deciding is None or not deciding.transport):
        return RETRACTED, max(updated_at, message.completed_at)  # the same final address as another recipient's
    if message.completed_at and deciding is not None and _is_named_otherwise(message, recipient, deciding):
        return RETRACTED, max(updated_at, message.completed_at)
    if deciding is None and message.held_at:
        return DEFERRED, max(updated_at, message.held_at)
    return (deciding.status if deciding else PENDING), updated_at


def _is_named_otherwise(message: Message, recipient: str, deferred: Attempt) -> bool:
    """Whether the mailboxes' server named another mailbox when it took, at last, what was deferred before."""
    original = deferred.original_recipient or recipient
    for to, attempts in message.attempts.items():
        last = attempts[-1]
        if to != recipient and last.status not in OPEN and last.original_recipient == original:
            is_same = (last.router, last.transport) == (deferred.router, deferred.transport)
            if is_same and f"<{to}>" in last.response.lower():
                return True
    return False


def terminal_event_of(message: Message, recipient: str, deciding: Attempt | None) -> LifecycleEvent | None:
    """The event that ended the recipient, its original address or the whole message; None: none did."""
    if message.cancelled_recipients is not None:
        original = deciding.original_recipient if deciding else ""
        cancelled_recipients = message.cancelled_recipients.get(recipient) or message.cancelled_recipients.get(original)
        if cancelled_recipients is not None:
            return cancelled_recipients
    return message.terminal_event
