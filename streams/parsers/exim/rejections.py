"""Exim lines of what was refused before it was accepted, or thrown away while the client was told otherwise.

The HELO name is a stranger's: each place where it may end is tried, and a line that can be read in two ways is a dead
letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from postwatch.streams.contracts.outcome import DISCARDED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import Refusal, Unreadable
from postwatch.streams.parsers.exim.ambiguous import hosts
from postwatch.streams.parsers.exim.grammar import CONNECTION, QUOTED, SMTP_WORDS, TLS
from postwatch.streams.parsers.smtp import SMTP_CODE

_REFUSAL_OPENING = compiled(r"(?=U=|F=|H=|rejected|temporarily rejected)")
_REFUSAL = compiled(
    rf"{CONNECTION}(?: ?U=(?P<user>\S+))?(?: Ci=\S+)?{TLS}(?: ?F=<(?P<sender>(?:{QUOTED})?[^>]*)>)?"
    r"(?: A=(?P<method>[^\s:]+)(?::(?P<login>[^\s,:]+)\S*)?)?(?: SPF(?:=\w+)?)? ?(?P<for_now>temporarily )?"
    r"rejected (?P<command>RCPT|MAIL|after DATA|DKIM|during MIME ACL checks|by non-SMTP ACL|by local_scan\(\)) ?"
    rf"(?:<(?P<recipient>(?:{QUOTED})?[^>]*)>|(?P<bare>[^\s<>:\"]+@[^\s<>:\"]+)(?=:|$))?(?: [^:]*)?"
    r"(?:: ?(?P<words>.*))?$"
)
_REFUSED_FAR = compiled(
    rf"{CONNECTION}(?: U=\S+)?(?: Ci=\S+)?{TLS} ({QUOTED}@[^\s\"<>]++|[^\s\"<>@]++@[^\s\"<>]++)"
    rf" F=<((?:{QUOTED})?[^>]*)>[^\":]* rejected after DATA: R=(?:[^\" ]++ )++C=\"(.*)\"$"
)
"""The far server of a delivery by cutthrough would not have it."""
_REJECTED_FROM = compiled(rf"rejected from <((?:{QUOTED})?[^>]*)>(?: (H=))?")
_LOCAL_SCAN = compiled(rf"F=(?!<)((?:{QUOTED}@)?+[^ ]*+)(?: (H=))?+")
_WHY = compiled(
    rf"{CONNECTION}(?: U=(?P<user>\S+))?(?: Ci=\S+)?(?: P=\S+)?(?: (?:temporarily )?rejected by local_scan\(\))?: "
    r"(?P<words>.*)$"
)
_DISCARD = compiled(
    rf"{CONNECTION}(?: ?U=\S+)?(?: Ci=\S+)?{TLS}(?: ?F=<((?:{QUOTED})?[^>]*)>)? ?"
    rf"RCPT <((?:{QUOTED})?[^>]*)>(?: [^:]*)?: (discarded by \w+ ACL(?:: .*)?)$"
)


def refusal(line: str, start: int, at: int, queue_id: str) -> Refusal | Unreadable | None:
    """`… rejected RCPT <x>: why` → a Refusal; None where the line is not one; two readings make it unreadable."""
    if _REFUSAL_OPENING.match(line, start) is None:
        return None
    whole = _REJECTED_FROM.match(line, start)
    if whole is None and "rejected by local_scan(): " in line:
        whole = _LOCAL_SCAN.match(line, start)
    if whole is not None:
        return _refused_whole(line, whole, at, queue_id)
    if line.startswith("H=", start):
        places: Iterable[tuple[str, str, int]] = hosts(line, start + 2)
    else:
        places = [("", "", start)]
    readings: list[Refusal] = []
    for name, ip, end in places:
        found = _REFUSAL.match(line, end)
        if found is None:
            far = _REFUSED_FAR.match(line, end)
            if far is not None:
                readings.append(_refused_far(line, far, at, queue_id, name, ip))
            continue
        told = found.groupdict("")
        code, enhanced = code_in(told["words"], 451 if told["for_now"] else 550)
        readings.append(
            Refusal(
                queue_id,
                at,
                line,
                sender=told["sender"],
                recipient=(told["recipient"] or told["bare"]).lower() if told["command"] == "RCPT" else "",
                client_host=name,
                client_ip=ip,
                system_user="" if ip else told["user"],
                auth_method=told["method"],
                authenticated_as=told["login"],
                smtp_code=code,
                enhanced_code=enhanced,
                response=told["words"],
            )
        )
    if len({(one.sender, one.recipient, one.authenticated_as) for one in readings}) > 1:
        return Unreadable("a refusal that can be read in two ways")
    return readings[0] if readings else None


def code_in(response: str, default: int) -> tuple[int, str]:
    coded = SMTP_CODE.match(response) or _far_code(response)
    return (int(coded[1]), coded[2] or "") if coded else (default, "")


def _far_code(response: str) -> re.Match[str] | None:
    """What the server said that was asked about the address (a callout)."""
    start = response.find("error from remote mail server after ")
    words = SMTP_WORDS.match(response, start) if start >= 0 else None
    return SMTP_CODE.match(response, words.end()) if words else None


def _refused_far(line: str, found: re.Match[str], at: int, queue_id: str, name: str, ip: str) -> Refusal:
    recipient, sender, words = found.groups()
    coded = SMTP_CODE.match(words)
    code, enhanced = (int(coded[1]), coded[2] or "") if coded else (550, "")
    return Refusal(
        queue_id,
        at,
        line,
        sender=sender,
        recipient=recipient.lower(),
        client_host=name,
        client_ip=ip,
        smtp_code=code,
        enhanced_code=enhanced,
        response=words,
    )


def _refused_whole(line: str, opening: re.Match[str], at: int, queue_id: str) -> Refusal | None:
    """`rejected from <x> H=… : message too big`: what came with the data was refused, whoever it was for."""
    places = hosts(line, opening.end()) if opening[2] else [("", "", opening.end())]
    for name, ip, end in places:
        found = _WHY.match(line, end)
        if found is not None:
            user = "" if ip else found["user"] or ""
            return Refusal(
                queue_id,
                at,
                line,
                sender=opening[1],
                client_host=name,
                client_ip=ip,
                system_user=user,
                smtp_code=550,
                response=found["words"],
            )
    return None


def discard(line: str, start: int, at: int, queue_id: str) -> Refusal | Unreadable | None:
    """`… RCPT <x>: discarded by RCPT ACL`: the client was told that it was accepted."""
    with_host = line.startswith("H=", start)
    readings = []
    for name, ip, end in hosts(line, start + 2) if with_host else [("", "", start)]:
        found = _DISCARD.match(line, end)
        if found is not None:
            sender, recipient, words = found.groups("")
            readings.append(
                Refusal(
                    queue_id,
                    at,
                    line,
                    sender=sender,
                    recipient=recipient.lower(),
                    client_host=name,
                    client_ip=ip,
                    smtp_code=250,
                    response=words,
                    status=DISCARDED,
                )
            )
    if len({(one.sender, one.recipient) for one in readings}) > 1:
        return Unreadable("a discard that can be read in two ways")
    return readings[0] if readings else None
