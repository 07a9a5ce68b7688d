"""The time at which a message was queued, as far as its queue id holds it: Exim, long Postfix ids, Sendmail, KumoMTA,
nullmailer.

The time in the id is part of the table's key, so it must be the same whichever line of the message is seen first.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from functools import lru_cache

from postwatch.streams.parsers.timestamps import AHEAD_MS, MOST_MS

REFUSAL_PREFIX = "r:"
SESSION_PREFIX = "s:"
"""Of a connection, where the log tells of that who a client is."""
LOGIN_PREFIX = "l:"
"""Of a process that serves a client, where the log tells the login of that alone."""
PIECE_PREFIX = "x:"
"""Of a process whose long entries syslog cuts in pieces."""
PASSAGE_PREFIX = "f:"
"""Of a message's passage through a filter, where the filter has an id of its own for it."""
PROCESS_PREFIX = "n:"
"""Of a process that tries one message after the other, where only the first line of a try names the message."""
DOVECOT_PREFIX = f"{PASSAGE_PREFIX}dovecot "
CLAMSMTP_PREFIX = f"{PASSAGE_PREFIX}clamsmtp "
ANSWER_PREFIX = "p:"
"""Of a process that answers a client, or of the message that it receives: what a filter of its answers made of them."""
HOLDS_ID = f"{ANSWER_PREFIX}holds"
"""Of a server: what it put on hold before that had a queue id."""
RETURN_PREFIX = "b:"
"""Of a Message-ID: lists the messages of one server that a program or filter there may have given back."""
_BASE62 = {c: n for n, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}
_BASE52 = {c: n for n, c in enumerate("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz")}
_LONG_POSTFIX_SECONDS = 6
_LONGEST_WITHOUT_TIME = 10
"""Other ids with a time in them than Exim's are longer."""
EARLIEST_MS = 946_684_800_000
"""The year 2000: no mail in a log is older."""
_BASE60 = {c: n for n, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx")}
_UUID_EPOCH = 0x01B21DD213814000
_HEX = frozenset("0123456789ABCDEF")


def refusal_id(line: str) -> str:
    """An id for a refusal that has none: the same line always gets the same."""
    return REFUSAL_PREFIX + hashlib.blake2b(line.encode(), digest_size=8).hexdigest()


def amavis_passage(own_id: str) -> str:
    """By amavisd-new's own id of a message, which its answer names."""
    return f"{PASSAGE_PREFIX}amavis {own_id}"


def rspamd_passage(queue_id: str) -> str:
    """By the queue id that Postfix told its milter."""
    return f"{PASSAGE_PREFIX}rspamd {queue_id}"


def answers_of(queue_id: str, process: str) -> str:
    """The entry of what the client of a message, or of a process that has none, was told; empty: neither is known."""
    return f"{ANSWER_PREFIX}{queue_id}" if queue_id else f"{ANSWER_PREFIX}process {process}" if process else ""


def clamsmtp_passage(sender: str, first_recipient: str) -> str:
    """By all that Postfix's line and clamsmtp's have in common."""
    digest = hashlib.blake2b(f"{sender}\0{first_recipient}".lower().encode(), digest_size=12).hexdigest()
    return CLAMSMTP_PREFIX + digest


def return_entry(message_id: str) -> str:
    """The key of the entry for a Message-ID, whose words are a stranger's; empty for none."""
    return RETURN_PREFIX + hashlib.blake2b(message_id.encode(), digest_size=16).hexdigest() if message_id else ""


def arrival_time(id_time: int, at: int) -> int:
    """When the message was queued, in ms since the epoch: the time in its id, else `at`, the stamp of its first line.

    A time before 2000, or more than a day ahead of the line, is not taken: then the clock was wrong, or it is no time.
    """
    return id_time if EARLIEST_MS <= id_time <= at + AHEAD_MS else at


def queued_at(queue_id: str) -> int:
    """The time in a queue id, in ms since the epoch; 0 where the MTA puts none there. Such an id is never reused."""
    length = len(queue_id)
    if length > 6 and queue_id[6] == "-":
        return _exim_second(queue_id[:6])
    if length <= _LONGEST_WITHOUT_TIME:
        return 0  # a short id of Postfix, as most are
    if queue_id[10] == "z":
        return _long_postfix_time(queue_id[:10])
    if length == 32 and queue_id[12] == "1":
        return _uuid_time(queue_id)
    if queue_id[10] == ".":
        return _nullmailer_second(queue_id)
    if 14 <= length <= 15 and queue_id[8:].isdecimal():
        return _sendmail_second(queue_id[:8])
    return 0


@lru_cache(maxsize=4096)
def _exim_second(stem: str) -> int:
    """Exim: six digits of base 62 (specification, chapter "Message identification")."""
    second = 0
    for character in stem:
        second = second * 62 + _BASE62[character]
    return second * 1000


@lru_cache(maxsize=4096)
def _long_postfix_time(stem: str) -> int:
    """Postfix with enable_long_queue_ids: seconds, microseconds, `z`, inode; digits of base 52 but for the inode."""
    time = 0
    try:
        for character in stem[:_LONG_POSTFIX_SECONDS]:
            time = time * 52 + _BASE52[character]
        microseconds = 0
        for character in stem[_LONG_POSTFIX_SECONDS:]:
            microseconds = microseconds * 52 + _BASE52[character]
    except KeyError:
        return 0
    return time * 1000 + microseconds // 1000 if microseconds < 1_000_000 else 0


def _uuid_time(text: str) -> int:
    """KumoMTA: a UUID of version 1, in steps of 100 ns since the Gregorian calendar (RFC 9562, section 5.1)."""
    try:
        at = (uuid.UUID(text).time - _UUID_EPOCH) // 10_000
    except ValueError:
        return 0
    return at if 0 < at < MOST_MS else 0


def _nullmailer_second(queue_id: str) -> int:
    """nullmailer: seconds since the epoch, a dot and the number of the process that queued it."""
    second, _, process = queue_id.partition(".")
    return int(second) * 1000 if (second + process).isdecimal() and second.isascii() else 0


@lru_cache(maxsize=4096)
def _sendmail_second(stem: str) -> int:
    """Sendmail 8.12 and later: year, month, day, hour, minute, second in UTC, a digit of base 60 each.

    0 where the digits could as well be a short id of Postfix, which is hexadecimal.
    """
    if _HEX.issuperset(stem):
        return 0
    try:
        year, month, day, hour, minute, second = (_BASE60[character] for character in stem[:6])
        moment = datetime.datetime(_sendmail_year(year), month + 1, day, hour, minute, second, tzinfo=datetime.UTC)
    except (KeyError, ValueError):
        return 0
    return round(moment.timestamp()) * 1000


def _sendmail_year(digit: int) -> int:
    """The years since 1900, modulo 60: 2000 to 2059."""
    return 1960 + digit if digit >= 40 else 2020 + digit
