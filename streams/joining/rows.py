"""A message and a recipient → the delivery rows, one for each account that it is reported under. Pure.

The columns are given by position, in the order of `Outcome`, which is three times as fast as by name. What is made off
that path gives them by name.
"""

from __future__ import annotations

import msgspec
from postwatch.streams.contracts.outcome import DELIVERED, RECEIVED, REJECTED, RESULTS, Outcome
from postwatch.streams.contracts.outcome import Attempt as AttemptCell
from postwatch.streams.contracts.version import FIRST_WHOLE_VERSION, MOST_EVENTS, RANK_SHIFT, TIME_SHIFT, make_version
from postwatch.streams.enrichment.accounts import NEW, UNKNOWN, Account, AccountBook, is_into_mailbox
from postwatch.streams.enrichment.reasons import ReasonBook
from postwatch.streams.joining.evidence import evidence_of
from postwatch.streams.joining.facts import find_facts
from postwatch.streams.joining.message import RANKS, Message
from postwatch.streams.joining.retractions import NOBODY, Retractions, of_account, retracted
from postwatch.streams.joining.status import OPEN
from postwatch.streams.parsers.events import LOGIN, Arrival, Attempt, Refusal

_NO_ARRIVAL = Arrival("", 0, "")
_NO_ATTEMPTS: list[Attempt] = []


class RowMaker:
    """Makes rows as one provider wants them."""

    def __init__(self, accounts: AccountBook, reasons: ReasonBook, keep_lines: bool) -> None:
        self._accounts = accounts
        self._reasons = reasons
        self._keep_lines = keep_lines
        self._retractions = Retractions(accounts)

    def add_rows(self, message: Message, recipient: str, rows: list[Outcome]) -> None:
        """Append the rows of one recipient as the message is known now."""
        attempts = message.attempts.get(recipient, _NO_ATTEMPTS)
        arrival = _usual_arrival(message, attempts[0]) if len(attempts) == 1 else None
        account_evidence: Attempt | None
        if arrival is not None:  # of nine recipients in ten; as `find_facts` would say, at less cost
            last = account_evidence = attempts[0]
            parts = message.parts
            is_assembled = parts is not None
            queue_id, queued_at, status = message.queue_id, message.queued_at, last.status
            original, next_queue_id, deleted = last.original_recipient, last.next_queue_id, 0
            updated_at = last.at if last.at > arrival.at else arrival.at
            events = (2 if parts is None else len(parts) + 1) + (message.terminal_event is not None)
            version = FIRST_WHOLE_VERSION + (  # as `make_version` has it; what is in brackets fits a word
                updated_at << TIME_SHIFT
                | RANKS[status] << RANK_SHIFT
                | (events if events < MOST_EVENTS else MOST_EVENTS)
            )
            reason = self._reason(status, last) if status != DELIVERED else ""
            cells: tuple[AttemptCell, ...] = (_cell(last, reason),) if last.is_attempt else ()
        else:
            facts = find_facts(message, recipient, attempts)
            if facts is None:
                return
            (
                arrival, last, account_evidence, attempts, tried, queue_id, queued_at, updated_at, status,
                original, next_queue_id, version, deleted, is_assembled,
            ) = facts  # fmt: skip
            reason = self._reason(status, last)
            cells = self._cells(tried)
        accounts: tuple[Account, ...]
        if is_assembled or arrival is None:
            accounts = self._find_accounts(message, recipient, arrival, account_evidence)
        else:
            accounts = self._accounts.of_delivery(arrival, recipient, account_evidence, message.server)
        submitted = arrival or _NO_ARRIVAL
        log_lines: tuple[str, ...]
        if not self._keep_lines:
            log_lines = ()
        elif (
            len(attempts) == 1
            and message.parts is None
            and message.arrival is not None
            and message.terminal_event is None
            and message.cancelled_recipients is None
            and message.lineage is None
            and message.identity is None
        ):  # as nearly always, and quicker than the call
            log_lines = message.arrival.line, attempts[0].line
        else:
            log_lines = evidence_of(message, recipient, attempts)
        remote_host = last.remote_host
        account, account_domain, direction = accounts[0]
        columns = (  # all of Outcome, in order
            account,
            account_domain,
            direction,
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
            reason,
            remote_host,
            last.remote_ip,
            self._reasons.find_provider(remote_host) if remote_host else "",
            last.tls,
            last.router,
            last.transport,
            cells,
            next_queue_id,
            submitted.parent_queue_id,
            log_lines,
            version,
            deleted,
            last.source_ip,
        )
        row: Outcome = NEW(Outcome, columns)
        rows.append(row)
        if len(accounts) > 1:
            for other in accounts[1:]:  # no comprehension here: it would make each use of `row` dearer
                rows.append(of_account(row, other))
        if is_assembled or arrival is None:
            self._retract_assembled(message, recipient, arrival, account_evidence, accounts, row, rows)
        elif original or message.was_partial or (direction == RECEIVED and status == DELIVERED):
            self._retract(message, recipient, arrival, len(attempts), accounts, row, rows)

    def _cells(self, tried: list[Attempt]) -> tuple[AttemptCell, ...]:
        return tuple([_cell(one, self._reason(one.status, one)) for one in tried if one.is_attempt])

    def _reason(self, status: str, one: Attempt) -> str:
        return "" if status == DELIVERED else self._reasons.find_reason(status, one.enhanced_code, one.response)

    def _retract(
        self,
        message: Message,
        recipient: str,
        arrival: Arrival,
        tries: int,
        accounts: tuple[Account, ...],
        row: Outcome,
        rows: list[Outcome],
    ) -> None:
        """Retract what an earlier row told under another account."""
        if row.direction == RECEIVED and arrival.sender and row.status == DELIVERED:
            self._retractions.add_sent(arrival, accounts, row, rows)
        original = row.original_recipient
        if original and (tries > 1 or recipient in arrival.recipients):
            # Else this is the first row of it, for it was not submitted as such.
            self._retractions.add_aliased(accounts, recipient, original, row, rows)
        if message.was_partial and accounts != NOBODY:
            rows.append(retracted(row, UNKNOWN))
            if message.cancelled_recipients is not None and recipient in message.cancelled_recipients:
                # It may have been told as refused.
                self._retractions.add_aliased(accounts, recipient, recipient, row, rows)

    def _find_accounts(
        self, message: Message, recipient: str, arrival: Arrival | None, judged: Attempt | None
    ) -> tuple[Account, ...]:
        """Of a message told in parts, of one whose arrival was not seen, or one that goes through a filter."""
        if message.lineage is not None or message.is_whole():
            return self._accounts.of_delivery(arrival, recipient, judged, message.server)
        if message.is_dated() or (judged is not None and is_into_mailbox(judged)):
            if judged is not None and judged.status == REJECTED:
                refusal = Refusal(message.queue_id, judged.at, judged.line, recipient=recipient)
                return self._accounts.of_refusal(refusal, message.server)
            return self._accounts.of_delivery(None, recipient, judged, message.server)
        return NOBODY  # the key needs the time of the first line, which was not seen

    def _retract_assembled(
        self,
        message: Message,
        recipient: str,
        arrival: Arrival | None,
        judged: Attempt | None,
        accounts: tuple[Account, ...],
        row: Outcome,
        rows: list[Outcome],
    ) -> None:
        """The same of the messages of `_find_accounts`."""
        whole = message.is_whole()
        if judged is not None and judged.original_recipient:
            self._retractions.add_aliased(accounts, recipient, judged.original_recipient, row, rows)
        if whole and arrival is not None and arrival.sender and row.direction == RECEIVED:
            self._retractions.add_sent(arrival, accounts, row, rows)
        if message.was_partial and whole and accounts != NOBODY:
            rows.append(retracted(row, UNKNOWN))
        if whole and message.lineage is None and message.arrival is not None:
            if message.identity is not None:
                self._retractions.add_known(message, message.arrival, recipient, accounts, row, rows)
            elif message.was_partial and message.parts is not None and LOGIN in message.parts:
                unnamed = msgspec.structs.replace(message.arrival, authenticated_as="")
                self._retractions.add_known(message, unnamed, recipient, accounts, row, rows)
        if message.lineage is not None and message.lineage.is_returned and not message.lineage.forwarded:
            self._retractions.add_given(message, message.lineage, recipient, accounts, row, rows)
        if message.was_reported_alone:
            named = row._replace(queue_id=message.queue_id, queued_at=message.queued_at)
            self._retractions.add_renamed(message, recipient, named, rows, message.tell_arrival())
        former = message.former
        if former is not None:
            named = row._replace(queue_id=former.queue_id, queued_at=former.queued_at)
            self._retractions.add_renamed(message, recipient, named, rows, former.arrival)

    def refusal_rows(self, server: str, refusal: Refusal) -> list[Outcome]:
        """The rows of what was refused, or taken and thrown away, before it was queued."""
        reason = self._reasons.find_reason(refusal.status, refusal.enhanced_code, refusal.response)
        accounts = self._accounts.of_refusal(refusal, server)
        former: list[Account] = []
        if refusal.awaits_arrival and refusal.told_by:
            former = [one for one in self._accounts.of_refusal(_as_it_was(refusal), server) if one not in accounts]
        row = Outcome(
            server=server,
            queue_id=refusal.queue_id,
            message_id=refusal.message_id,
            sender=refusal.sender,
            recipient=refusal.recipient,
            client_host=refusal.client_host,
            client_ip=refusal.client_ip,
            authenticated_as=refusal.authenticated_as,
            auth_method=refusal.auth_method,
            subject=refusal.subject,
            queued_at=refusal.at,
            updated_at=refusal.at,
            status=refusal.status,
            result=RESULTS[refusal.status],
            smtp_code=refusal.smtp_code,
            enhanced_code=refusal.enhanced_code,
            response=refusal.response,
            reason=reason,
            log_lines=tuple(filter(None, (refusal.line, refusal.told_by))) if self._keep_lines else (),
            version=make_version(1, refusal.at, RANKS[refusal.status], _count_told(refusal)),
        )
        return [
            *(of_account(row, account) for account in accounts),
            *(retracted(row, account) for account in former),
        ]


def _count_told(refusal: Refusal) -> int:
    """What is read again after a crash may find the next client of the process, and so know less: its version is
    lower."""
    is_told_more = refusal.told_by and (
        refusal.client_ip or refusal.passage_id or refusal.answers_id or refusal.awaits_arrival
    )
    told = 3 if refusal.is_changed and refusal.passage_id else 2 if is_told_more else 1
    return told + bool(refusal.session_id and refusal.client_ip)


def _cell(one: Attempt, reason: str) -> AttemptCell:
    return NEW(
        AttemptCell,
        (one.at, one.status, one.smtp_code, one.response, one.remote_host, one.remote_ip, reason, one.source_ip),
    )


def _as_it_was(refusal: Refusal) -> Refusal:
    """The refusal before the arrival's line told more of it, as far as that changes whose it is."""
    return msgspec.structs.replace(refusal, sender="", authenticated_as="", auth_method="", system_user="")


def _usual_arrival(message: Message, last: Attempt) -> Arrival | None:
    """The arrival, where that and the attempt are all that there is to tell; None: it takes `find_facts`."""
    if (
        last.status in OPEN
        or last.handover
        or last.told_by
        or last.beside
        or last.is_original_unsure
        or message.lineage is not None
        or message.identity is not None
        or message.forwarded is not None
        or "" in message.attempts
    ):
        return None
    if message.parts is None:
        return message.arrival
    return message.tell_arrival() if message.is_whole() else None
