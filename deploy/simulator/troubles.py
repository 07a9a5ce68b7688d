"""What breaks in a simulation: one of four troubles, from a moment on. Pure, and a function of its seed.

A trouble changes what attempts meet, or adds mail. It never says so: the logs only show what happens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from postwatch.deploy.simulator import courses
from postwatch.deploy.simulator.courses import END_OF_DATA, Answered, Attempt, Course, NoDns, NoSuchDomain, TimedOut
from postwatch.deploy.simulator.message import Message
from postwatch.deploy.simulator.provider import FAR_HOSTS, FarHost, Provider
from postwatch.deploy.simulator.truth import BOUNCED, DEFERRED

IP_REFUSED, DNS_DEAD, SPAM_SENT, ALL_GREYLISTED = KINDS = ("ip-refused", "dns-dead", "spam-sent", "all-greylisted")
FAR_PROVIDERS = {
    "Google": ("gmail.com", "union-press.example"),
    "Microsoft": ("outlook.com", "contoso-parts.example"),
    "Yahoo": ("yahoo.com",),
    "GMX": ("gmx.net",),
    "Apple": ("icloud.com",),
}
"""The provider behind some far domains, as the reports name it."""
_SPAM_ANSWERS = (
    "550 5.7.1 This looks like spam; ask your provider",
    "554 5.7.1 Your network is on our block list",
    "550 5.1.1 there is no such mailbox here",
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is broken from `since_ms` to `until_ms` (0: to the end)."""

    kind: str
    since_ms: int
    provider: str = ""
    """The far provider that refuses or greylists."""
    source_ip: str = ""
    server: str = ""
    account: str = ""
    until_ms: int = 0
    mail_each: float = 1.0
    """SPAM_SENT: how many messages of the account come with each usual one."""
    seed: int = 1
    chance: random.Random = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chance", random.Random(self.seed))

    @property
    def named(self) -> dict[str, str]:
        """What a report has to name, by its dimensions."""
        return {
            IP_REFUSED: {"provider": self.provider, "source_ip": self.source_ip},
            DNS_DEAD: {"reason": "dns", "server": self.server},
            SPAM_SENT: {"account": self.account},
            ALL_GREYLISTED: {"provider": self.provider, "reason": "greylisted"},
        }[self.kind]

    def is_on(self, at_ms: int) -> bool:
        return self.since_ms <= at_ms and not 0 < self.until_ms <= at_ms

    def meet(self, message: Message, course: Course, number: int, at_ms: int) -> Attempt:
        """What an attempt meets at a time."""
        planned = course.attempt(number)
        if not self.is_on(at_ms):
            return planned
        if self.kind == DNS_DEAD and message.server == self.server and not _is_here(planned):
            return NoDns()
        if isinstance(planned, Answered) and planned.host.domain in FAR_PROVIDERS.get(self.provider, ()):
            if self.kind == IP_REFUSED and message.source_ip == self.source_ip:
                return self._refused(planned.host)
            if self.kind == ALL_GREYLISTED and number == 0:
                answer = f"451 4.7.1 <{course.recipient}>: Recipient address rejected: Greylisted, try again later"
                return courses.refused(DEFERRED, course.recipient, planned.host, answer)
        return planned

    def more_mail(self, at_ms: int) -> Iterator[tuple[str, Course]]:
        """Sender and course of what is sent besides the usual mail."""
        if self.kind != SPAM_SENT or not self.is_on(at_ms):
            return
        for _ in range(int(self.mail_each + self.chance.random())):
            host = self.chance.choice(FAR_HOSTS)
            recipient = courses.far_recipient(self.chance, host)
            if self.chance.random() < 0.3:
                attempt = courses.sent(host, self.chance)
            else:
                attempt = Answered(BOUNCED, host, END_OF_DATA, self.chance.choice(_SPAM_ANSWERS) + host.greeting)
            yield self.account, Course(recipient, "", (attempt,))

    def _refused(self, host: FarHost) -> Answered:
        answer = f"550 5.7.1 [{self.source_ip}] Our system has detected that this IP address has a poor reputation"
        return Answered(BOUNCED, host, END_OF_DATA, answer + host.greeting)


def _is_here(attempt: Attempt) -> bool:
    """Whether it needs no DNS."""
    return not isinstance(attempt, (Answered, TimedOut, NoSuchDomain))


def make_trouble(kind: str, seed: int, provider: Provider, since_ms: int) -> Trouble:
    """One of KINDS, with what breaks chosen by the seed."""
    chance = random.Random(seed)
    with_exim = [server for server in provider.servers if not server.runs_postfix] or list(provider.servers)
    sender = chance.choice(chance.choice(chance.choice(provider.servers).domains).mailboxes)
    while sender == provider.showcase:
        sender = chance.choice(chance.choice(chance.choice(provider.servers).domains).mailboxes)
    return Trouble(
        kind,
        since_ms,
        provider=chance.choice(tuple(FAR_PROVIDERS)),
        source_ip=chance.choice(chance.choice(with_exim).addresses),
        server=chance.choice(provider.servers).name,
        account=sender,
        seed=seed,
    )
