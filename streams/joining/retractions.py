"""Takes back rows of a recipient that were told under another account or queue id before the log told more. Pure.

Invariant: a retraction has the version of the row that replaces what it takes back, and never hides that row.
"""

from __future__ import annotations

import msgspec
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import NEW, UNKNOWN, Account, AccountBook
from postwatch.streams.joining.message import Lineage, Message
from postwatch.streams.parsers.events import Arrival

NOBODY = (UNKNOWN,)
_DELETED = Outcome._fields.index("is_deleted")
_SET = (1,)


def of_account(row: Outcome, account: Account) -> Outcome:
    """The same row under another account: its first columns are those of Account."""
    return NEW(Outcome, account + row[len(UNKNOWN) :])


def retracted(row: Outcome, account: Account) -> Outcome:
    """The tombstone of the row that was told under that account."""
    return NEW(Outcome, account + row[len(UNKNOWN) : _DELETED] + _SET + row[_DELETED + 1 :])  # `_replace` is slow


class Retractions:
    """Adds retractions as one provider wants them."""

    def __init__(self, accounts: AccountBook) -> None:
        self._accounts = accounts

    def add_sent(self, arrival: Arrival, chosen: tuple[Account, ...], row: Outcome, rows: list[Outcome]) -> None:
        """What this machine handed in was its sender's until it was known to be for a mailbox here."""
        own = self._accounts.handed_in_here(arrival, row.server)
        if own is not None and own not in chosen:
            rows.append(retracted(row, own))

    def add_aliased(
        self,
        chosen: tuple[Account, ...],
        recipient: str,
        original: str,
        row: Outcome,
        rows: list[Outcome],
    ) -> None:
        """What an earlier attempt told under the recipient or the address that it was made from."""
        server = row.server
        for account in self._accounts.not_chosen(recipient, original, server, chosen):
            rows.append(retracted(row, account))

    def add_known(
        self,
        message: Message,
        known: Arrival,
        recipient: str,
        chosen: tuple[Account, ...],
        row: Outcome,
        rows: list[Outcome],
    ) -> None:
        """What was told as the arrival was `known`, before the line came that says who it was."""
        told: dict[Account, None] = {}
        for attempt in (None, *message.attempts.get(recipient, ())):
            told |= dict.fromkeys(self._accounts.of_delivery(known, recipient, attempt, message.server))
        for account in told:
            if account not in chosen:
                rows.append(retracted(row, account))

    def add_given(
        self,
        message: Message,
        lineage: Lineage,
        recipient: str,
        chosen: tuple[Account, ...],
        row: Outcome,
        rows: list[Outcome],
    ) -> None:
        """What was told while a program of this server seemed to be the mailbox."""
        handed = message.handed_over(recipient)
        if not handed:
            return
        given = msgspec.structs.replace(handed[-1], handover="")
        for account in self._accounts.of_delivery(lineage.arrival, recipient, given, message.server):
            if account not in chosen:
                rows.append(retracted(row, account))

    def add_renamed(
        self, message: Message, recipient: str, row: Outcome, rows: list[Outcome], own: Arrival | None
    ) -> None:
        """Take back what was told under another queue id and arrival, whichever attempt decided it then."""
        told: dict[Account, None] = dict.fromkeys(NOBODY)
        for attempt in (None, *message.attempts.get(recipient, ())):
            told |= dict.fromkeys(self._accounts.of_delivery(own, recipient, attempt, message.server))
        for account in told:
            rows.append(retracted(row, account))
