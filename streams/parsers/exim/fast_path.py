"""The fast path of Exim's usual lines: nine of ten match the expression of their flag.

Invariant: these expressions match fewer lines than those of `grammar`, and read them as those do (test_fast_path.py).
They take a third of the time: a field that is not there costs one comparison, because its branch begins with a letter,
and `[^ ]++` is much faster than a class of several characters. Where the core is compiled, `scan.c` reads most of these
lines; what it does not know goes to the expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from postwatch.streams.contracts.outcome import BOUNCED, DELIVERED, DISCARDED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import Arrival, Attempt, LifecycleEvent, Parsed, Refusal
from postwatch.streams.parsers.exim import ambiguous
from postwatch.streams.parsers.exim.attempts import (
    NO_ANSWER,
    answered,
    deferred,
    failed,
    final_address,
    mailbox_in,
    what_beside,
)
from postwatch.streams.parsers.exim.grammar import ID, LONGEST_LISTED
from postwatch.streams.parsers.exim.rejections import code_in
from postwatch.streams.parsers.queue_ids import refusal_id
from postwatch.streams.parsers.scan import SCAN

STAMP_LENGTH = len("2026-11-23 13:42:18")
_BLACKHOLE = ":blackhole:"
_PORT = "(?::[0-9]++|)"
_USUAL_ARRIVAL = (
    r"<= ([^ \"][^ ]*+) (?:R=([^ ]++) |)"
    rf"(?:H=(?:([0-9A-Za-z_.-]++) |)(?:\([0-9A-Za-z_.:\[\]-]++\) |)\[([0-9A-Za-z.:]++)\]{_PORT} |)"
    rf"(?:I=\[[0-9A-Za-z.:]++\]{_PORT} |)(?:U=([^ ]++) |)P=[^ ]++ (?:X=[^ ]++ CV=[a-z]++ |)(?:SNI=[0-9A-Za-z.-]++ |)"
    r"(?:A=([0-9A-Za-z_]++):([0-9A-Za-z_.@+-]++) |)S=([0-9]{1,18}+)(?: M8S=[0-9]|)(?: id=([^ ]++)|)"
    r"(?: T=\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)\"|)(?: from <[^>\"]*+>|)(?: for ([^\"]++)(?<![>@.-])|)$"
)
_USUAL_DELIVERY = (
    r"[=>-]> ([^ \"(<|>/:][^ ]*+) (?:<([^ \"<>]++)> |)(?:F=<[^>\"]*+> |)R=([^ ]++) T=([^ ]++)(?: S=[0-9]++|)"
    rf"(?: H=([^ ]++) \[([0-9A-Za-z.:]++)\]{_PORT}\*?+(?: I=\[([0-9A-Za-z.:]++)\]{_PORT}|)(?: X=([^ ]++) CV=[a-z]++|)|)"
    r"(?: K|)(?: C=\"([^\"]*+)\"|)(?: QT=[^ ]++|)(?: DT=[^ ]++|)$"
)
USUAL_ARRIVAL = compiled(rf" ({ID}) {_USUAL_ARRIVAL}", re.ASCII)
"""What follows the stamp: the queue id, the groups of ARRIVAL."""
USUAL_DELIVERY = compiled(rf" ({ID}) {_USUAL_DELIVERY}", re.ASCII)
"""The same with the groups of DELIVERY."""
USUAL_DISCARD = compiled(rf" ({ID}) => :blackhole: <([^ \"<>]++)> R=([^ ]++)$", re.ASCII)
"""The same for what an alias throws away: queue id, address, router."""
USUAL_END = compiled(rf" ({ID}) Completed(?: |$)", re.ASCII)
USUAL_TRY = compiled(
    rf" ({ID}) (==|\*\*) ([^ \"(<|>/:][^ ]*+) (?:<([^ \"<>]++)> |)(?:R=([^ :]++)(?: T=([^ :]++)|)|routing(?= defer))"
    r"(?: defer \((-?[0-9]++)\)|)"
    rf"(?: H=([^ ]++) \[([0-9A-Za-z.:]++)\]{_PORT}\*?+(?: I=\[([0-9A-Za-z.:]++)\]{_PORT}|)"
    r"(?: X=([^ ]++) CV=[a-z]++|)|): (.*)$",
    re.ASCII,
)
"""The same for what did not get through: queue id, flag, the groups of DEFER."""
USUAL_REFUSAL = compiled(
    rf" H=(?:([0-9A-Za-z_.-]++) |)(?:\([0-9A-Za-z_.:\[\]-]++\) |)\[([0-9A-Za-z.:]++)\]{_PORT} "
    r"(?:X=[^ ]++ CV=[a-z]++ |)F=<([^ >\"\[]*+)> "
    r"(?:A=([0-9A-Za-z_]++):([0-9A-Za-z_.@+-]++) |)(temporarily |)rejected RCPT <([^ >\"\[]++)>: (.*)$",
    re.ASCII,
)
"""What was refused without a queue id: host, address, sender, authenticator, login, whether for now, recipient, words.
Where the words say `rejected ` again it takes `rejections.refusal` to tell."""
_MATCH_ARRIVAL = USUAL_ARRIVAL.match
_MATCH_DELIVERY = USUAL_DELIVERY.match
_MATCH_DISCARD = USUAL_DISCARD.match
_MATCH_END = USUAL_END.match
_MATCH_TRY = USUAL_TRY.match
_MATCH_REFUSAL = USUAL_REFUSAL.match
_SCAN_ARRIVAL = getattr(SCAN, "exim_arrival", None)
_SCAN_DELIVERY = getattr(SCAN, "exim_delivery", None)
_SCAN_END = getattr(SCAN, "exim_end", None)
_SCAN_TRY = getattr(SCAN, "exim_try", None)
_SCAN_REFUSAL = getattr(SCAN, "exim_refusal", None)


def _fields(scan: Any, match: Callable[[str, int], re.Match[str] | None], line: str) -> tuple[str, ...] | None:
    """The groups of the expression, by C where that knows the line."""
    if scan is not None:
        fields: tuple[str, ...] | None = scan(line)
        if fields is not None:
            return fields
    found = match(line, STAMP_LENGTH)
    return found.groups("") if found is not None else None


def read_arrival(line: str, at: int) -> Parsed | None:
    """An arrival, as `_arrival` would read it; None: it takes that to tell."""
    fields = _fields(_SCAN_ARRIVAL, _MATCH_ARRIVAL, line)
    if fields is None:
        return None
    (
        queue_id, sender, parent, client, client_ip, user, method, login, size, message_id, subject, listed,
    ) = fields  # fmt: skip
    if " " in listed:
        if len(line) > LONGEST_LISTED:
            return None
        recipients = tuple(listed.lower().split(" "))
        for recipient in recipients:
            if "@" not in recipient:
                return None
    elif "@" in listed:
        recipients = (listed.lower(),)
    elif listed:
        return None
    else:
        recipients = ()
    return Arrival(
        queue_id,
        at,
        line,
        sender if sender != "<>" else "",
        recipients,
        client,
        client_ip,
        user if not client_ip else "",
        method,
        login,
        int(size),
        message_id,
        subject if "\\" not in subject else ambiguous.unescape(subject),
        parent,
    )


def read_delivery(line: str, at: int) -> Parsed | None:
    """A delivery, as `_delivery` would read it; None: it takes that to tell."""
    fields = _fields(_SCAN_DELIVERY, _MATCH_DELIVERY, line)
    if fields is None:
        return _read_discard(line, at)
    queue_id, final, original, router, transport, host, ip, source_ip, tls, answer = fields
    code, enhanced, next_id, handover = answered(answer, ip) if answer else NO_ANSWER
    final = final.lower()
    if original:
        final, original = final_address(final, original)
    if "<" in answer[:12]:
        final, original = mailbox_in(answer, ip, transport, final, original)
    return Attempt(
        queue_id,
        at,
        line,
        DELIVERED if transport != "**bypassed**" else DISCARDED,
        True,
        final,
        original,
        code,
        enhanced,
        answer,
        host,
        ip,
        tls,
        router,
        transport,
        next_id,
        handover,
        False,
        "",
        "",
        "",
        "",
        False,
        source_ip,
    )


def _read_discard(line: str, at: int) -> Parsed | None:
    found = _MATCH_DISCARD(line, STAMP_LENGTH)
    if found is None:
        return None
    queue_id, address, router = found.groups()
    final, original = final_address(_BLACKHOLE, address)
    return Attempt(
        queue_id,
        at,
        line,
        DISCARDED,
        recipient=final,
        original_recipient=original,
        router=router,
        beside=what_beside(_BLACKHOLE),
    )


def read_end(line: str, at: int) -> Parsed | None:
    """`Completed`; None: it takes `read_any` to tell."""
    fields = _fields(_SCAN_END, _MATCH_END, line)
    return LifecycleEvent(fields[0], at, line, "", True) if fields is not None else None


def read_try(line: str, at: int) -> Parsed | None:
    """What did not get through, as `_defer` and `_failure` would read it; None: it takes those to tell."""
    fields = _fields(_SCAN_TRY, _MATCH_TRY, line)
    if fields is None:
        return None
    queue_id, flag, final, original, router, transport, number, host, ip, source_ip, tls, words = fields
    if '<"' in words:
        return None
    if flag == "==":
        if not number:
            return None
        return deferred(
            queue_id, at, line, (final, original, router, transport, number, host, ip, source_ip, tls, words)
        )
    if number:
        return None
    return failed(queue_id, at, line, BOUNCED, (final, original, router, transport, host, ip, source_ip, tls, words))


def read_refusal(line: str, at: int) -> Refusal | None:
    """What was refused without a queue id, as `refusal` would read it; None: it takes that to tell."""
    fields = _fields(_SCAN_REFUSAL, _MATCH_REFUSAL, line)
    if fields is None:
        return None
    name, ip, sender, method, login, for_now, recipient, words = fields
    if "rejected " in words:
        return None
    code, enhanced = code_in(words, 451 if for_now else 550)
    own_id = refusal_id(line)
    return Refusal(own_id, at, line, sender, recipient.lower(), name, ip, "", method, login, code, enhanced, words)
