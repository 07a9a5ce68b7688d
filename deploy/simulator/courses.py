"""What can happen to one recipient: a course of attempts, and the status that each leaves.

An attempt that is repeated stands once, as the last: a mailbox that stays full is deferred at every retry. How a server
logs an attempt is its mail program's affair.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from postwatch.deploy.simulator.provider import (
    DEAD_DOMAIN,
    FAR_HOSTS,
    GREYLISTING_HOST,
    SILENT_HOST,
    FarHost,
    HostedDomain,
)
from postwatch.deploy.simulator.truth import BOUNCED, DEFERRED, DELIVERED, DISCARDED, EXPIRED

_STRANGER = ("n.okafor", "m.lindqvist", "r.tanaka", "p.moreau", "s.kowalski", "d.fischer", "l.almeida", "k.novak")
END_OF_DATA = "end of data"


@dataclass(frozen=True, slots=True)
class Answered:
    """A far host took the message, or refused it for now or for good."""

    status: str
    host: FarHost
    command: str
    """What it answered to: RCPT TO:<…>, or END_OF_DATA."""
    answer: str
    """With a newline between its lines, where it has several."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The far host can't be reached."""

    host: FarHost
    status: ClassVar[str] = DEFERRED


@dataclass(frozen=True, slots=True)
class NotTried:
    """The host could not be reached just now, so it is too early for another attempt."""

    host: FarHost
    status: ClassVar[str] = DEFERRED


@dataclass(frozen=True, slots=True)
class NoDns:
    """The server's own DNS does not answer, so nobody knows where the domain's mail goes."""

    status: ClassVar[str] = DEFERRED


@dataclass(frozen=True, slots=True)
class NoSuchDomain:
    """Nobody takes mail for the recipient's domain."""

    status: ClassVar[str] = BOUNCED


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It was tried for as long as the server tries."""

    status: ClassVar[str] = EXPIRED


@dataclass(frozen=True, slots=True)
class Stored:
    """In a mailbox of this server."""

    token: str
    """What the mailbox server calls it."""
    of_system_user: bool = False
    status: ClassVar[str] = DELIVERED


@dataclass(frozen=True, slots=True)
class OverQuota:
    """The mailbox is full."""

    status: ClassVar[str] = DEFERRED


@dataclass(frozen=True, slots=True)
class ThrownAway:
    """The address has no mailbox on purpose."""

    status: ClassVar[str] = DISCARDED


Attempt = Answered | TimedOut | NotTried | NoDns | NoSuchDomain | GivenUp | Stored | OverQuota | ThrownAway


@dataclass(frozen=True, slots=True)
class Course:
    """One recipient's way."""

    recipient: str
    original: str
    """The address as submitted, where an alias changed it."""
    attempts: tuple[Attempt, ...]
    """The last is repeated while it is a deferral."""

    @property
    def given(self) -> str:
        """The address as it was submitted."""
        return self.original or self.recipient

    def attempt(self, number: int) -> Attempt:
        """What happens when it is tried for the so manieth time, from 0."""
        return self.attempts[min(number, len(self.attempts) - 1)]


def token(chance: random.Random) -> str:
    """What servers call a message that they took: 10 hexadecimal digits."""
    return f"{chance.getrandbits(40):010X}"


def far_recipient(chance: random.Random, host: FarHost) -> str:
    return f"{chance.choice(_STRANGER)}{chance.randrange(100)}@{host.domain}"


def sent(host: FarHost, chance: random.Random) -> Answered:
    return Answered(DELIVERED, host, END_OF_DATA, f"250 2.0.0 OK queued as {token(chance)}{host.greeting}")


def refused(status: str, recipient: str, host: FarHost, answer: str) -> Answered:
    return Answered(status, host, f"RCPT TO:<{recipient}>", answer + host.greeting)


def far_delivery(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    return Course(far_recipient(chance, host), "", (sent(host, chance),))


def greylisting(chance: random.Random) -> Course:
    recipient = far_recipient(chance, GREYLISTING_HOST)
    answer = f"451 4.7.1 <{recipient}>: Recipient address rejected: Greylisted, come back in 5 minutes"
    waits = refused(DEFERRED, recipient, GREYLISTING_HOST, answer)
    return Course(recipient, "", (waits, sent(GREYLISTING_HOST, chance)))


def far_rate_limit(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = far_recipient(chance, host)
    waits = refused(DEFERRED, recipient, host, "421 4.7.28 Too much mail from your network, slow down")
    return Course(recipient, "", (waits, waits, sent(host, chance)))


def unknown_user(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = far_recipient(chance, host)
    answer = f"550 5.1.1 <{recipient}>: there is no such mailbox here"
    return Course(recipient, "", (refused(BOUNCED, recipient, host, answer),))


def far_mailbox_full(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = far_recipient(chance, host)
    answer = "552-5.2.2 The mailbox is over its quota.\n552 5.2.2 Ask the recipient to make room"
    return Course(recipient, "", (refused(BOUNCED, recipient, host, answer),))


def taken_for_spam(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = far_recipient(chance, host)
    answer = '550 5.7.1 This looks like spam; ask your provider, not "postmaster"'
    return Course(recipient, "", (Answered(BOUNCED, host, END_OF_DATA, answer + host.greeting),))


def dead_domain(chance: random.Random) -> Course:
    recipient = f"{chance.choice(_STRANGER)}{chance.randrange(100)}@{DEAD_DOMAIN}"
    return Course(recipient, "", (NoSuchDomain(),))


def silent_host(chance: random.Random) -> Course:
    """Never answers: deferred at every try."""
    tries = TimedOut(SILENT_HOST)
    return Course(far_recipient(chance, SILENT_HOST), "", (tries, NotTried(SILENT_HOST), tries))


def given_up(chance: random.Random) -> Course:
    """A host that doesn't answer until the server's patience is at its end."""
    course = silent_host(chance)
    return Course(course.recipient, "", (*course.attempts * 2, GivenUp()))


FAR_COURSES: tuple[tuple[Callable[[random.Random], Course], int], ...] = (
    (far_delivery, 80),
    (greylisting, 5),
    (far_rate_limit, 2),
    (unknown_user, 4),
    (far_mailbox_full, 2),
    (taken_for_spam, 3),
    (dead_domain, 1),
    (silent_host, 2),
    (given_up, 1),
)
"""What becomes of mail to strangers, and how often."""


def mailbox_delivery(chance: random.Random, domain: HostedDomain) -> Course:
    return Course(chance.choice(domain.mailboxes), "", (Stored(token(chance)),))


def alias_delivery(chance: random.Random, domain: HostedDomain) -> Course:
    alias, mailbox = chance.choice(domain.aliases)
    return Course(mailbox, alias, (Stored(token(chance)),))


def forward(chance: random.Random, domain: HostedDomain) -> Course:
    original, recipient = domain.forward
    return Course(recipient, original, (sent(FAR_HOSTS[0], chance),))


def mailbox_full(chance: random.Random, domain: HostedDomain) -> Course:
    """The last mailbox of a domain: its owner doesn't read it."""
    return Course(domain.mailboxes[-1], "", (OverQuota(),))


def blackhole(chance: random.Random, domain: HostedDomain) -> Course:
    return Course(domain.trap, "", (ThrownAway(),))


LOCAL_COURSES: tuple[tuple[Callable[[random.Random, HostedDomain], Course], int], ...] = (
    (mailbox_delivery, 70),
    (alias_delivery, 12),
    (forward, 10),
    (mailbox_full, 4),
    (blackhole, 4),
)
"""What becomes of mail to the provider's own customers, and how often."""
