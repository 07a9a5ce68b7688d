"""The join: events of messages in, delivery rows out. Pure; time comes in as an argument.

A message is the set of its events, and a row is a function of that set: the order in which lines come, repetitions and
the cut into records change nothing. `version` orders the rows of one key by what was known: whether the arrival was
seen, the last event's time, the rank of the status, the number of events. Fewer events never make a higher version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
from postwatch.streams.accounts import UNKNOWN, AccountBook
from postwatch.streams.events import Arrival, Attempt, Ending, Event, Refusal
from postwatch.streams.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    PENDING,
    REJECTED,
    RESULTS,
    Outcome,
)
from postwatch.streams.outcome import Attempt as AttemptCell
from postwatch.streams.queue_ids import queued_at
from postwatch.streams.reasons import find_provider, find_reason

MOST_ATTEMPTS = 50
"""The first so many attempts of a recipient are kept, and the last."""

WITHDRAWN = "withdrawn"
_RANKS = {
    PENDING: 1,
    DEFERRED: 2,
    WITHDRAWN: 3,
    CANCELLED: 4,
    BOUNCED: 5,
    EXPIRED: 6,
    REJECTED: 7,
    DISCARDED: 8,
    DELIVERED: 9,
}
_ARRIVAL_SEEN = 1 << 62
_OPEN = frozenset((PENDING, DEFERRED))


class Message(msgspec.Struct, gc=False, eq=False, array_like=True):
    """All that is known of one message. Encoded as it is when it is parked."""

    server: str
    queue_id: str
    queued_at: int
    arrival: Arrival | None = None
    was_partial: bool = False
    """Some other event came before the arrival, so rows may be out under no account."""
    attempts: dict[str, list[Attempt]] = {}
    """By final recipient."""
    originals: dict[str, int] | None = None
    """Addresses that turned out to be aliases → when, ms since the epoch."""
    ending: Ending | None = None
    """Cancelled or discarded as a whole."""
    completed_at: int = 0
    changed: list[str] | None = None
    """Recipients whose rows are due; None: nothing changed since the last rows. Never parked."""

    def is_closed(self) -> bool:
        return self.completed_at > 0 or (self.ending is not None and self.ending.closes)


Find = Callable[[str, str], Message | None]
"""Server and queue id → the message as it was parked, if it was."""


def _find_nothing(server: str, queue_id: str) -> Message | None:
    return None


def make_version(arrival_seen: bool, updated_at: int, status: str, events: int) -> int:
    """Orders the rows of one key; 63 bits: 1 arrival, 42 time in ms, 4 rank, 16 events."""
    return (_ARRIVAL_SEEN if arrival_seen else 0) | updated_at << 20 | _RANKS[status] << 16 | min(events, 0xFFFF)


class Joiner:
    """The open messages of one partition, and the rows that are due."""

    def __init__(
        self,
        accounts: AccountBook,
        find_parked: Find = _find_nothing,
        keep_lines: bool = True,
    ) -> None:
        self._accounts = accounts
        self._find_parked = find_parked
        self._keep_lines = keep_lines
        self._servers: dict[str, dict[str, Message]] = {}
        self._changed: list[Message] = []
        self._refusals: list[tuple[str, Refusal]] = []

    def open_messages(self) -> Iterator[Message]:
        for messages in self._servers.values():
            yield from messages.values()

    def forget(self, message: Message) -> None:
        """Let go of a message that was parked."""
        self._servers[message.server].pop(message.queue_id, None)

    def add(self, server: str, events: Iterable[Event]) -> None:
        """Take in events of one server; a repeated one changes nothing. One loop, for it is gone through per line."""
        messages = self._servers.setdefault(server, {})
        for event in events:
            message = messages.get(event.queue_id)
            if message is None:
                if isinstance(event, Refusal):
                    self._refusals.append((server, event))
                    continue
                message = self._open(server, messages, event)
            if message.changed is None:
                message.changed = []
                self._changed.append(message)
            if isinstance(event, Attempt):
                _add_attempt(message, event)
            elif isinstance(event, Ending):
                _add_ending(message, event)
            elif isinstance(event, Refusal):
                self._refusals.append((server, event))
            elif message.arrival is None:
                message.arrival = event
                if message.attempts:
                    message.was_partial = True
                    message.changed += message.attempts

    def _open(self, server: str, messages: dict[str, Message], event: Arrival | Attempt | Ending) -> Message:
        queue_id = event.queue_id
        message = self._find_parked(server, queue_id)
        if message is None:
            message = Message(server, queue_id, queued_at(queue_id) or event.at)
        messages[queue_id] = message
        return message

    def take_changed(self) -> tuple[list[Outcome], list[Message]]:
        """The rows that became due since the last call, and the messages that they are of; closed ones are let go."""
        rows: list[Outcome] = []
        for server, refusal in self._refusals:
            rows += self._refusal_rows(server, refusal)
        self._refusals.clear()
        changed = self._changed
        self._changed = []
        for message in changed:
            self._add_due_rows(message, rows)
            message.changed = None
            if message.is_closed():
                self._servers[message.server].pop(message.queue_id, None)
        return rows, changed

    def pending_rows(self, message: Message) -> list[Outcome]:
        """Rows of the recipients of an open message of which nothing was heard yet."""
        arrival = message.arrival
        if arrival is None:
            return []
        rows: list[Outcome] = []
        for recipient in arrival.recipients:
            if _is_unheard(message, recipient):
                self._add_rows(message, recipient, rows)
        return rows

    def _add_due_rows(self, message: Message, rows: list[Outcome]) -> None:
        changed = message.changed or ()
        for recipient in dict.fromkeys(changed) if len(changed) > 1 else changed:
            self._add_rows(message, recipient, rows)
        if message.is_closed() and message.arrival is not None and message.ending is None:
            for recipient in message.arrival.recipients:
                if _is_unheard(message, recipient):
                    self._add_rows(message, recipient, rows)

    def _add_rows(self, message: Message, recipient: str, rows: list[Outcome]) -> None:
        """The rows of one recipient, one for each account that it is reported under."""
        arrival = message.arrival
        attempts = message.attempts.get(recipient, _NO_ATTEMPTS)
        updated_at = arrival.at if arrival else message.queued_at
        deciding: Attempt | None
        if len(attempts) == 1:
            deciding = attempts[0]
            if deciding.at > updated_at:
                updated_at = deciding.at
        else:
            deciding = _deciding(attempts)
            updated_at = max([updated_at, *(attempt.at for attempt in attempts)])
        status = deciding.status if deciding else PENDING
        if status in _OPEN:
            status, updated_at = _without_final(message, recipient, deciding, updated_at)
        deleted = status == WITHDRAWN
        version = (
            (_ARRIVAL_SEEN if arrival else 0)
            | updated_at << 20
            | _RANKS[status] << 16
            | len(attempts) + (arrival is not None) + (message.ending is not None)
        )
        if deleted:
            status = DEFERRED if attempts else PENDING
        row = self._make_row(
            message, recipient, attempts, deciding or _NO_ATTEMPT, status, updated_at, version, deleted
        )
        for account in self._accounts.of_delivery(arrival, recipient, deciding, message.server):
            rows.append(tuple.__new__(Outcome, account + row))
        if message.was_partial and arrival is not None:
            rows.append(Outcome._make(UNKNOWN + row)._replace(is_deleted=1))

    def _make_row(
        self,
        message: Message,
        recipient: str,
        attempts: list[Attempt],
        last: Attempt,
        status: str,
        updated_at: int,
        version: int,
        deleted: bool,
    ) -> tuple[object, ...]:
        """All columns behind those of the account."""
        arrival = message.arrival or _NO_ARRIVAL
        queued_at = message.queued_at
        remote_host = last.remote_host
        return (
            message.server,
            message.queue_id,
            arrival.message_id,
            arrival.sender,
            recipient,
            last.original_recipient,
            arrival.client_host,
            arrival.client_ip,
            arrival.authenticated_as,
            arrival.auth_method,
            arrival.subject,
            arrival.size_bytes,
            queued_at,
            updated_at,
            updated_at - queued_at if updated_at > queued_at else 0,
            status,
            RESULTS[status],
            last.smtp_code,
            last.enhanced_code,
            last.response,
            "" if status == DELIVERED else find_reason(status, last.enhanced_code, last.response),
            remote_host,
            last.remote_ip,
            find_provider(remote_host) if remote_host else "",
            last.tls,
            last.router,
            last.transport,
            _attempt_cells(attempts),
            "",
            arrival.parent_queue_id,
            _evidence(message, attempts) if self._keep_lines else (),
            version,
            1 if deleted else 0,
        )

    def _refusal_rows(self, server: str, refusal: Refusal) -> Iterator[Outcome]:
        queued_at = refusal.at
        for account in self._accounts.of_refusal(refusal, server):
            yield Outcome(
                account=account.name,
                account_domain=account.domain,
                direction=account.direction,
                server=server,
                queue_id=refusal.queue_id,
                message_id="",
                sender=refusal.sender,
                recipient=refusal.recipient,
                original_recipient="",
                client_host=refusal.client_host,
                client_ip=refusal.client_ip,
                authenticated_as=refusal.authenticated_as,
                auth_method=refusal.auth_method,
                subject="",
                size_bytes=0,
                queued_at=queued_at,
                updated_at=refusal.at,
                delay_ms=0,
                status=refusal.status,
                result=RESULTS[refusal.status],
                smtp_code=refusal.smtp_code,
                enhanced_code=refusal.enhanced_code,
                response=refusal.response,
                reason=find_reason(refusal.status, refusal.enhanced_code, refusal.response),
                remote_host="",
                remote_ip="",
                remote_provider="",
                tls="",
                router="",
                transport="",
                attempts=(),
                next_queue_id="",
                parent_queue_id="",
                log_lines=(refusal.line,) if self._keep_lines else (),
                version=make_version(True, refusal.at, refusal.status, 1),
                is_deleted=0,
            )


_NO_ARRIVAL = Arrival("", 0, "", "", (), "", "", "", "", "", 0, "", "", "")
_NO_ATTEMPTS: list[Attempt] = []
_NO_ATTEMPT = Attempt("", 0, "", PENDING, False, "", "", 0, "", "", "", "", "", "", "")


def merge(known: Message, other: Message) -> None:
    """Add to `known` all that another copy of the same message knows: a set union."""
    for attempts in other.attempts.values():
        for attempt in attempts:
            _add_attempt(known, attempt)
    known.was_partial |= other.was_partial
    if known.arrival is None:
        known.arrival = other.arrival
    if other.ending is not None:
        _add_ending(known, other.ending)
    known.completed_at = max(known.completed_at, other.completed_at)


def _order(attempt: Attempt) -> tuple[int, int, str]:
    return attempt.at, _RANKS[attempt.status], attempt.line


def _add_attempt(message: Message, event: Attempt) -> None:
    attempts = message.attempts.get(event.recipient)
    if attempts is None:
        message.attempts[event.recipient] = [event]
    else:
        for known in attempts:
            if known.line == event.line:
                return
        if not event.is_attempt and not _replaces_waiting(attempts, event):
            return
        attempts.append(event)
        attempts.sort(key=_order)
        if len(attempts) > MOST_ATTEMPTS + 1:
            del attempts[MOST_ATTEMPTS]
    if message.changed is not None:
        message.changed.append(event.recipient)
    if event.original_recipient:
        _add_original(message, event.original_recipient, event.at)


def _add_original(message: Message, original: str, at: int) -> None:
    if message.originals is None:
        message.originals = {}
    known_at = message.originals.get(original)
    if known_at is None or at < known_at:
        message.originals[original] = at
        if message.changed is not None:
            message.changed.append(original)


def _is_unheard(message: Message, recipient: str) -> bool:
    return recipient not in message.attempts and (message.originals is None or recipient not in message.originals)


def _replaces_waiting(attempts: list[Attempt], event: Attempt) -> bool:
    """Of the many lines that say "retry time not reached" only the first is kept."""
    for index, known in enumerate(attempts):
        if not known.is_attempt:
            if _order(known) <= _order(event):
                return False
            del attempts[index]
            return True
    return True


def _add_ending(message: Message, event: Ending) -> None:
    if not event.status:
        message.completed_at = max(message.completed_at, event.at)
        return
    if message.ending is None or (event.at, event.line) < (message.ending.at, message.ending.line):
        message.ending = event
    if message.changed is not None:
        known = dict.fromkeys(message.arrival.recipients if message.arrival else ())
        known.update(dict.fromkeys(message.attempts))
        message.changed += known or [""]


def _deciding(attempts: Iterable[Attempt]) -> Attempt | None:
    """The attempt that tells the status: the last final one, else the last real one, else the wait. Sorted input."""
    found: Attempt | None = None
    for attempt in attempts:
        if (
            found is None
            or attempt.status != DEFERRED
            or (found.status == DEFERRED and (attempt.is_attempt or not found.is_attempt))
        ):
            found = attempt
    return found


def _without_final(message: Message, recipient: str, deciding: Attempt | None, updated_at: int) -> tuple[str, int]:
    """Status and time of a recipient that has no final attempt."""
    resolved_at = message.originals.get(recipient) if message.originals else None
    if resolved_at is not None:
        return WITHDRAWN, max(updated_at, resolved_at)
    if message.ending is not None:
        return message.ending.status, max(updated_at, message.ending.at)
    if message.completed_at and (deciding is None or not deciding.transport):
        return WITHDRAWN, max(updated_at, message.completed_at)  # the same final address as another recipient's
    return (deciding.status if deciding else PENDING), updated_at


def _attempt_cells(attempts: list[Attempt]) -> tuple[AttemptCell, ...]:
    if len(attempts) == 1:
        one = attempts[0]
        cell = (one.at, one.status, one.smtp_code, one.response, one.remote_host, one.remote_ip)
        return (tuple.__new__(AttemptCell, cell),) if one.is_attempt else ()
    return tuple(
        [
            tuple.__new__(
                AttemptCell, (one.at, one.status, one.smtp_code, one.response, one.remote_host, one.remote_ip)
            )
            for one in attempts
            if one.is_attempt
        ]
    )


def _evidence(message: Message, attempts: list[Attempt]) -> tuple[str, ...]:
    arrival = message.arrival
    if arrival is not None and message.ending is None and len(attempts) == 1:
        return arrival.line, attempts[0].line
    lines = [one.line for one in attempts]
    if arrival is not None:
        lines.insert(0, arrival.line)
    if message.ending is not None:
        lines.append(message.ending.line)
    return tuple(lines)
