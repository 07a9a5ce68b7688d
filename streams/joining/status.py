"""The status of a recipient: the deciding attempt, the status, and the time of the last event. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from postwatch.streams.contracts.outcome import DEFERRED, DELIVERED, DISCARDED, EXPIRED, PENDING, REJECTED
from postwatch.streams.enrichment.accounts import is_into_mailbox
from postwatch.streams.joining.message import RANKS, RETRACTED, Message
from postwatch.streams.parsers.events import ASIDE, FORWARD, REPLY, Attempt, LifecycleEvent
from postwatch.streams.parsers.programs import is_reply_service

NO_ATTEMPT = Attempt("", 0, "", PENDING, is_attempt=False)
OPEN = frozenset((PENDING, DEFERRED))
_ABOVE_DELIVERED = RANKS[DELIVERED] + 1


def find_status(
    message: Message, recipient: str, attempts: list[Attempt], updated_at: int
) -> tuple[Attempt | None, str, int, int]:
    """The deciding attempt, the status, the time of the last event, ms since the epoch, and the rank in `version`."""
    is_done = message.is_complete() and (not attempts or terminal_event_of(message, recipient, attempts[-1]) is None)
    rank = 0
    if len(attempts) > 1 and not all(map(is_mailbox, attempts)):
        is_expanded = message.originals is not None and recipient in message.originals
        deciding, rank = _beside_others(attempts, is_done, RANKS[DELIVERED] + 2 * is_expanded)
    else:
        deciding = _deciding(attempts, is_done)
    if deciding is not None and len(attempts) > 1:
        if deciding.status == EXPIRED and not deciding.smtp_code and not deciding.remote_ip:
            deciding = _with_last_answer(deciding, attempts)
        if not deciding.original_recipient:
            deciding = _with_original(deciding, attempts)
    if deciding is not None and deciding.beside == REPLY and message.originals and recipient in message.originals:
        answered_at = max(deciding.at, message.originals[recipient])
        return deciding, RETRACTED, max(updated_at, answered_at), _ABOVE_DELIVERED
    for attempt in reversed(attempts):  # they are in the order of time
        if attempt.is_attempt:
            updated_at = max(updated_at, attempt.at)
            break
    status = deciding.status if deciding else PENDING
    if status in OPEN:
        status, updated_at, ending = _without_final(message, recipient, deciding, updated_at)
        if ending is not None and (ending.response or ending.smtp_code):
            if ending.status == DISCARDED or (deciding is not None and deciding.handover):
                deciding = msgspec.structs.replace(deciding or NO_ATTEMPT, response=ending.response, enhanced_code="")
            else:
                deciding = _told_of(ending, recipient, deciding)
    return deciding, status, updated_at, max(rank, RANKS[status])


def is_mailbox(attempt: Attempt) -> bool:
    """Whether the attempt may be the mailbox's: not a command, a file, nowhere or an automatic reply beside it."""
    return not attempt.beside and not is_reply_service(attempt.transport)


def _beside_others(attempts: list[Attempt], is_done: bool, rank: int) -> tuple[Attempt | None, int]:
    """The deciding attempt where not all are the mailbox's, and the lowest rank that `version` may hold.

    The mailbox decides, then a command or a file, then an automatic reply. A deferral that was not the mailbox's own,
    but of its routing, may have led to the command; so may any where the MTA is done. Of several commands, one of which
    may be the mailbox's, the one that is deferred in the same second as another's end decides. What was sent before the
    mailbox's line came has the rank of a delivery, and the rows behind it must not have a lower one.
    """
    mailbox = [one for one in attempts if is_mailbox(one)]
    others = [one for one in attempts if one.beside == ASIDE]
    deciding = _deciding(mailbox or others or attempts, is_done)
    if deciding is not None and deciding.status == DEFERRED and mailbox:
        final = _deciding([one for one in attempts if one.status != DEFERRED and one not in mailbox], is_done)
        if final is not None and (is_done or (not deciding.transport and final.at > deciding.at)):
            return final, rank + 1
    elif deciding is not None and not mailbox:
        waiting = [one for one in others if one.status == DEFERRED and one.is_attempt and one.at >= deciding.at]
        if waiting and deciding.status != DEFERRED:
            return (deciding, rank + 1) if is_done else (waiting[-1], rank)
    return deciding, rank


def _with_last_answer(expired: Attempt, attempts: list[Attempt]) -> Attempt:
    """Keep what the last real try came to: the line that gives up says nothing of it."""
    for attempt in reversed(attempts):
        if attempt.status == DEFERRED and attempt.is_attempt and attempt.at <= expired.at and is_mailbox(attempt):
            return msgspec.structs.replace(
                expired,
                smtp_code=attempt.smtp_code,
                enhanced_code=attempt.enhanced_code,
                response=attempt.response or expired.response,
                remote_host=attempt.remote_host,
                remote_ip=attempt.remote_ip,
                tls=attempt.tls,
                router=expired.router or attempt.router,
                transport=expired.transport or attempt.transport,
                source_ip=attempt.source_ip,
            )
    return expired


def _told_of(ending: LifecycleEvent, recipient: str, deciding: Attempt | None) -> Attempt:
    """The event that ended a recipient as its deciding attempt, with the event's words."""
    return Attempt(
        ending.queue_id,
        ending.at,
        ending.line,
        ending.status,
        is_attempt=False,
        recipient=recipient,
        original_recipient=deciding.original_recipient if deciding else "",
        smtp_code=ending.smtp_code,
        enhanced_code=ending.enhanced_code,
        response=ending.response,
    )


def find_status_beside_forward(
    message: Message, recipient: str, attempts: list[Attempt], updated_at: int
) -> tuple[Attempt, str, int]:
    """The same of a recipient whose forward's message tells the rest: that of a mailbox beside it, else retracted."""
    forward = [attempt for attempt in attempts if attempt.handover == FORWARD][-1]
    beside = [
        attempt
        for attempt in attempts
        if attempt.handover != FORWARD
        and attempt.beside != REPLY
        and (attempt.status not in OPEN or attempt.at >= forward.at)
    ]
    if beside:
        deciding, status, updated_at, _ = find_status(message, recipient, beside, updated_at)
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
    message: Message, recipient: str, deciding: Attempt | None, updated_at: int
) -> tuple[str, int, LifecycleEvent | None]:
    """Status and time of a recipient without a final attempt, and the event that ended it, if one did."""
    resolved_at = message.originals.get(recipient) if message.originals else None
    if resolved_at is not None and (deciding is None or not deciding.transport):
        return RETRACTED, max(updated_at, resolved_at), None
    if message.lineage is not None and message.is_qualified(recipient):
        return RETRACTED, max([updated_at, *(tried[-1].at for tried in message.attempts.values())]), None
    ending = terminal_event_of(message, recipient, deciding)
    if ending is not None and ending.is_claim and message.is_whole() and not message.is_complete():
        ending = None
    if ending is None and deciding is None and recipient in message.duplicate_aliases():
        return RETRACTED, updated_at, None
    if ending is not None:
        return ending.status, max(updated_at, ending.at), ending
    if message.completed_at and not message.requeued_as and (deciding is None or not deciding.transport):
        return RETRACTED, max(updated_at, message.completed_at), None  # the same final address as another recipient's
    if message.completed_at and deciding is not None and _is_named_otherwise(message, recipient, deciding):
        return RETRACTED, max(updated_at, message.completed_at), None
    if deciding is None and message.held_at:
        return DEFERRED, max(updated_at, message.held_at), None
    return (deciding.status if deciding else PENDING), updated_at, None


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
        if cancelled_recipients is not None and (deciding is None or cancelled_recipients.status != REJECTED):
            return cancelled_recipients  # who was refused has no attempt, so one shows that the words accepted it
    if deciding is not None and deciding.is_expanded and message.parts is None:
        ending = message.terminal_event  # Exim's system filter put this one in place of the recipients that it discards
        return None if ending is not None and ending.status == DISCARDED else ending
    return message.terminal_event
