"""Exim 4.96: the shapes of its main log lines, with the selectors that cPanel sets, and what it logs when.

The shapes are functions of their arguments alone. A line is text without its newline; the stamp is UTC.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from functools import lru_cache

from postwatch.deploy.simulator.courses import (
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
from postwatch.deploy.simulator.message import Client, Message, Origin, RecipientStatus, Refusal, Saying
from postwatch.deploy.simulator.provider import Customer, FarHost
from postwatch.deploy.simulator.truth import CANCELLED, DEFERRED, DELIVERED, PENDING, REJECTED

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PID_SPAN = 4_194_304
TLS = "X=TLS1.3:TLS_AES_256_GCM_SHA384:256 CV=yes"


def base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


@lru_cache(maxsize=1024)
def _second_part(second: int) -> str:
    return base62(second, 6)


def queue_id(at_ms: int, process_id: int) -> str:
    """A 16-character message id: the second of arrival, the process, the rest of the second in 1/2000."""
    second, rest_ms = divmod(at_ms, 1000)
    return f"{_second_part(second)}-{base62(process_id % _PID_SPAN, 6)}-{base62(rest_ms * 2, 2)}"


@lru_cache(maxsize=1024)
def _stamp_of_second(second: int) -> str:
    return datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def stamp(at_ms: int) -> str:
    return _stamp_of_second(at_ms // 1000)


def quote_subject(subject: str) -> str:
    """As Exim logs a header: quotes and backslashes escaped, what isn't printable ASCII as octal bytes."""
    if subject.isascii() and '"' not in subject and "\\" not in subject:
        return f'"{subject}"'
    quoted = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{chr(byte)}" if byte < 127 else f"\\{byte:03o}"
        for byte in subject.encode()
    )
    return f'"{quoted}"'


def arrival(sender: str, how: str, size_bytes: int, message_id: str, subject: str, recipients: Sequence[str]) -> str:
    """`how` is the client and protocol: `H=… P=esmtpsa … A=…` or `U=… P=local`."""
    return f"<= {sender} {how} S={size_bytes} id={message_id} T={quote_subject(subject)} for {' '.join(recipients)}"


def bounce_arrival(parent: str, size_bytes: int, recipient: str) -> str:
    return (
        f"<= <> R={parent} U=mailnull P=local S={size_bytes} "
        f'T="Mail delivery failed: returning message to sender" for {recipient}'
    )


def local_delivery(mailbox: str, original: str, token: str) -> str:
    """Into a Dovecot mailbox by LMTP: Exim logs the bare local part, and the address that was given."""
    local = mailbox.partition("@")[0]
    return (
        f"=> {local} <{original or mailbox}> R=virtual_user T=dovecot_virtual_delivery "
        f'C="250 2.0.0 <{mailbox}> {token} Saved"'
    )


def system_delivery(address: str, token: str) -> str:
    """Into the mailbox of a system user."""
    local = address.partition("@")[0]
    return f'=> {local} <{address}> R=localuser T=dovecot_delivery C="250 2.0.0 <{local}> {token} Saved"'


def remote_delivery(flag: str, recipient: str, original: str, host: str, source_ip: str, answer: str) -> str:
    """`flag` is => for the first recipient of a connection and -> for those that shared it."""
    shown = f"{recipient} <{original}>" if original else recipient
    return f'{flag} {shown} R=dkim_lookuphost T=dkim_remote_smtp H={host} I=[{source_ip}] {TLS} C="{answer}"'


def remote_trouble(
    flag: str, recipient: str, original: str, host: str, source_ip: str, command: str, answer: str
) -> str:
    """`flag` is ** for a failure; a deferral is `==`, and has Exim's own error number -44 before the host."""
    shown = f"{recipient} <{original}>" if original else recipient
    deferred = " defer (-44)" if flag == "==" else ""
    return (
        f"{flag} {shown} R=dkim_lookuphost T=dkim_remote_smtp{deferred} H={host} I=[{source_ip}] {TLS}: "
        f"SMTP error from remote mail server after {command}: {answer}"
    )


def connection_trouble(recipient: str, host: str) -> str:
    return f"== {recipient} R=dkim_lookuphost T=dkim_remote_smtp defer (110) H={host}: Connection timed out"


def not_yet(recipient: str) -> str:
    """No attempt at all: the retry rules say that it's too early."""
    return f"== {recipient} routing defer (-52): retry time not reached"


def mailbox_full(mailbox: str) -> str:
    local = mailbox.partition("@")[0]
    return (
        f"== {local} <{mailbox}> R=virtual_user T=dovecot_virtual_delivery defer (0): "
        f"LMTP error after RCPT TO:<{mailbox}>: 452 4.2.2 <{mailbox}> Quota exceeded (mailbox for user is full)"
    )


def without_dns(recipient: str) -> str:
    return f"== {recipient} R=lookuphost defer (-1): host lookup did not complete"


def unrouteable(recipient: str) -> str:
    return f"** {recipient} R=lookuphost: all relevant MX records point to non-existent hosts"


def expired(recipient: str) -> str:
    return f"** {recipient}: retry timeout exceeded"


def blackholed(recipient: str) -> str:
    return f"=> :blackhole: <{recipient}> R=virtual_aliases"


def rejection(host: str, sender: str, login: str, recipient: str, why: str) -> str:
    authenticated = f" A=dovecot_login:{login}" if login else ""
    return f"H={host} F=<{sender}>{authenticated} rejected RCPT <{recipient}>: {why}"


class Exim:
    """One server that runs Exim."""

    names_refused_login = True

    log_name = "mainlog"

    def __init__(self, server: str, processes: Iterator[int]) -> None:
        self._server = server
        self._processes = processes

    def stamp(self, at_ms: int) -> str:
        return stamp(at_ms)

    def account_of(self, customer: Customer) -> str:
        return f"{customer.user}@{self._server}"

    def new_id(self, at_ms: int) -> str:
        return queue_id(at_ms, next(self._processes))

    def message_id(self, queue_id: str, at_ms: int) -> str:
        """The arrival of a bounce is logged without it."""
        return ""

    def arrival(self, message: Message) -> Iterator[Saying]:
        """One line, which names the recipients: they are pending from then on."""
        given = list(dict.fromkeys(course.given for course in message.courses))
        if isinstance(message.origin, str):
            text = bounce_arrival(message.origin, message.size_bytes, given[0])
        else:
            how = _how(message.origin)
            text = arrival(message.sender, how, message.size_bytes, message.message_id, message.subject, given)
        yield Saying(f"{message.queue_id} {text}", tuple(RecipientStatus(address, "", PENDING) for address in given))

    def attempts(
        self, message: Message, tries: Sequence[tuple[Course, Attempt]], number: int, at_ms: int
    ) -> Iterator[Saying]:
        connected: set[FarHost] = set()
        for course, attempt in tries:
            text = _attempt(course.recipient, course.original, attempt, message.source_ip, connected)
            if isinstance(attempt, Answered) and attempt.status == DELIVERED:
                connected.add(attempt.host)
            yield Saying(
                f"{message.queue_id} {text}", (RecipientStatus(course.recipient, course.original, attempt.status),)
            )

    def cancellation(self, message: Message, waiting: Sequence[Course], at_ms: int) -> Iterator[Saying]:
        statuses = tuple(RecipientStatus(course.recipient, course.original, CANCELLED) for course in waiting)
        yield Saying(f"{message.queue_id} removed by root", statuses)
        yield from self.completion(message, at_ms)

    def completion(self, message: Message, at_ms: int) -> Iterator[Saying]:
        yield Saying(f"{message.queue_id} Completed")

    def refusal(self, refusal: Refusal) -> Iterator[Saying]:
        why = (
            "Domain has exceeded the max emails per hour. Message discarded."
            if refusal.is_over_limit
            else "No Such User Here"
        )
        client = refusal.client
        text = rejection(_host(client), refusal.sender, client.login, refusal.recipient, why)
        yield Saying(text, (RecipientStatus(refusal.recipient, "", REJECTED),))

    def noise(self) -> Iterator[Saying]:
        process = next(self._processes)
        yield Saying("cwd=/var/spool/exim 2 args: /usr/sbin/exim -q")
        yield Saying(f"Start queue run: pid={process}")
        yield Saying("SMTP connection from [198.51.100.7]:49152 (TCP/IP connection count = 3)")
        yield Saying(f"End queue run: pid={process}")


def _host(client: Client) -> str:
    return f"{client.host or f'({client.greeting})'} [{client.address}]:{client.port}"


def _how(origin: Origin) -> str:
    if isinstance(origin, Client):
        if origin.login:
            return f"H={_host(origin)} P=esmtpsa {TLS} A=dovecot_login:{origin.login}"
        return f"H={_host(origin)} P=esmtps {TLS}"
    assert isinstance(origin, Customer)
    return f"U={origin.user} P=local"


def _attempt(recipient: str, original: str, attempt: Attempt, source_ip: str, connected: set[FarHost]) -> str:
    """`connected` are the hosts that took another recipient in the same connection."""
    match attempt:
        case Answered(status, host, _, answer) if status == DELIVERED:
            flag = "->" if host in connected else "=>"
            return remote_delivery(flag, recipient, original, _remote(host), source_ip, answer)
        case Answered(status, host, command, answer):
            flag = "==" if status == DEFERRED else "**"
            words = answer.replace("\n", "\\n")
            return remote_trouble(flag, recipient, original, _remote(host), source_ip, command, words)
        case TimedOut(host):
            return connection_trouble(recipient, _remote(host))
        case NotTried():
            return not_yet(recipient)
        case NoDns():
            return without_dns(recipient)
        case NoSuchDomain():
            return unrouteable(recipient)
        case GivenUp():
            return expired(recipient)
        case Stored(token, of_system_user):
            return system_delivery(recipient, token) if of_system_user else local_delivery(recipient, original, token)
        case OverQuota():
            return mailbox_full(recipient)
        case _:
            return blackholed(recipient)


def _remote(host: FarHost) -> str:
    return f"{host.mx} [{host.address}]"
