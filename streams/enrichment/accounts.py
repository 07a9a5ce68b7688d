"""Whose mail it is: the accounts under which a message's rows are reported.

Outbound, in this order: who authenticated, the local system user, the envelope sender where its domain is ours and the
client may be believed: it logged in, or is this machine, or stands in a trusted network. A stranger's envelope sender
is never believed. A name that can be no account, such as `a@b@c` or an SRS address, is passed over.
Inbound: the final recipient where its domain is ours, else the address that it was forwarded from. Where no list of
hosted domains is given, the log decides: an address that was delivered into a mailbox, or aliased here, is ours, and
what this machine handed in itself is the sender's.
An address without a domain, or with the server's own name as its domain, belongs to a system user of that server.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from postwatch.streams.contracts.outcome import DELIVERED, RECEIVED, SENT
from postwatch.streams.enrichment.trusted_networks import TrustedNetworks
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import UNNAMED_SERVER, Arrival, Attempt, Refusal
from postwatch.streams.parsers.scan import SCAN
from postwatch.streams.parsers.smtp import is_lmtp, is_loopback, is_saved

if TYPE_CHECKING:
    from postwatch.streams.enrichment.hosted_domains import Domains


class Account(NamedTuple):
    name: str
    domain: str
    direction: str


NEW = tuple.__new__
"""Makes a row or a cell of all its columns in order: half the time that the class itself takes."""

UNKNOWN = Account("", "", SENT)
"""Whose it is can't be told: the arrival was never seen, or no domain is ours."""


_is_usual = compiled(r"[A-Za-z0-9][A-Za-z0-9.+-]*+(?:@[A-Za-z0-9.-]++)?+").fullmatch
"""Tells most accounts in one call; what it does not know may be one all the same."""
_match_mailbox = compiled(r"[a-z0-9][a-z0-9.+-]*+@([a-z0-9.-]++)").fullmatch
"""The usual form of a mailbox, and its domain: it takes no other look to tell that it is an account."""
_HERE = ("localhost", "localhost.localdomain")
_SYSTEM_USER = compiled(r"[\w.+-]++")
_QUOTED = compiled(r'"(?:[^"\\\x00-\x1f]|\\.)*+"@[^\s@"]++')
"""A mailbox whose local part is quoted (RFC 5321 §4.1.2)."""

_REWRITTEN = compiled(
    r"srs[01][-+=]"  # a forwarder's (SRS)
    r"|(?:(?:ms)?prvs[0-9]?|btv1=?)="  # a signed sender (BATV)
    r"|bounces?+[-+.][^@]*="
    r"|[^@=]*[-+][^@=]*=[^@=]*\."  # the recipient within the sender (VERP)
)
_MOST_OF_ADDRESS = 320
_SERVICE_LOGINS = ("_cpanel", "__cpanel")
"""What cPanel's own services log in as, each time with another token."""
_SERVERS_OWN = ("double-bounce@", "mailer-daemon@")
"""Senders of the server's own notices."""
_LONGEST_OF_OWN = max(map(len, _SERVERS_OWN))
_MOST_CACHED = 4096
"""Accounts, of some 300 bytes each: those who send and get most of the mail. More do not fit the processor's cache, and
then those who come once cost more than is saved."""


def mailbox(name: str, server: str, direction: str) -> Account:
    """'Bob@Example.org' → that mailbox; a bare login is a system user, who is known on one server only."""
    name = name.lower()
    user, at, domain = name.rpartition("@")
    if at and domain not in _HERE and domain != server.lower():
        return NEW(Account, (name, domain, direction))  # the fast path, taken for each row
    return Account(f"{user if at else name}@{server}", server, direction)


def is_account(name: str) -> bool:
    """Whether it can be an account: `user@domain`, or a system user. Blanks and a second @ stand only within quotes.

    Addresses that programs make for one message (SRS, BATV, VERP) and logins of cPanel's services are none.
    """
    if _is_usual(name) is not None:
        return True
    if name.count("@") < 2 and " " not in name and name.isprintable():
        first = name[:1]
        if first in ("", "@") or name[-1] == "@" or ("=" in name and _is_rewritten(name)):
            return False
        return first != "_" or not name.startswith(_SERVICE_LOGINS)
    return _QUOTED.fullmatch(name) is not None


def _find_account(name: str, server: str, direction: str) -> Account | None:
    """The mailbox, or None where the name can be no account."""
    domain: str | None
    if SCAN is not None:
        domain = SCAN.domain_of_mailbox(name)
    else:
        usual = _match_mailbox(name)
        domain = usual[1] if usual is not None else None
    if domain is not None and domain not in _HERE and domain != server.lower():
        return NEW(Account, (name, domain, direction))
    return mailbox(name, server, direction) if _is_usual(name) is not None or is_account(name) else None


_account_of = lru_cache(maxsize=_MOST_CACHED)(_find_account) if SCAN is None else _find_account
"""Where the core is compiled, a look at the name takes less than one at what is known already."""


@lru_cache(maxsize=4096)
def _is_rewritten(address: str) -> bool:
    return _REWRITTEN.match(address[:_MOST_OF_ADDRESS].lower()) is not None


def _is_servers_own(sender: str) -> bool:
    return sender[:_LONGEST_OF_OWN].lower().startswith(_SERVERS_OWN)


def is_into_mailbox(attempt: Attempt) -> bool:
    """Whether it was delivered into a mailbox here. LMTP is final delivery, wherever its server stands (RFC 2033).

    A filter that speaks LMTP names the queue id under which the message goes on.
    """
    if attempt.status != DELIVERED or attempt.transport == UNNAMED_SERVER:
        return False
    ip = attempt.remote_ip
    if not ip:
        return True
    if attempt.next_queue_id or attempt.transport == "smtp":
        return False
    return is_lmtp(attempt.transport) or is_saved(attempt.response, ip)


def _is_command(recipient: str) -> bool:
    """A command, a file or a list: what an alias may name in place of an address."""
    return recipient.lstrip('"')[:1] in ("|", "/", ":")


class AccountBook:
    """Finds the accounts of messages on the servers of one provider."""

    def __init__(self, domains: Domains | None, trusted: TrustedNetworks | None = None) -> None:
        """`trusted`: networks whose clients' envelope senders are believed without a login."""
        self._domains = domains
        self._trusted = trusted or None

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
        login = event.authenticated_as
        if login:
            account = _account_of(login, server, SENT)
            if account is not None:
                return account
        if not event.sender:
            return None
        if event.system_user:
            return mailbox(event.system_user, server, SENT)
        if self._domains is not None and self.hosts(event.sender.lower(), server) and self._is_believed(event):
            return mailbox(event.sender, server, SENT)
        return None

    def _is_believed(self, event: Arrival | Refusal) -> bool:
        """Whether the client says truly who the sender is: it logged in, is this machine, or is in a trusted network.

        The address alone counts: a host's name and its HELO are a stranger's to choose. Without any client, the message
        was handed in here by a program; a message that was made of another one has that one's sender, whoever wrote it.
        """
        if not event.authenticated_as and not event.auth_method:
            ip = event.client_ip
            if ip:
                if not is_loopback(ip) and (self._trusted is None or ip not in self._trusted):
                    return False
            elif not isinstance(event, Arrival) or event.client_host or event.parent_queue_id:
                return False
        return not _is_servers_own(event.sender)

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
        if attempt.remote_ip and attempt.next_queue_id:
            is_ours = False  # as `is_into_mailbox` would say, without the call: most mail goes to far servers
        else:
            is_ours = is_into_mailbox(attempt) and not (original and _is_command(recipient))
        if is_ours:
            account = _account_of(recipient, server, RECEIVED)
            if account is not None:
                return account
        return _account_of(original, server, RECEIVED) if original else None

    def of_delivery(
        self, arrival: Arrival | None, recipient: str, attempt: Attempt | None, server: str
    ) -> tuple[Account, ...]:
        """Every account that gets a row for this recipient; never empty."""
        sent = self.sender(arrival, server) if arrival else None
        received = self.receiver(recipient, attempt, server)
        if sent:
            return (sent, received) if received else (sent,)
        if received:
            own = self.handed_in_here(arrival, server) if arrival else None
            return (own, received) if own and own.domain == received.domain else (received,)
        if arrival is None or self._domains is not None:
            return (UNKNOWN,)
        received = _account_of(recipient, server, RECEIVED)
        if received is None:
            return (UNKNOWN,)
        own = self.handed_in_here(arrival, server)
        if own:
            return (own,)
        if _is_servers_own(arrival.sender):
            return (UNKNOWN,)
        return (received,)  # came in from elsewhere: somebody here shall get it

    def handed_in_here(self, arrival: Arrival, server: str) -> Account | None:
        """Without a list, the sender of what a believed client handed in: his as long as no mailbox here has it."""
        ip = arrival.client_ip
        is_logged_in = arrival.authenticated_as or arrival.auth_method
        if ip and not is_logged_in and self._trusted is None and ip[:4] != "127." and ip != "::1":
            return None  # the fast path: `_is_believed` would say the same of a client that did not log in
        sender = arrival.sender
        if self._domains is not None or not sender or not self._is_believed(arrival) or not is_account(sender):
            return None
        return mailbox(sender, server, SENT)

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
