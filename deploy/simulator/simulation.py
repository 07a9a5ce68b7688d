"""The simulated mail of a provider: log lines of all its servers in order of time, from a seed.

Pure: the same seed and the same arrivals give the same lines. What a line makes true comes with it, so whoever writes
only the first thousand lines knows the truth of a thousand lines.
"""

from __future__ import annotations

import heapq
import itertools
import random
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from postwatch.deploy.simulator import courses
from postwatch.deploy.simulator.courses import FAR_COURSES, LOCAL_COURSES, Course
from postwatch.deploy.simulator.exim import Exim
from postwatch.deploy.simulator.message import Client, Message, Refusal, Saying
from postwatch.deploy.simulator.mta import Mta
from postwatch.deploy.simulator.postfix import Postfix
from postwatch.deploy.simulator.provider import (
    FAR_HOSTS,
    Customer,
    HostedDomain,
    Provider,
    Server,
    make_provider,
)
from postwatch.deploy.simulator.story import LINE_MS, Step, Teller, as_planned
from postwatch.deploy.simulator.troubles import Trouble
from postwatch.deploy.simulator.truth import RECEIVED, SENT, TruthRow

MINUTE_MS = 60_000
PATIENT_GAPS_MS = tuple(minutes * MINUTE_MS for minutes in (15, 30, 60, 120, 240, 480))
"""Between the tries of a message of the past."""
HURRIED_GAPS_MS = (4_000, 8_000, 16_000, 30_000)
"""Between the tries of a message of the present: nobody watches a demo for an hour."""

_SUBJECTS = (
    "Your order has shipped",
    "Invoice 2026-{n}",
    "Re: meeting on Thursday",
    "Grüße aus Köln {n}",
    "Reservation {n} confirmed",
    'Re: the "final" draft, v{n}',
    "Weekly figures for week {n}",
    "請求書 {n}",
    "Re: => see you there for lunch",
    "Fwd: photos of the harbour",
    "Password reset C:\\new",
    "Newsletter no. {n}",
)
_STRANGERS = ("news", "team", "t.adeyemi")
_HOW_OFTEN = (("submission", 42), ("incoming", 34), ("system", 9), ("refusal", 9), ("noise", 6))
_SHOWCASE_EVERY = 12
_SHOWCASE_COURSES = (
    courses.far_delivery,
    courses.greylisting,
    courses.unknown_user,
    courses.far_delivery,
    courses.far_mailbox_full,
    courses.silent_host,
    courses.taken_for_spam,
    courses.given_up,
)


class LogLine(NamedTuple):
    """One line of one server's main log."""

    at_ms: int
    server: str
    text: str
    """With its stamp, without its newline."""
    rows: tuple[TruthRow, ...]
    """What becomes true by it."""


class Simulation:
    """The mail of one provider."""

    def __init__(self, seed: int = 1, servers: int = 5, postfix: int = 0, trouble: Trouble | None = None) -> None:
        """The last `postfix` servers run Postfix. `trouble` is what breaks; without one nothing does, and the mail is
        the same up to then. Raises ValueError for numbers of servers that can't be had."""
        self.provider: Provider = make_provider(seed, servers, postfix)
        self._trouble = trouble
        self._chance = random.Random(seed)
        self._domains = self.provider.domains()
        processes = itertools.count(30_000, 3)
        self.mtas: dict[str, Mta] = {
            server.name: Postfix(server.name, number % 2 == 1, self._chance)
            if server.runs_postfix
            else Exim(server.name, processes)
            for number, server in enumerate(reversed(self.provider.servers))
        }
        """How each server logs. Every second one with Postfix has long queue ids, the last one short ones."""
        self._teller = Teller(self._chance, self._hosts, self._add, trouble.meet if trouble else as_planned)
        self._coming: list[tuple[int, int, str, Step, Iterator[Step]]] = []
        self._order = itertools.count()
        self._arrivals = itertools.count()
        self._kinds = [kind for kind, weight in _HOW_OFTEN for _ in range(weight)]
        self._far = [course for course, weight in FAR_COURSES for _ in range(weight)]
        self._local = [course for course, weight in LOCAL_COURSES for _ in range(weight)]

    def lines(self, arrivals: Iterable[int], end_ms: int, present_ms: int | None = None) -> Iterator[LogLine]:
        """A message at each of `arrivals` (ms, ascending), and every line up to `end_ms`.

        Messages that arrive after `present_ms` are retried within seconds, earlier ones within minutes.
        """
        for at_ms in arrivals:
            yield from self._until(at_ms)
            hurries = present_ms is not None and at_ms >= present_ms
            gaps_ms = HURRIED_GAPS_MS if hurries else PATIENT_GAPS_MS
            self._begin(at_ms, gaps_ms)
            if self._trouble:
                self._begin_more(self._trouble, at_ms, gaps_ms)
        yield from self._until(end_ms)

    def _until(self, end_ms: int) -> Iterator[LogLine]:
        coming = self._coming
        while coming and coming[0][0] < end_ms:
            at_ms, order, server, step, story = coming[0]
            yield LogLine(at_ms, server, f"{self.mtas[server].stamp(at_ms)} {step.text}", step.rows)
            following = next(story, None)
            if following is None:
                heapq.heappop(coming)
            else:
                heapq.heapreplace(coming, (following.at_ms, order, server, following, story))

    def _begin(self, at_ms: int, gaps_ms: tuple[int, ...]) -> None:
        number = next(self._arrivals)
        if number % _SHOWCASE_EVERY == 0:
            message = self._showcase(at_ms, number // _SHOWCASE_EVERY)
        else:
            server = self._chance.choice(self.provider.servers)
            kind = self._chance.choice(self._kinds)
            if kind == "noise":
                self._add(server.name, self._steps(at_ms, self.mtas[server.name].noise(), ()))
                return
            if kind == "refusal":
                self._add(server.name, self._refusal(server, at_ms))
                return
            if kind == "incoming":
                message = self._incoming(server, at_ms)
            else:
                message = self._submission(server, at_ms, kind == "system")
        self._add(message.server, self._teller.tell(self.mtas[message.server], message, gaps_ms))

    def _begin_more(self, trouble: Trouble, at_ms: int, gaps_ms: tuple[int, ...]) -> None:
        """What somebody sends who did not before."""
        for sender, course in trouble.more_mail(at_ms):
            server = next(one for one in self.provider.servers if sender.partition("@")[2] in one.names())
            message = self._message(server, at_ms, sender, (course,))
            self._add(server.name, self._teller.tell(self.mtas[server.name], message, gaps_ms))

    def _add(self, server: str, story: Iterator[Step]) -> None:
        first = next(story)
        heapq.heappush(self._coming, (first.at_ms, next(self._order), server, first, story))

    def _showcase(self, at_ms: int, number: int) -> Message:
        """Mail of every kind from the mailbox that reports are shown of."""
        course = _SHOWCASE_COURSES[number % len(_SHOWCASE_COURSES)](self._chance)
        return self._message(self.provider.servers[0], at_ms, self.provider.showcase, (course,))

    def _submission(self, server: Server, at_ms: int, by_script: bool) -> Message:
        domain = self._chance.choice(server.domains)
        chosen = [self._course(domain) for _ in range(self._chance.choice((1, 1, 1, 1, 2, 3)))]
        once = tuple({course.recipient: course for course in chosen}.values())
        if by_script:
            return self._message(server, at_ms, f"{domain.owner.user}@{server.name}", once, script_of=domain.owner)
        return self._message(server, at_ms, self._chance.choice(domain.mailboxes), once)

    def _course(self, domain: HostedDomain) -> Course:
        if self._chance.random() < 0.15:
            return self._chance.choice(self._local)(self._chance, domain)
        return self._chance.choice(self._far)(self._chance)

    def _message(
        self, server: Server, at_ms: int, sender: str, recipients: tuple[Course, ...], script_of: Customer | None = None
    ) -> Message:
        """One that a customer hands in: a mail program with a password, or a script on the machine."""
        chance = self._chance
        mta = self.mtas[server.name]
        queue_id = mta.new_id(at_ms)
        number = chance.randint(1, 254)
        program = Client("", f"[10.0.0.{number}]", f"203.0.113.{number}", chance.randint(30_000, 60_000), sender)
        return Message(
            server=server.name,
            at_ms=at_ms,
            queue_id=queue_id,
            message_id=f"{courses.token(chance)}@{sender.partition('@')[2]}",
            sender=sender,
            account=mta.account_of(script_of) if script_of else sender,
            origin=script_of or program,
            subject=chance.choice(_SUBJECTS).replace("{n}", str(chance.randrange(1000))),
            size_bytes=chance.randint(600, 90_000),
            courses=recipients,
            is_cancelled=chance.random() < 0.2,
            source_ip=_source_ip(server, queue_id),
        )

    def _incoming(self, server: Server, at_ms: int) -> Message:
        chance = self._chance
        domain = chance.choice(server.domains)
        host = chance.choice(FAR_HOSTS)
        name = f"out.{host.domain}"
        queue_id = self.mtas[server.name].new_id(at_ms)
        chosen = [chance.choice(self._local)(chance, domain) for _ in range(chance.choice((1, 1, 1, 2)))]
        return Message(
            server=server.name,
            at_ms=at_ms,
            queue_id=queue_id,
            message_id=f"{courses.token(chance)}@{host.domain}",
            sender=f"{chance.choice(_STRANGERS)}@{host.domain}",
            account="",
            origin=Client(name, name, host.address, chance.randint(30_000, 60_000)),
            subject=chance.choice(_SUBJECTS).replace("{n}", str(chance.randrange(1000))),
            size_bytes=chance.randint(900, 200_000),
            courses=tuple({course.recipient: course for course in chosen}.values()),
            source_ip=_source_ip(server, queue_id),
        )

    def _refusal(self, server: Server, at_ms: int) -> Iterator[Step]:
        """A recipient that is refused before the message is accepted: there is no message, and no queue id."""
        chance = self._chance
        domain = chance.choice(server.domains)
        recipient = f"{chance.choice(('admin', 'sale', 'ceo'))}{chance.randrange(100_000)}@{domain.name}"
        if chance.random() < 0.3:
            sender = login = account = chance.choice(domain.mailboxes)
            direction = SENT
            if not self.mtas[server.name].names_refused_login:
                account, direction = recipient, RECEIVED
        else:
            sender, login, account = f"{chance.choice(_STRANGERS)}@{chance.choice(FAR_HOSTS).domain}", "", recipient
            direction = RECEIVED
        number = chance.randint(1, 254)
        client = Client("", f"mail{number}", f"198.51.100.{number}", 40_000 + number, login)
        sayings = self.mtas[server.name].refusal(Refusal(client, sender, recipient))
        return self._steps(at_ms, sayings, (server.name, "", "", account, direction, sender))

    def _steps(self, at_ms: int, sayings: Iterator[Saying], known: tuple[str, ...]) -> Iterator[Step]:
        """Of what is no message; `known` is what the truth has before the recipient."""
        for number, saying in enumerate(sayings):
            rows = tuple(TruthRow._make((*known, *recipient_status)) for recipient_status in saying.statuses)
            yield Step(at_ms + number * LINE_MS, saying.text, rows)

    def _hosts(self, address: str) -> bool:
        return address.rpartition("@")[2] in self._domains


def _source_ip(server: Server, queue_id: str) -> str:
    """As if a server took its addresses in turn; not by the random numbers, which make the rest of the mail."""
    return server.addresses[zlib.crc32(queue_id.encode()) % len(server.addresses)]
