"""The fast path of usual Postfix lines: one expression behind a head that was seen before.

Invariant: what an expression here matches is read as `daemons` reads it; `daemons` reads all other lines. A field that
is not there costs one comparison, because its branch begins with a letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import CLIENT, MESSAGE_ID, QUEUE, Arrival, LifecycleEvent, Parsed
from postwatch.streams.parsers.postfix import daemons
from postwatch.streams.parsers.postfix.grammar import LONG_ID

_ID = rf"([0-9A-F]{{6,}}+|{LONG_ID}): "
_HOST = r"[0-9A-Za-z_.-]++"
_IP = r"[0-9A-Fa-f.:]++"

_CLIENT = compiled(
    rf"(?:(connect) from |disconnect from |{_ID}client=({_HOST})\[({_IP})\](?::[0-9]++|)"
    r"(?:, sasl_method=([0-9A-Za-z_-]++), sasl_username=([^ ,]++)|)$)"
)
_NAMED = compiled(rf"{_ID}message-id=<([^>]*+)>$")
_QUEUED = compiled(rf"{_ID}(?:from=<([^<>\" ]*+)>, size=([0-9]{{1,18}}+), nrcpt=[0-9]++ \(queue active\)|(removed))$")
_DELIVERED = compiled(
    rf"{_ID}to=<([^<>\"]++)>, (?:orig_to=<([^<>\"]++)>, |)relay=({_HOST})(?:\[({_IP})\](?::[0-9]++|)|), "
    r"(?:conn_use=[0-9]++, |)delay=[0-9.]++, delays=[0-9./]++, (?:tls=([a-z:?!/-]++), |)dsn=([0-9]\.[0-9]++\.[0-9]++), "
    r"status=(sent|deferred|bounced) \((.*)$"
)


def _client(agent: str, fields: tuple[str, ...], at: int, line: str) -> Parsed:
    connect, queue_id, host, ip, method, login = fields
    if not queue_id:
        return daemons.CONNECT if connect else daemons.DISCONNECT
    host = host if host != "unknown" else ""
    return Arrival(queue_id, at, line, "", (), host, ip, "", method, login, 0, "", "", "", CLIENT)


def _named(agent: str, fields: tuple[str, ...], at: int, line: str) -> Parsed:
    queue_id, message_id = fields
    return Arrival(queue_id, at, line, "", (), "", "", "", "", "", 0, message_id, "", "", MESSAGE_ID)


def _queued(agent: str, fields: tuple[str, ...], at: int, line: str) -> Parsed:
    queue_id, sender, size, removed = fields
    if removed:
        return LifecycleEvent(queue_id, at, line, "", True)
    return Arrival(queue_id, at, line, sender, (), "", "", "", "", "", int(size), "", "", "", QUEUE)


def _delivered(agent: str, fields: tuple[str, ...], at: int, line: str) -> Parsed:
    queue_id, to, original, relay, address, tls, enhanced, status, words = fields
    return daemons.read_attempt(queue_id, at, line, agent, (to, original, relay, address, tls, enhanced, status, words))


class FastForm(NamedTuple):
    """What a daemon usually writes behind its head, and what that means."""

    agent: str
    match: Callable[[str, int], re.Match[str] | None]
    """Line, and the end of its head."""
    read: Callable[[str, tuple[str, ...], int, str], Parsed]
    """Agent, the groups of the expression, time, line."""


_DELIVERING = ("smtp", "lmtp", "local", "virtual", "pipe", "error", "discard")
SERVER_FORM = FastForm("smtpd", _CLIENT.match, _client)
FAST_FORMS = {
    "smtpd": SERVER_FORM,
    "cleanup": FastForm("cleanup", _NAMED.match, _named),
    "qmgr": FastForm("qmgr", _QUEUED.match, _queued),
    **{agent: FastForm(agent, _DELIVERED.match, _delivered) for agent in _DELIVERING},
}
"""By agent."""
