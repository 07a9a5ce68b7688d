"""What can happen to one recipient: a course of attempts, each with its log line and the status that it leaves.

An attempt that is repeated stands once, as the last: a mailbox that stays full is deferred at every retry.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from postwatch.deploy.simulator import exim
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


@dataclass(frozen=True, slots=True)
class Course:
    """One recipient's way."""

    recipient: str
    original: str
    """The address as submitted, where an alias changed it."""
    attempts: tuple[tuple[str, str], ...]
    """Log text and status of each attempt; the last is repeated while it is a deferral."""

    @property
    def given(self) -> str:
        """The address as the arrival line has it."""
        return self.original or self.recipient


def token(chance: random.Random) -> str:
    """What servers call a message that they took: 10 hexadecimal digits."""
    return f"{chance.getrandbits(40):010X}"


def _accepted(chance: random.Random, host: FarHost) -> str:
    return f"250 2.0.0 OK queued as {token(chance)}{host.greeting}"


def _far_recipient(chance: random.Random, host: FarHost) -> str:
    return f"{chance.choice(_STRANGER)}{chance.randrange(100)}@{host.domain}"


def _sent(recipient: str, original: str, host: FarHost, chance: random.Random) -> tuple[str, str]:
    return exim.remote_delivery("=>", recipient, original, host.shown, _accepted(chance, host)), DELIVERED


def _refused(flag: str, recipient: str, host: FarHost, command: str, answer: str) -> tuple[str, str]:
    text = exim.remote_trouble(flag, recipient, "", host.shown, command, answer + host.greeting)
    return text, DEFERRED if flag == "==" else BOUNCED


def far_delivery(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = _far_recipient(chance, host)
    return Course(recipient, "", (_sent(recipient, "", host, chance),))


def greylisting(chance: random.Random) -> Course:
    recipient = _far_recipient(chance, GREYLISTING_HOST)
    answer = f"451 4.7.1 <{recipient}>: Recipient address rejected: Greylisted, come back in 5 minutes"
    waits = _refused("==", recipient, GREYLISTING_HOST, f"RCPT TO:<{recipient}>", answer)
    return Course(recipient, "", (waits, _sent(recipient, "", GREYLISTING_HOST, chance)))


def far_rate_limit(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = _far_recipient(chance, host)
    waits = _refused(
        "==", recipient, host, f"RCPT TO:<{recipient}>", "421 4.7.28 Too much mail from your network, slow down"
    )
    return Course(recipient, "", (waits, waits, _sent(recipient, "", host, chance)))


def unknown_user(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = _far_recipient(chance, host)
    answer = f"550 5.1.1 <{recipient}>: there is no such mailbox here"
    return Course(recipient, "", (_refused("**", recipient, host, f"RCPT TO:<{recipient}>", answer),))


def far_mailbox_full(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = _far_recipient(chance, host)
    answer = "552-5.2.2 The mailbox is over its quota.\\n552 5.2.2 Ask the recipient to make room"
    return Course(recipient, "", (_refused("**", recipient, host, f"RCPT TO:<{recipient}>", answer),))


def taken_for_spam(chance: random.Random) -> Course:
    host = chance.choice(FAR_HOSTS)
    recipient = _far_recipient(chance, host)
    answer = '550 5.7.1 This looks like spam; ask your provider, not "postmaster"'
    return Course(recipient, "", (_refused("**", recipient, host, "end of data", answer),))


def dead_domain(chance: random.Random) -> Course:
    recipient = f"{chance.choice(_STRANGER)}{chance.randrange(100)}@{DEAD_DOMAIN}"
    return Course(recipient, "", ((exim.unrouteable(recipient), BOUNCED),))


def silent_host(chance: random.Random) -> Course:
    """Never answers: deferred at every try."""
    recipient = _far_recipient(chance, SILENT_HOST)
    tries = (exim.connection_trouble(recipient, SILENT_HOST.shown), DEFERRED)
    return Course(recipient, "", (tries, (exim.not_yet(recipient), DEFERRED), tries))


def given_up(chance: random.Random) -> Course:
    """A host that doesn't answer until Exim's retry rules run out."""
    course = silent_host(chance)
    return Course(course.recipient, "", (*course.attempts * 2, (exim.expired(course.recipient), EXPIRED)))


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
    mailbox = chance.choice(domain.mailboxes)
    return Course(mailbox, "", ((exim.local_delivery(mailbox, "", token(chance)), DELIVERED),))


def alias_delivery(chance: random.Random, domain: HostedDomain) -> Course:
    alias, mailbox = chance.choice(domain.aliases)
    return Course(mailbox, alias, ((exim.local_delivery(mailbox, alias, token(chance)), DELIVERED),))


def forward(chance: random.Random, domain: HostedDomain) -> Course:
    original, recipient = domain.forward
    host = FAR_HOSTS[0]
    return Course(recipient, original, (_sent(recipient, original, host, chance),))


def mailbox_full(chance: random.Random, domain: HostedDomain) -> Course:
    """The last mailbox of a domain: its owner doesn't read it."""
    mailbox = domain.mailboxes[-1]
    return Course(mailbox, "", ((exim.mailbox_full(mailbox), DEFERRED),))


def blackhole(chance: random.Random, domain: HostedDomain) -> Course:
    return Course(domain.trap, "", ((exim.blackholed(domain.trap), DISCARDED),))


LOCAL_COURSES: tuple[tuple[Callable[[random.Random, HostedDomain], Course], int], ...] = (
    (mailbox_delivery, 70),
    (alias_delivery, 12),
    (forward, 10),
    (mailbox_full, 4),
    (blackhole, 4),
)
"""What becomes of mail to the provider's own customers, and how often."""
