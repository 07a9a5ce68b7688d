"""A message and a recipient → the delivery rows, one for each account that it is reported under. Pure.

`version` orders the rows of one key by what was known: how many arrivals on the way were seen, the last event's time,
the rank of the status, the number of events. Fewer events never make a higher version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from postwatch.streams.accounts import UNKNOWN, Account, AccountBook
from postwatch.streams.events import FILTER, Arrival, Attempt, Refusal
from postwatch.streams.message import RANKS, WITHDRAWN, Message, arrival_lines
from postwatch.streams.outcome import DEFERRED, DELIVERED, PENDING, RESULTS, Outcome
from postwatch.streams.outcome import Attempt as AttemptCell
from postwatch.streams.queue_ids import queued_at as time_in_id
from postwatch.streams.reasons import find_provider, find_reason

_ARRIVAL_SEEN = 1 << 62
_MOST_ARRIVALS = 3
_OPEN = frozenset((PENDING, DEFERRED))
_NO_ARRIVAL = Arrival("", 0, "", "", (), "", "", "", "", "", 0, "", "", "")
_NO_ATTEMPTS: list[Attempt] = []
_NO_ATTEMPT = Attempt("", 0, "", PENDING, False, "", "", 0, "", "", "", "", "", "", "")
_NOBODY = (UNKNOWN,)


def make_version(arrivals: int, updated_at: int, status: str, events: int) -> int:
    """Orders the rows of one key; 64 bits: 2 arrivals seen, 42 time in ms, 4 rank, 16 events."""
    return min(arrivals, _MOST_ARRIVALS) << 62 | updated_at << 20 | RANKS[status] << 16 | min(events, 0xFFFF)


class RowMaker:
    """Makes rows as one provider wants them."""

    def __init__(self, accounts: AccountBook, keep_lines: bool) -> None:
        self._accounts = accounts
        self._keep_lines = keep_lines

    def add_rows(self, message: Message, recipient: str, rows: list[Outcome]) -> None:
        """Append the rows of one recipient as the message is known now."""
        if message.parts is not None or message.lineage is not None:
            self._add_assembled(message, recipient, rows)
            return
        arrival = message.arrival
        attempts = message.attempts.get(recipient, _NO_ATTEMPTS)
        updated_at = arrival.at if arrival else message.queued_at
        deciding: Attempt | None
        if len(attempts) == 1 and attempts[0].status not in _OPEN:  # nine rows in ten
            deciding = attempts[0]
            status = deciding.status
            if deciding.at > updated_at:
                updated_at = deciding.at
        else:
            deciding, status, updated_at = _fate(message, recipient, attempts, updated_at)
        version = (
            (_ARRIVAL_SEEN if arrival else 0)
            | updated_at << 20
            | RANKS[status] << 16
            | len(attempts) + (arrival is not None) + (message.ending is not None)
        )
        deleted = 0
        if status == WITHDRAWN:
            deleted = 1
            status = DEFERRED if attempts else PENDING
        row = self._row(
            message.server,
            message.queue_id,
            message.queued_at,
            arrival or _NO_ARRIVAL,
            recipient,
            deciding.original_recipient if deciding else "",
            attempts,
            deciding or _NO_ATTEMPT,
            status,
            updated_at,
            deciding.next_queue_id if deciding else "",
            _evidence(message, attempts) if self._keep_lines else (),
            version,
            deleted,
        )
        for account in self._accounts.of_delivery(arrival, recipient, deciding, message.server):
            rows.append(tuple.__new__(Outcome, account + row))
        if message.was_partial and arrival is not None:
            rows.append(Outcome._make(UNKNOWN + row)._replace(is_deleted=1))

    def _add_assembled(self, message: Message, recipient: str, rows: list[Outcome]) -> None:
        """The rows of a message that the log tells in parts, or that came back from a filter."""
        own = message.tell_arrival()
        attempts = message.attempts.get(recipient, _NO_ATTEMPTS)
        whole = message.is_whole()
        arrivals = 1 if whole else 0
        updated_at = own.at if own else message.queued_at
        queue_id, queued_at, arrival = message.queue_id, message.queued_at, own
        original, passed, known_attempts = "", "", attempts
        events = len(message.parts) if message.parts is not None else 1 if own else 0
        handed: list[Attempt] | None = None
        lineage = message.lineage
        if lineage is not None:
            arrivals += 1 + len(lineage.passed)
            queue_id, queued_at = lineage.queue_id, lineage.queued_at
            arrival = _joined_arrival(lineage.arrival, own)
            updated_at = max(updated_at, lineage.arrival.at)
            handed = message.handed_over(recipient)
            passed = " ".join((*lineage.passed, message.queue_id))
            if handed:
                original = handed[-1].original_recipient
                updated_at = max(updated_at, handed[-1].at)
                known_attempts = [*handed[:-1], *attempts]
                events += len(handed)
        deciding, status, updated_at = _fate(message, recipient, attempts, updated_at)
        version = make_version(arrivals, updated_at, status, events + len(attempts) + (message.ending is not None))
        deleted = 0
        if status == WITHDRAWN:
            deleted = 1
            status = DEFERRED if attempts else PENDING
        if deciding is not None:
            original = original or deciding.original_recipient
            if deciding.next_queue_id:
                passed = f"{passed} {deciding.next_queue_id}".lstrip()
        row = self._row(
            message.server,
            queue_id,
            queued_at,
            arrival or _NO_ARRIVAL,
            recipient,
            original,
            known_attempts,
            deciding or _NO_ATTEMPT,
            status,
            updated_at,
            passed,
            self._lines_of_all(message, recipient, attempts) if self._keep_lines else (),
            version,
            deleted,
        )
        told_by = _judged(deciding, handed, original)
        accounts: Sequence[Account]
        if whole or lineage is not None:
            accounts = self._accounts.of_delivery(arrival, recipient, told_by, message.server)
        elif time_in_id(queue_id):
            accounts = self._accounts.of_delivery(None, recipient, told_by, message.server)
        else:
            accounts = _NOBODY  # the key needs the time of the first line, which was not seen
        for account in accounts:
            rows.append(tuple.__new__(Outcome, account + row))
        if message.was_partial and whole:
            rows.append(Outcome._make(UNKNOWN + row)._replace(is_deleted=1))
        if message.stood_alone:
            self._add_withdrawals(message, recipient, Outcome._make(UNKNOWN + row), own, rows)

    def _add_withdrawals(
        self, message: Message, recipient: str, row: Outcome, own: Arrival | None, rows: list[Outcome]
    ) -> None:
        """Take back what was told under the message's own queue id, whichever attempt decided it then."""
        told: dict[Account, None] = dict.fromkeys(_NOBODY)
        for attempt in (None, *message.attempts.get(recipient, _NO_ATTEMPTS)):
            told |= dict.fromkeys(self._accounts.of_delivery(own, recipient, attempt, message.server))
        for account in told:
            rows.append(
                row._replace(
                    account=account.name,
                    account_domain=account.domain,
                    direction=account.direction,
                    queue_id=message.queue_id,
                    queued_at=message.queued_at,
                    is_deleted=1,
                )
            )

    def _row(
        self,
        server: str,
        queue_id: str,
        queued_at: int,
        arrival: Arrival,
        recipient: str,
        original_recipient: str,
        attempts: list[Attempt],
        last: Attempt,
        status: str,
        updated_at: int,
        next_queue_id: str,
        lines: Sequence[str],
        version: int,
        deleted: int,
    ) -> tuple[object, ...]:
        """All columns behind those of the account."""
        remote_host = last.remote_host
        return (
            server,
            queue_id,
            arrival.message_id,
            arrival.sender,
            recipient,
            original_recipient,
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
            next_queue_id,
            arrival.parent_queue_id,
            lines,
            version,
            deleted,
        )

    def _lines_of_all(self, message: Message, recipient: str, attempts: list[Attempt]) -> tuple[str, ...]:
        lines = arrival_lines(message)
        if message.lineage is not None:
            handed = message.handed_over(recipient) or _NO_ATTEMPTS
            lines = [*message.lineage.lines, *(one.line for one in handed), *lines]
        lines += [one.line for one in attempts]
        if message.ending is not None:
            lines.append(message.ending.line)
        return tuple(dict.fromkeys(lines))

    def refusal_rows(self, server: str, refusal: Refusal) -> Iterator[Outcome]:
        """The rows of what was refused, or taken and thrown away, before it was queued."""
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
                queued_at=refusal.at,
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
                version=make_version(1, refusal.at, refusal.status, 1),
                is_deleted=0,
            )


def _judged(deciding: Attempt | None, handed: list[Attempt] | None, original: str) -> Attempt | None:
    """The attempt that tells whose mail it is; one into a filter is not one into a mailbox."""
    attempt = deciding or (handed[-1] if handed else None)
    if attempt is None:
        return None
    if attempt.handover == FILTER:
        return msgspec.structs.replace(attempt, status=DEFERRED, original_recipient=original)
    if attempt.original_recipient != original:
        return msgspec.structs.replace(attempt, original_recipient=original)
    return attempt


def _joined_arrival(first: Arrival, own: Arrival | None) -> Arrival:
    """The submitter of the first queue id; what the log did not tell there comes from the message itself."""
    if own is None or (first.message_id and first.subject and first.size_bytes):
        return first
    return Arrival(
        first.queue_id,
        first.at,
        first.line,
        first.sender,
        first.recipients,
        first.client_host,
        first.client_ip,
        first.system_user,
        first.auth_method,
        first.authenticated_as,
        first.size_bytes or own.size_bytes,
        first.message_id or own.message_id,
        first.subject or own.subject,
        first.parent_queue_id,
    )


def _fate(
    message: Message, recipient: str, attempts: list[Attempt], updated_at: int
) -> tuple[Attempt | None, str, int]:
    """The attempt that decides, the status, and the time of the last event."""
    deciding = _deciding(attempts)
    updated_at = max([updated_at, *(attempt.at for attempt in attempts)])
    status = deciding.status if deciding else PENDING
    if status in _OPEN:
        status, updated_at = _without_final(message, recipient, deciding, updated_at)
    return deciding, status, updated_at


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
    if resolved_at is not None and (deciding is None or not deciding.transport):
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
