"""Whose mail it is: the accounts under which a message's rows are reported.

Outbound, in this order: who authenticated, the local system user, the envelope sender where its domain is ours. A name
that can be no account, such as `a@b@c`, is passed over.
Inbound: the final recipient where its domain is ours, else the address that it was forwarded from. Where no list of
hosted domains is given, the log decides: an address that was delivered without a far host, or aliased here, is ours.
An address without a domain, or with the server's own name as its domain, belongs to a system user of that server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from postwatch.streams.contracts.outcome import DELIVERED, RECEIVED, SENT
from postwatch.streams.enrichment.hosted_domains import Domains
from postwatch.streams.parsers.events import UNNAMED_SERVER, Arrival, Attempt, Refusal


class Account(NamedTuple):
    name: str
    domain: str
    direction: str


UNKNOWN = Account("", "", SENT)
"""Whose it is can't be told: the arrival was never seen, or no domain is ours."""


_HERE = ("localhost", "localhost.localdomain")
_SYSTEM_USER = re.compile(r"[\w.+-]++")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*+"@[^\s@"]++')
"""A mailbox whose local part is quoted (RFC 5321 §4.1.2)."""


def mailbox(name: str, server: str, direction: str) -> Account:
    """'Bob@Example.org' → that mailbox; a bare login is a system user, who is known on one server only."""
    name = name.lower()
    user, at, domain = name.rpartition("@")
    if at and domain not in _HERE and domain != server.lower():
        return tuple.__new__(Account, (name, domain, direction))  # the fast path, taken for each row
    return Account(f"{user if at else name}@{server}", server, direction)


def is_account(name: str) -> bool:
    """Whether it can be an account: `user@domain`, or a system user. Blanks and a second @ stand only within quotes."""
    if name.count("@") < 2 and " " not in name and name.isprintable():
        return name[:1] not in ("", "@") and name[-1] != "@"
    return _QUOTED.fullmatch(name) is not None


def _is_command(recipient: str) -> bool:
    """A command, a file or a list: what an alias may name in place of an address."""
    return recipient.lstrip('"')[:1] in ("|", "/", ":")


class AccountBook:
    """Finds the accounts of messages on the servers of one provider."""

    def __init__(self, domains: Domains | None) -> None:
        self._domains = domains

    def use(self, domains: Domains) -> None:
        """Judge by this list from now on. Any thread may call it: the list is exchanged as a whole."""
        self._domains = domains

    def hosts(self, address: str, server: str) -> bool:
        """Whether the list of hosted domains has the address's domain, or it is a system user's of that server."""
        if self._domains is None:
            return False
        _, at, domain = address.rpartition("@")
        if not at:
            return _SYSTEM_USER.fullmatch(address) is not None
        return (domain in self._domains or domain in _HERE or domain == server.lower()) and is_account(address)

    def sender(self, event: Arrival | Refusal, server: str) -> Account | None:
        """Who handed the message in, as far as they are ours. A bounce (empty sender) is nobody's own mail."""
        if event.authenticated_as and is_account(event.authenticated_as):
            return mailbox(event.authenticated_as, server, SENT)
        if event.system_user and event.sender:
            return mailbox(event.system_user, server, SENT)
        if event.sender and self.hosts(event.sender.lower(), server):
            return mailbox(event.sender, server, SENT)
        return None

    def receiver(self, recipient: str, attempt: Attempt | None, server: str) -> Account | None:
        """Who gets it, as far as they are ours; an attempt may tell more than the address."""
        original = attempt.original_recipient if attempt else ""
        if self._domains is not None:
            for address in (recipient, original):
                if address and self.hosts(address, server):
                    return mailbox(address, server, RECEIVED)
            return None
        if attempt is None:
            return None
        is_local = attempt.status == DELIVERED and not attempt.remote_ip and attempt.transport != UNNAMED_SERVER
        if is_local and is_account(recipient) and not (original and _is_command(recipient)):
            return mailbox(recipient, server, RECEIVED)
        return mailbox(original, server, RECEIVED) if original and is_account(original) else None

    def of_delivery(
        self, arrival: Arrival | None, recipient: str, attempt: Attempt | None, server: str
    ) -> tuple[Account, ...]:
        """Every account that gets a row for this recipient; never empty."""
        sent = self.sender(arrival, server) if arrival else None
        received = self.receiver(recipient, attempt, server)
        if sent:
            return (sent, received) if received else (sent,)
        if received:
            return (received,)
        if arrival is None or self._domains is not None or not is_account(recipient):
            return (UNKNOWN,)
        return (mailbox(recipient, server, RECEIVED),)  # came in from elsewhere: somebody here shall get it

    def not_chosen(self, recipient: str, original: str, server: str, chosen: tuple[Account, ...]) -> Iterator[Account]:
        """Without a list, the accounts of an aliased recipient that an earlier attempt may have spoken for."""
        if self._domains is None:
            for address in (recipient, original):
                account = mailbox(address, server, RECEIVED)
                if account not in chosen:
                    yield account

    def of_refusal(self, refusal: Refusal, server: str) -> tuple[Account, ...]:
        sent = self.sender(refusal, server)
        if sent:
            return (sent,)
        recipient = refusal.recipient
        if is_account(recipient) and (self._domains is None or self.hosts(recipient, server)):
            return (mailbox(recipient, server, RECEIVED),)
        return (UNKNOWN,)
