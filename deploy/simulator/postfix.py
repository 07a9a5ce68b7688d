"""Postfix 3.7: what its daemons log of a message, in the traditional form of syslog, stamps in UTC.

The log names a recipient for the first time when it is tried. Mailboxes are behind LMTP, aliases are virtual ones.
"""

from __future__ import annotations

import datetime
import itertools
import random
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from postwatch.deploy.simulator.courses import (
    END_OF_DATA,
    Answered,
    Attempt,
    Course,
    GivenUp,
    NoDns,
    NoSuchDomain,
    NotTried,
    OverQuota,
    Stored,
    TimedOut,
)
from postwatch.deploy.simulator.message import Client, Message, RecipientStatus, Refusal, Saying
from postwatch.deploy.simulator.provider import Customer, FarHost
from postwatch.deploy.simulator.truth import CANCELLED, DELIVERED, EXPIRED, REJECTED

REUSED_AFTER_MS = 4 * 3_600_000
"""A queue id comes again when a message gets the inode of an earlier one at the same microsecond of a second. Here it
does as soon as that one is gone for so long."""
_BASE52 = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_FIRST_INODE = 0xCC0C1


@lru_cache(maxsize=1024)
def _stamp_of_second(second: int) -> str:
    moment = datetime.datetime.fromtimestamp(second, datetime.UTC)
    return f"{moment:%b} {moment.day:2} {moment:%H:%M:%S}"


def stamp(at_ms: int) -> str:
    """As syslog writes it, without year and zone."""
    return _stamp_of_second(at_ms // 1000)


def short_id(microsecond: int, inode: int) -> str:
    return f"{microsecond:05X}{inode:X}"


def long_id(at_ms: int, microsecond: int, inode: int) -> str:
    """As with enable_long_queue_ids: these are never used again."""
    return f"{_digits(at_ms // 1000, 52, 6)}{_digits(microsecond, 52, 4)}z{_digits(inode, 51, 4)}"


def _digits(number: int, base: int, width: int) -> str:
    found = ""
    for _ in range(width):
        number, digit = divmod(number, base)
        found = _BASE52[digit] + found
    return found


def seconds(delay_ms: int) -> str:
    """With two digits that count, as Postfix writes a delay: 0.05, 1.2, 30."""
    return f"{delay_ms / 1000:.2g}" if delay_ms < 99_000 else str(delay_ms // 1000)


class Postfix:
    """One server that runs Postfix."""

    names_refused_login = False

    log_name = "maillog"

    def __init__(self, server: str, has_long_ids: bool, chance: random.Random) -> None:
        self._server = server
        self._host = server.partition(".")[0]
        self._has_long_ids = has_long_ids
        self._chance = chance
        self._inodes = itertools.count(_FIRST_INODE)
        self._free: deque[tuple[int, str]] = deque()
        """Since when, and the id."""

    def stamp(self, at_ms: int) -> str:
        return stamp(at_ms)

    def account_of(self, customer: Customer) -> str:
        """The name is what the script said; the number is what the system knows."""
        return f"uid{customer.uid}@{self._server}"

    def new_id(self, at_ms: int) -> str:
        if self._free and self._free[0][0] + REUSED_AFTER_MS <= at_ms:
            return self._free.popleft()[1]
        inode = next(self._inodes)
        microsecond = at_ms % 1000 * 1000 + inode % 1000
        return long_id(at_ms, microsecond, inode) if self._has_long_ids else short_id(microsecond, inode)

    def message_id(self, queue_id: str, at_ms: int) -> str:
        moment = datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC)
        return f"{moment:%Y%m%d%H%M%S}.{queue_id}@{self._server}"

    def arrival(self, message: Message) -> Iterator[Saying]:
        queue_id, origin = message.queue_id, message.origin
        named = self._line("cleanup", queue_id, f"message-id=<{message.message_id}>")
        queued = self._queued(message)
        if isinstance(origin, str):
            yield from (named, self._line("bounce", origin, f"sender non-delivery notification: {queue_id}"), queued)
        elif isinstance(origin, Customer):
            yield from (self._line("pickup", queue_id, f"uid={origin.uid} from=<{origin.user}>"), named, queued)
        else:
            smtpd = self._process("submission/smtpd" if origin.login else "smtpd")
            login = f", sasl_method=PLAIN, sasl_username={origin.login}" if origin.login else ""
            auth = "auth=1 " if origin.login else ""
            commands = len(message.courses) + 6 + bool(origin.login)
            counts = f"{auth}mail=1 rcpt={len(message.courses)} data=1 quit=1 commands={commands}"
            yield Saying(f"{smtpd}connect from {_shown(origin)}")
            yield Saying(f"{smtpd}{queue_id}: client={_shown(origin)}{login}")
            yield from (named, queued)
            yield Saying(f"{smtpd}disconnect from {_shown(origin)} ehlo=2 starttls=1 {counts}")

    def attempts(
        self, message: Message, tries: Sequence[tuple[Course, Attempt]], number: int, at_ms: int
    ) -> Iterator[Saying]:
        """A message is given up as a whole."""
        if any(isinstance(attempt, GivenUp) for _, attempt in tries):
            statuses = tuple(RecipientStatus(course.recipient, course.original, EXPIRED) for course, _ in tries)
            words = f"from=<{message.sender}>, status=expired, returned to sender"
            yield self._line("qmgr", message.queue_id, words, statuses)
            return
        if number:
            yield self._queued(message)
        for course, attempt in tries:
            agent, relay, enhanced, words = self._outcome(course.recipient, attempt)
            original = f"orig_to=<{course.original}>, " if course.original else ""
            delay_ms = at_ms - message.at_ms
            yield self._line(
                agent,
                message.queue_id,
                f"to=<{course.recipient}>, {original}relay={relay}, delay={seconds(delay_ms)}, "
                f"delays={seconds(delay_ms - 370)}/0.01/0.2/0.16, dsn={enhanced}, "
                f"status={_WORDS.get(attempt.status, 'sent')} ({words})",
                (RecipientStatus(course.recipient, course.original, attempt.status),),
            )

    def cancellation(self, message: Message, waiting: Sequence[Course], at_ms: int) -> Iterator[Saying]:
        statuses = tuple(RecipientStatus(course.recipient, course.original, CANCELLED) for course in waiting)
        postsuper = self._process("postsuper")
        yield Saying(f"{postsuper}{message.queue_id}: removed", statuses)
        self._give_back(message.queue_id, at_ms)
        yield Saying(f"{postsuper}Deleted: 1 message")

    def completion(self, message: Message, at_ms: int) -> Iterator[Saying]:
        yield self._line("qmgr", message.queue_id, "removed")
        self._give_back(message.queue_id, at_ms)

    def refusal(self, refusal: Refusal) -> Iterator[Saying]:
        smtpd, client, recipient = self._process("smtpd"), _shown(refusal.client), refusal.recipient
        why = (
            f"554 5.7.1 <{recipient}>: Recipient address rejected: Domain has exceeded the max emails per hour"
            if refusal.is_over_limit
            else f"550 5.1.1 <{recipient}>: Recipient address rejected: User unknown in virtual mailbox table"
        )
        yield Saying(f"{smtpd}connect from {client}")
        yield Saying(
            f"{smtpd}NOQUEUE: reject: RCPT from {client}: {why}; "
            f"from=<{refusal.sender}> to=<{recipient}> proto=ESMTP helo=<{refusal.client.greeting}>",
            (RecipientStatus(recipient, "", REJECTED),),
        )
        yield Saying(f"{smtpd}disconnect from {client} ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4")

    def noise(self) -> Iterator[Saying]:
        smtpd, client = self._process("smtpd"), "unknown[198.51.100.7]"
        yield Saying(f"{smtpd}connect from {client}")
        yield Saying(f"{smtpd}warning: {client}: SASL LOGIN authentication failed: UGFzc3dvcmQ6")
        yield Saying(f"{smtpd}lost connection after AUTH from {client}")
        yield Saying(f"{smtpd}disconnect from {client} ehlo=1 auth=0/1 commands=1/2")

    def _outcome(self, recipient: str, attempt: Attempt) -> _Outcome:
        mailboxes = f"{self._server}[private/dovecot-lmtp]"
        match attempt:
            case Answered(status, host, _, answer) if status == DELIVERED:
                return _Outcome("smtp", _relay(host), "2.0.0", answer)
            case Answered(_, host, command, answer):
                asked = f"{command.partition(':')[0].replace(END_OF_DATA, 'end of DATA')} command"
                words = f"host {host.mx}[{host.address}] said: {' '.join(answer.splitlines())} (in reply to {asked})"
                return _Outcome("smtp", _relay(host), answer[4:].split()[0], words)
            case TimedOut(host):
                return _Outcome("smtp", "none", "4.4.1", _timed_out(host))
            case NotTried(host):
                return _Outcome("error", "none", "4.4.1", f"delivery temporarily suspended: {_timed_out(host)}")
            case NoDns():
                domain = recipient.rpartition("@")[2]
                words = f"Name service error for name={domain} type=MX: Host not found, try again"
                return _Outcome("smtp", "none", "4.4.3", f"Host or domain name not found. {words}")
            case NoSuchDomain():
                domain = recipient.rpartition("@")[2]
                words = f"Name service error for name={domain} type=AAAA: Host not found"
                return _Outcome("smtp", "none", "5.4.4", f"Host or domain name not found. {words}")
            case Stored(token, of_system_user):
                if of_system_user:
                    return _Outcome("local", "local", "2.0.0", "delivered to maildir")
                return _Outcome("lmtp", mailboxes, "2.0.0", f"250 2.0.0 <{recipient}> {token} Saved")
            case OverQuota():
                words = f"452 4.2.2 <{recipient}> Quota exceeded (mailbox for user is full)"
                return _Outcome(
                    "lmtp", mailboxes, "4.2.2", f"host {mailboxes} said: {words} (in reply to end of DATA command)"
                )
            case _:
                return _Outcome("discard", "none", "2.0.0", "silently")

    def _queued(self, message: Message) -> Saying:
        words = f"from=<{message.sender}>, size={message.size_bytes}, nrcpt={len(message.courses)} (queue active)"
        return self._line("qmgr", message.queue_id, words)

    def _line(self, agent: str, queue_id: str, words: str, statuses: tuple[RecipientStatus, ...] = ()) -> Saying:
        return Saying(f"{self._process(agent)}{queue_id}: {words}", statuses)

    def _process(self, agent: str) -> str:
        """What the lines of one of an agent's processes begin with; there is one queue manager and one pickup."""
        number = 0 if agent in ("qmgr", "pickup") else self._chance.randrange(4)
        return f"{self._host} postfix/{agent}[{_PROCESSES.index(agent) * 10 + 20_700 + number}]: "

    def _give_back(self, queue_id: str, at_ms: int) -> None:
        if not self._has_long_ids:
            self._free.append((at_ms, queue_id))


class _Outcome(NamedTuple):
    agent: str
    relay: str
    enhanced: str
    words: str


_WORDS = {"deferred": "deferred", "bounced": "bounced"}
_PROCESSES = (
    *("qmgr", "pickup", "smtpd", "submission/smtpd", "cleanup", "bounce"),
    *("smtp", "lmtp", "local", "error", "discard", "postsuper"),
)


def _shown(client: Client) -> str:
    return f"{client.host or 'unknown'}[{client.address}]"


def _relay(host: FarHost) -> str:
    return f"{host.mx}[{host.address}]:25"


def _timed_out(host: FarHost) -> str:
    return f"connect to {host.mx}[{host.address}]:25: Connection timed out"
