"""A message and a recipient → the delivery rows, one for each account that it is reported under. Pure.

`add_rows` makes nearly all rows: it gives the columns by position, in the order of `Outcome`, which is three times as
fast as by name. What is made off that path gives them by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from postwatch.streams.contracts.outcome import DEFERRED, DELIVERED, PENDING, RECEIVED, REJECTED, RESULTS, Outcome
from postwatch.streams.contracts.outcome import Attempt as AttemptCell
from postwatch.streams.contracts.version import (
    ARRIVALS_SHIFT,
    MOST_ARRIVALS,
    MOST_EVENTS,
    RANK_SHIFT,
    TIME_SHIFT,
    make_version,
)
from postwatch.streams.enrichment.accounts import UNKNOWN, Account, AccountBook, is_into_mailbox
from postwatch.streams.enrichment.reasons import ReasonBook
from postwatch.streams.joining.message import RANKS, RETRACTED, Lineage, Message, arrival_lines, envelope_key
from postwatch.streams.joining.passages import as_judged
from postwatch.streams.joining.status import (
    NO_ATTEMPT,
    OPEN,
    find_account_evidence,
    find_status,
    find_status_beside_forward,
    terminal_event_of,
)
from postwatch.streams.parsers.events import FILTER, LOGIN, REPLY, Arrival, Attempt, Refusal

_NO_ARRIVAL = Arrival("", 0, "")
_NO_ATTEMPTS: list[Attempt] = []
_NOBODY = (UNKNOWN,)
_RANK_BEHIND = (RANKS[DELIVERED] + 2, RANKS[DELIVERED] + 1)
"""Of a recipient with a forward whose message is seen: above what was told before, and that of a mailbox higher."""


class RowMaker:
    """Makes rows as one provider wants them."""

    def __init__(self, accounts: AccountBook, reasons: ReasonBook, keep_lines: bool) -> None:
        self._accounts = accounts
        self._reasons = reasons
        self._keep_lines = keep_lines

    def add_rows(self, message: Message, recipient: str, rows: list[Outcome]) -> None:
        """Append the rows of one recipient as the message is known now."""
        attempts = message.attempts.get(recipient, _NO_ATTEMPTS)
        if (
            len(attempts) == 1
            and message.lineage is None
            and message.identity is None
            and message.forwarded is None
            and "" not in message.attempts
        ):
            [last] = attempts
            if not (last.status in OPEN or last.handover or last.told_by or last.beside or last.is_original_unsure):
                arrival = message.arrival
                if message.parts is not None:
                    arrival = message.tell_arrival() if message.is_whole() else None
                if arrival is not None:
                    self._add_plain(message, recipient, arrival, last, rows)
                    return
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
            return
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
        submitted = arrival or _NO_ARRIVAL
        last = deciding or NO_ATTEMPT
        row = self._columns(
            message,
            recipient,
            submitted,
            last,
            queue_id,
            queued_at,
            updated_at,
            status,
            original or last.original_recipient,
            tried,
            f"{passed} {last.next_queue_id}".strip() if passed else last.next_queue_id,
            version,
            deleted,
            _evidence(message, recipient, attempts) if self._keep_lines else (),
        )
        evidence = deciding if len(attempts) < 2 else find_account_evidence(deciding, attempts)
        if not is_plain or arrival is None or last.handover:
            self._add_assembled(message, recipient, arrival, _judged(message, recipient, evidence, original), row, rows)
            return
        self._add_of_accounts(message, recipient, arrival, evidence, len(attempts), status, row, rows)

    def _add_plain(
        self, message: Message, recipient: str, arrival: Arrival, last: Attempt, rows: list[Outcome]
    ) -> None:
        """The rows of nine recipients in ten: one line tells what became of them, and the arrival is known."""
        parts = message.parts
        status = last.status
        updated_at = last.at if last.at > arrival.at else arrival.at
        attempts = [last]
        ending = message.terminal_event
        events = (2 if parts is None else len(parts) + 1) + (ending is not None)
        evidence: tuple[str, ...] = ()
        if self._keep_lines:
            if parts is None and ending is None and message.cancelled_recipients is None:
                evidence = (arrival.line, last.line)
            else:
                evidence = _evidence(message, recipient, attempts)
        row = self._columns(
            message,
            recipient,
            arrival,
            last,
            message.queue_id,
            message.queued_at,
            updated_at,
            status,
            last.original_recipient,
            attempts,
            last.next_queue_id,
            1 << ARRIVALS_SHIFT
            | updated_at << TIME_SHIFT
            | RANKS[status] << RANK_SHIFT
            | (events if events < MOST_EVENTS else MOST_EVENTS),
            0,
            evidence,
        )
        if parts is None:
            self._add_of_accounts(message, recipient, arrival, last, 1, status, row, rows)
        else:
            self._add_assembled(message, recipient, arrival, last, row, rows)

    def _columns(
        self,
        message: Message,
        recipient: str,
        submitted: Arrival,
        last: Attempt,
        queue_id: str,
        queued_at: int,
        updated_at: int,
        status: str,
        original: str,
        tried: list[Attempt],
        next_queue_id: str,
        version: int,
        deleted: int,
        evidence: tuple[str, ...],
    ) -> tuple[object, ...]:
        """All columns of Outcome in order, but for the first three, which are those of Account."""
        remote_host = last.remote_host
        return (
            message.server,
            queue_id,
            submitted.message_id,
            submitted.sender or last.envelope_sender,
            recipient,
            original,
            submitted.client_host,
            submitted.client_ip,
            submitted.authenticated_as,
            submitted.auth_method,
            submitted.subject,
            submitted.size_bytes,
            queued_at,
            updated_at,
            updated_at - queued_at if updated_at > queued_at else 0,
            status,
            RESULTS[status],
            last.smtp_code,
            last.enhanced_code,
            last.response,
            "" if status == DELIVERED else self._reasons.find_reason(status, last.enhanced_code, last.response),
            remote_host,
            last.remote_ip,
            self._reasons.find_provider(remote_host) if remote_host else "",
            last.tls,
            last.router,
            last.transport,
            self._attempt_cells(tried),
            next_queue_id,
            submitted.parent_queue_id,
            evidence,
            version,
            deleted,
            last.source_ip,
        )

    def _attempt_cells(self, attempts: list[Attempt]) -> tuple[AttemptCell, ...]:
        cells: list[AttemptCell] = []
        for one in attempts:
            if one.is_attempt:
                status, response = one.status, one.response
                reason = "" if status == DELIVERED else self._reasons.find_reason(status, one.enhanced_code, response)
                cell = (one.at, status, one.smtp_code, response, one.remote_host, one.remote_ip, reason, one.source_ip)
                cells.append(tuple.__new__(AttemptCell, cell))  # all columns of AttemptCell in order
        return tuple(cells)

    def _add_of_accounts(
        self,
        message: Message,
        recipient: str,
        arrival: Arrival,
        evidence: Attempt | None,
        tries: int,
        status: str,
        row: tuple[object, ...],
        rows: list[Outcome],
    ) -> None:
        """A row for each account, and what an earlier one told under another account is retracted."""
        accounts = self._accounts.of_delivery(arrival, recipient, evidence, message.server)
        for account in accounts:
            rows.append(tuple.__new__(Outcome, account + row))
        if accounts[0].direction == RECEIVED and arrival.sender and status == DELIVERED:
            self._retract_sent(arrival, accounts, row, rows)
        original = row[5]
        if original and (tries > 1 or recipient in arrival.recipients):
            # Else this is the first row of it, for it was not submitted as such.
            self._retract(accounts, recipient, str(original), row, rows)
        if message.was_partial and accounts != _NOBODY:
            rows.append(Outcome._make(UNKNOWN + row)._replace(is_deleted=1))
            if message.cancelled_recipients is not None and recipient in message.cancelled_recipients:
                self._retract(accounts, recipient, recipient, row, rows)  # it may have been told as refused

    def _retract_sent(
        self, arrival: Arrival, chosen: tuple[Account, ...], row: tuple[object, ...], rows: list[Outcome]
    ) -> None:
        """What this machine handed in was its sender's until it was known to be for a mailbox here."""
        own = self._accounts.handed_in_here(arrival, str(row[0]))
        if own is not None and own not in chosen:
            rows.append(Outcome._make(own + row)._replace(is_deleted=1))

    def _retract(
        self,
        chosen: tuple[Account, ...],
        recipient: str,
        original: str,
        row: tuple[object, ...],
        rows: list[Outcome],
    ) -> None:
        server = str(row[0])
        for account in self._accounts.not_chosen(recipient, original, server, chosen):
            rows.append(Outcome._make(account + row)._replace(is_deleted=1))

    def _add_assembled(
        self,
        message: Message,
        recipient: str,
        arrival: Arrival | None,
        judged: Attempt | None,
        row: tuple[object, ...],
        rows: list[Outcome],
    ) -> None:
        """The rows of a message told in parts, of one whose arrival was not seen, or one that goes through a filter."""
        whole = message.is_whole()
        accounts: tuple[Account, ...]
        if whole or message.lineage is not None:
            accounts = self._accounts.of_delivery(arrival, recipient, judged, message.server)
        elif message.is_dated() or (judged is not None and is_into_mailbox(judged)):
            if judged is not None and judged.status == REJECTED:
                refusal = Refusal(message.queue_id, judged.at, judged.line, recipient=recipient)
                accounts = self._accounts.of_refusal(refusal, message.server)
            else:
                accounts = self._accounts.of_delivery(None, recipient, judged, message.server)
        else:
            accounts = _NOBODY  # the key needs the time of the first line, which was not seen
        for account in accounts:
            rows.append(tuple.__new__(Outcome, account + row))
        if judged is not None and judged.original_recipient:
            self._retract(accounts, recipient, judged.original_recipient, row, rows)
        if whole and arrival is not None and arrival.sender and accounts[0].direction == RECEIVED:
            self._retract_sent(arrival, accounts, row, rows)
        if message.was_partial and whole and accounts != _NOBODY:
            rows.append(Outcome._make(UNKNOWN + row)._replace(is_deleted=1))
        if whole and message.lineage is None and message.arrival is not None:
            if message.identity is not None:
                self._retract_shared(message, message.arrival, recipient, accounts, row, rows)
            elif message.was_partial and message.parts is not None and LOGIN in message.parts:
                unnamed = msgspec.structs.replace(message.arrival, authenticated_as="")
                self._retract_shared(message, unnamed, recipient, accounts, row, rows)
        if message.lineage is not None and message.lineage.is_returned and not message.lineage.forwarded:
            self._retract_given(message, message.lineage, recipient, accounts, row, rows)
        if message.was_reported_alone:
            named = Outcome._make(UNKNOWN + row)._replace(queue_id=message.queue_id, queued_at=message.queued_at)
            self._add_retractions(message, recipient, named, rows, message.tell_arrival())
        former = message.former
        if former is not None:
            named = Outcome._make(UNKNOWN + row)._replace(queue_id=former.queue_id, queued_at=former.queued_at)
            self._add_retractions(message, recipient, named, rows, former.arrival)

    def _retract_shared(
        self,
        message: Message,
        known: Arrival,
        recipient: str,
        chosen: tuple[Account, ...],
        row: tuple[object, ...],
        rows: list[Outcome],
    ) -> None:
        """What was told as the arrival was `known`, before the line came that says who it was."""
        told: dict[Account, None] = {}
        for attempt in (None, *message.attempts.get(recipient, _NO_ATTEMPTS)):
            told |= dict.fromkeys(self._accounts.of_delivery(known, recipient, attempt, message.server))
        for account in told:
            if account not in chosen:
                rows.append(Outcome._make(account + row)._replace(is_deleted=1))

    def _retract_given(
        self,
        message: Message,
        lineage: Lineage,
        recipient: str,
        chosen: tuple[Account, ...],
        row: tuple[object, ...],
        rows: list[Outcome],
    ) -> None:
        """What was told while a program of this server seemed to be the mailbox."""
        handed = message.handed_over(recipient)
        if not handed:
            return
        given = msgspec.structs.replace(handed[-1], handover="")
        for account in self._accounts.of_delivery(lineage.arrival, recipient, given, message.server):
            if account not in chosen:
                rows.append(Outcome._make(account + row)._replace(is_deleted=1))

    def _add_retractions(
        self, message: Message, recipient: str, row: Outcome, rows: list[Outcome], own: Arrival | None
    ) -> None:
        """Take back what was told under another queue id and arrival, whichever attempt decided it then."""
        told: dict[Account, None] = dict.fromkeys(_NOBODY)
        for attempt in (None, *message.attempts.get(recipient, _NO_ATTEMPTS)):
            told |= dict.fromkeys(self._accounts.of_delivery(own, recipient, attempt, message.server))
        for account in told:
            rows.append(
                row._replace(
                    account=account.name,
                    account_domain=account.domain,
                    direction=account.direction,
                    is_deleted=1,
                )
            )

    def refusal_rows(self, server: str, refusal: Refusal) -> Iterator[Outcome]:
        """The rows of what was refused, or taken and thrown away, before it was queued."""
        reason = self._reasons.find_reason(refusal.status, refusal.enhanced_code, refusal.response)
        accounts = self._accounts.of_refusal(refusal, server)
        former: tuple[Account, ...] = ()
        is_told_more = refusal.told_by and (
            refusal.client_ip or refusal.passage_id or refusal.answers_id or refusal.awaits_arrival
        )
        if refusal.awaits_arrival and refusal.told_by:
            former = self._accounts.of_refusal(_as_it_was(refusal), server)
        for account in (*accounts, *(one for one in former if one not in accounts)):
            yield Outcome(
                account=account.name,
                account_domain=account.domain,
                direction=account.direction,
                server=server,
                queue_id=refusal.queue_id,
                sender=refusal.sender,
                recipient=refusal.recipient,
                client_host=refusal.client_host,
                client_ip=refusal.client_ip,
                authenticated_as=refusal.authenticated_as,
                auth_method=refusal.auth_method,
                queued_at=refusal.at,
                updated_at=refusal.at,
                status=refusal.status,
                result=RESULTS[refusal.status],
                smtp_code=refusal.smtp_code,
                enhanced_code=refusal.enhanced_code,
                response=refusal.response,
                reason=reason,
                log_lines=tuple(filter(None, (refusal.line, refusal.told_by))) if self._keep_lines else (),
                version=make_version(
                    1,
                    refusal.at,
                    RANKS[refusal.status],
                    # What is read again after a crash may find the next client of the process, and so know less.
                    (3 if refusal.is_changed and refusal.passage_id else 2 if is_told_more else 1)
                    + bool(refusal.session_id and refusal.client_ip),
                ),
                is_deleted=0 if account in accounts else 1,
            )


def _as_it_was(refusal: Refusal) -> Refusal:
    """The refusal before the arrival's line told more of it, as far as that changes whose it is."""
    return msgspec.structs.replace(refusal, sender="", authenticated_as="", auth_method="", system_user="")


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


def _envelope_lines(parts: dict[str, Arrival], recipient: str, attempts: list[Attempt]) -> list[str]:
    """The line that tells of this recipient as submitted, where the log has one for each."""
    original = attempts[-1].original_recipient if attempts else ""
    found = parts.get(envelope_key(recipient)) or (parts.get(envelope_key(original)) if original else None)
    return [found.line] if found is not None else []


def _is_told_in_two_lines(message: Message) -> bool:
    return message.terminal_event is None and message.identity is None and message.cancelled_recipients is None


def _lines_of(attempts: Sequence[Attempt]) -> list[str]:
    """Their lines, and those of the filter that told what became of the recipient."""
    return [*[one.line for one in attempts], *[one.told_by for one in attempts if one.told_by]]


def _evidence(message: Message, recipient: str, attempts: list[Attempt]) -> tuple[str, ...]:
    if message.parts is None and message.lineage is None:
        arrival = message.arrival
        if arrival is not None and len(attempts) == 1 and _is_told_in_two_lines(message):
            return arrival.line, attempts[0].line
        lines = arrival_lines(message)
    else:
        lines = arrival_lines(message)
        if message.parts is not None and len(message.parts) > len(lines) - (message.identity is not None):
            lines += [line for line in _envelope_lines(message.parts, recipient, attempts) if line not in lines]
        if message.lineage is not None:
            lines = [*message.lineage.lines, *_lines_of(message.handed_over(recipient) or ()), *lines]
    lines += _lines_of(attempts)
    ending = terminal_event_of(message, recipient, attempts[-1] if attempts else None)
    if ending is not None:
        lines.append(ending.line)
    return tuple(lines)
