"""The simulated hosting provider: its servers and customers, and the far hosts that they write to.

Made from a seed: the same seed makes the same provider. Addresses lie in domains and networks that are reserved for
examples, except the names of the large mail providers, which are what makes a report plausible.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

_TRADES = "bakery books cycles dental florist garage joinery law optics pottery tailor travel".split()
_NAMES = "alder bluebird cobalt driftwood elm fennel granite harbour indigo juniper kestrel larch".split()
_PEOPLE = "anna boris chiara dmitri elena farid greta hugo ines jonas katya liam".split()
_STRANGERS = "n.okafor m.lindqvist r.tanaka p.moreau s.kowalski d.fischer l.almeida k.novak".split()
_DOMAINS_OF_A_SERVER = 8
_DOMAINS_OF_A_RESELLER = 3
_FIRST_UID = 1001
_ADDRESSES_OF_A_SERVER = 2


class FarHost(NamedTuple):
    """A mail exchanger of a far domain."""

    domain: str
    mx: str
    address: str
    greeting: str
    """How it ends its answers."""


FAR_HOSTS = (
    FarHost("gmail.com", "gmail-smtp-in.l.google.com", "198.51.100.26", " - gsmtp"),
    FarHost("gmail.com", "alt1.gmail-smtp-in.l.google.com", "198.51.100.27", " - gsmtp"),
    FarHost("outlook.com", "outlook-com.olc.protection.outlook.com", "203.0.113.33", " [DB5EUR01FT025.eop]"),
    FarHost("yahoo.com", "mta5.am0.yahoodns.net", "198.51.100.91", ""),
    FarHost("gmx.net", "mx00.emig.gmx.net", "203.0.113.5", " gmx"),
    FarHost("icloud.com", "mx01.mail.icloud.com", "198.51.100.73", ""),
    FarHost("contoso-parts.example", "contosoparts-example.mail.protection.outlook.com", "203.0.113.36", ""),
    FarHost("riverside-clinic.example", "mx.riverside-clinic.example", "192.0.2.41", ""),
    FarHost("union-press.example", "aspmx.l.google.com", "198.51.100.28", " - gsmtp"),
)
GREYLISTING_HOST = FarHost("old-guild.example", "mail.old-guild.example", "192.0.2.77", "")
SILENT_HOST = FarHost("sunken-ship.example", "mx.sunken-ship.example", "192.0.2.250", "")
DEAD_DOMAIN = "no-such-place.example"


class Customer(NamedTuple):
    """Whom a domain belongs to, as a system user of the server."""

    user: str
    uid: int


@dataclass(frozen=True, slots=True)
class HostedDomain:
    """A customer's domain on one server."""

    name: str
    owner: Customer
    mailboxes: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...]
    """Alias → the mailbox of the same domain that it means."""
    forward: tuple[str, str]
    """An address, and the far one that its mail goes on to."""
    trap: str
    """An address whose mail is thrown away."""


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    domains: tuple[HostedDomain, ...]
    addresses: tuple[str, ...]
    """From which it sends; each message leaves from one of them."""
    runs_postfix: bool = False
    """Else Exim."""

    def names(self) -> set[str]:
        """The domains whose mailboxes it has."""
        return {domain.name for domain in self.domains}


@dataclass(frozen=True, slots=True)
class Provider:
    servers: tuple[Server, ...]

    @property
    def showcase(self) -> str:
        """A mailbox on the first server with some mail of every kind, to show a report of."""
        return self.servers[0].domains[0].mailboxes[0]

    @property
    def reseller(self) -> str:
        """Who sold to some customers of the first server."""
        return "reseller"

    def resellers(self) -> dict[str, str]:
        """Owner → reseller, of those who have one."""
        return {domain.owner.user: self.reseller for domain in self.servers[0].domains[:_DOMAINS_OF_A_RESELLER]}

    def domains(self) -> dict[str, str]:
        """Hosted domain → owner, the servers' own names among them: system users get mail there."""
        found = {domain.name: domain.owner.user for server in self.servers for domain in server.domains}
        return found | {server.name: "root" for server in self.servers}


def make_provider(seed: int, servers: int, postfix: int = 0) -> Provider:
    """At most 18 servers: there are names for so many domains. The last `postfix` of them run Postfix."""
    if not 1 <= servers <= len(_NAMES) * len(_TRADES) // _DOMAINS_OF_A_SERVER:
        raise ValueError(f"{servers} servers: between 1 and 18 can be simulated")
    if not 0 <= postfix <= servers:
        raise ValueError(f"{postfix} of {servers} servers can't run Postfix")
    chance = random.Random(seed)
    names = [f"{name}-{trade}.example" for trade in _TRADES for name in _NAMES]
    chance.shuffle(names)
    return Provider(
        tuple(
            Server(
                f"server{number + 1}.simulated.example",
                tuple(
                    _make_domain(name, _FIRST_UID + place, chance)
                    for place, name in enumerate(names[number * _DOMAINS_OF_A_SERVER :][:_DOMAINS_OF_A_SERVER])
                ),
                tuple(
                    f"192.0.2.{100 + _ADDRESSES_OF_A_SERVER * number + one}" for one in range(_ADDRESSES_OF_A_SERVER)
                ),
                runs_postfix=number >= servers - postfix,
            )
            for number in range(servers)
        )
    )


def _make_domain(name: str, uid: int, chance: random.Random) -> HostedDomain:
    mailboxes = [f"{person}@{name}" for person in chance.sample(_PEOPLE, chance.randint(2, 6))]
    return HostedDomain(
        name,
        owner=Customer(name.partition(".")[0].replace("-", "")[:8], uid),
        mailboxes=tuple(mailboxes),
        aliases=((f"info@{name}", mailboxes[0]), (f"sales@{name}", mailboxes[1])),
        forward=(f"boss@{name}", f"{chance.choice(_STRANGERS)}@gmail.com"),
        trap=f"no-reply@{name}",
    )
