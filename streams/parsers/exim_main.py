"""Exim's main log: lines → events (Exim specification, chapter "Log files", and what 4.92 to 4.99 really write).

Strangers write the HELO name, the Message-ID, the subject, local parts and the far server's answer, and Exim puts them
all in one line. So a line is read strictly from the left, every field in its place and the whole line accounted for.
What has a blank or a quote where none belongs goes to `exim_odd`, which stretches the stranger's field until the rest
makes sense. Nothing behind `C="` or behind the colon of an error is ever taken for a field.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
from postwatch.producers.record import CUT_MARK
from postwatch.streams.events import FILTER, IDENTITY, Arrival, Attempt, Ending, Foreign, Parsed, Unreadable
from postwatch.streams.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, DISCARDED, EXPIRED
from postwatch.streams.parsers import exim_odd, exim_refusal
from postwatch.streams.parsers.exim_grammar import (
    ARRIVAL,
    DEFER,
    DEFER_TAIL,
    DELIVERY,
    DELIVERY_TAIL,
    FAILURE,
    FAILURE_TAIL,
    HEAD,
    ID,
    QUOTED,
    SMTP_CODE,
    SMTP_WORDS,
    USUAL,
)
from postwatch.streams.queue_ids import refusal_id
from postwatch.streams.stamps import StampReader

_CUT = CUT_MARK.decode()
_NO_ATTEMPT = frozenset(("-51", "-52", "-53"))
"""Exim's ERRNO_RRETRY, ERRNO_LRETRY and ERRNO_HRETRY: retry time not reached."""
_EXIM_ID = re.compile(ID)
_GIVEN_UP = "retry timeout exceeded"
_LONG_FAILURE = ("retry time not reached for any host after a long failure period", "all hosts for ")
_ERROR_THEN_HOST = re.compile(
    r"([^:\[\]=<>\"]{1,80}) H=(\S+) \[([\w.:]+)\](?::\w+)?(?: I=\[[^\] ]*\](?::\w+)?)?(?: DT=\S+)?(?:: (.*))?$"
)
"""An error of the system stands in front of the host, the rest behind it."""
_HOST_IN_TEXT = re.compile(r": host (\S+) \[([0-9a-fA-F.:]+)\]")
_STAMP_LENGTH = len("2026-11-23 13:42:18")
NO_STAMP = Foreign("no-stamp")
_ARGUMENTS = Foreign("arguments")
_CALLED = " cwd="
_QUEUE_RUN = Foreign("queue-run")
_QUEUE_RUNS = ("Start queue run", "End queue run", "Start '", "End '")
_FROZEN = Foreign("frozen")
_FROZEN_WORDS = ("Frozen", "Unfrozen", "unfrozen by ", "Message is frozen")
HEADERS = Foreign("headers")
_HEADER = re.compile(r"(?:[A-Z* ] [!-9;-~]++:|[ \t]|Envelope-(?:from|to): )")
"""What the reject log writes below an entry: each header behind a letter or a blank, so no header begins a line."""
_IDENTIFICATION = re.compile(r"Sender identification U=([^\s=]++) D=[^\s=]++ S=")
_SHARED_USERS = frozenset(("nobody", "root", "mailnull"))
_NOT_IDENTIFIED = Foreign("sender-not-identified")
_REFUSED = Foreign("refused-session")
_NOTE = Foreign("note")
_TWO_WAYS = Unreadable("an address that can be read in two ways")
_SUPPRESSED = Foreign("suppressed-delivery")
_OTHER = Foreign("other")
_DISCARDED_ALL = re.compile(
    r"discarded \(system filter\)$|blackhole (?:\([^()]*discarded recipients\)(?:: .*)?|\*.*\* ?)$"
)
_DISCARDED_ONE_BY_ONE = ("blackhole (RCPT ACL ", "blackhole (MAIL ACL ")
"""Each of those recipients had a line of its own before, and the arrival lists none."""
_TAKEN_OFF = re.compile(rf"address <((?:{QUOTED})?[^>]*)> marked delivered by ")
_DELIVER_TIME = re.compile(r" DT=[\d.dhmsw]++$")
_MUA_WRAPPER = re.compile(r"(?:(\S+) )?((?:mua_wrapper|routing yielded a) .*)$")
"""A program that hands over straight gets all or nothing (mua_wrapper), and Exim forgets the colon."""
_LONGEST_ID = 40
_NEXT_ID = re.compile(r"(?:\bid=|\bqueued as )([\w.-]{5,40})(?![\w@-])")
_REFUSED_SESSION = re.compile(
    r"(?:\S.* )?rejected (?:connection|[EH][EH]LO|AUTH|STARTTLS|ETRN|VRFY|EXPN|ATRN|DATA|BDAT|WELLKNOWN|XCLIENT)\b"
)


@lru_cache(maxsize=8192)
def _reply_codes(opening: str) -> tuple[int, str]:
    coded = SMTP_CODE.match(opening)
    return (int(coded[1]), coded[2] or "") if coded else (0, "")


class EximMainParser:
    """Parses lines of one zone. Pure but for the cache of stamps."""

    def __init__(self, stamps: StampReader) -> None:
        self.stamps = stamps
        self._seconds = stamps.seconds

    def parse(self, line: str) -> Parsed:
        """One line without its newline → what it means. Never raises."""
        at = self._seconds.get(line[:_STAMP_LENGTH])
        if at is not None:
            found = USUAL.match(line, _STAMP_LENGTH)
            if found is not None:
                parsed = _usual(line, found, at)
                if parsed is not None:
                    return parsed
            elif line.startswith(_CALLED, _STAMP_LENGTH):
                return _ARGUMENTS
        return self.parse_any(line)

    def parse_any(self, line: str) -> Parsed:
        """As `parse`, without the short way that usual lines have; what they come to is the same."""
        head = HEAD.match(line)
        if head is None:
            return HEADERS if _HEADER.match(line) else NO_STAMP
        second, fraction, offset, queue_id, flag = head.groups()
        try:
            at = self.stamps.read(second, fraction, offset)
        except ValueError:
            return Unreadable("impossible time stamp")
        if flag == "Completed":
            return Ending(queue_id, at, line, "", True)
        read = _READERS.get(flag, _unflagged)
        parsed = read(line, head.end(), at, queue_id)
        if type(parsed) is Unreadable and line.endswith(_CUT):
            return self.parse_cut(line[: -len(_CUT)])
        return parsed

    def parse_cut(self, line: str) -> Parsed:
        """A line without its end: without its last word it may still be read; a quote may be left open."""
        kept = line.rpartition(" ")[0]
        parsed = self.parse(kept)
        return self.parse(kept + '"') if isinstance(parsed, Unreadable) else parsed


def _usual(line: str, found: re.Match[str], at: int) -> Parsed | None:
    """What the groups of USUAL mean, as `_arrival` and `_delivery` would read them; None: it takes those to tell."""
    (
        queue_id, sender, parent, client, client_ip, user, method, login, size, message_id, subject, listed,
        final, original, router, transport, host, ip, tls, answer,
    ) = found.groups("")  # fmt: skip
    if sender:
        if " " in listed:
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
            subject if "\\" not in subject else exim_odd.unescape(subject),
            parent,
        )
    if not final:
        return Ending(queue_id, at, line, "", True)
    code, enhanced, next_id, handover = _answered(answer, ip) if answer else _NO_ANSWER
    final = final.lower()
    if original:
        final, original = final_address(final, original)
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
    )


def _unflagged(line: str, start: int, at: int, queue_id: str | None) -> Parsed:
    if queue_id is None and line.startswith("cwd=", start):
        return _ARGUMENTS
    if "rejected " in line:
        refusal = exim_refusal.refusal(line, start, at, queue_id or refusal_id(line))
        if refusal is not None:
            return refusal
        if queue_id is None and "rejected RCPT <" in line and " Warning: " not in line:
            return Unreadable("a refusal whose fields make no sense")
        if _REFUSED_SESSION.match(line, start):
            return _REFUSED
    if ": discarded by " in line:
        discard = exim_refusal.discard(line, start, at, queue_id or refusal_id(line))
        if discard is not None:
            return discard
    if queue_id is None:
        return _QUEUE_RUN if line.startswith(_QUEUE_RUNS, start) else _OTHER
    if line.startswith("removed by ", start):
        return Ending(queue_id, at, line, CANCELLED, True)
    if line.startswith("cancelled by ", start):
        return Ending(queue_id, at, line, CANCELLED, False)
    if line.startswith("frozen by ", start):
        return Ending(queue_id, at, line, DEFERRED, False)
    if line.startswith(_FROZEN_WORDS, start):
        return _FROZEN
    taken_off = _TAKEN_OFF.match(line, start)
    if taken_off is not None:
        return Ending(queue_id, at, line, CANCELLED, False, taken_off[1].lower())
    if line.startswith("Sender identification ", start):
        return _identity(line, start, at, queue_id)
    return _NOTE


def _identity(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """`Sender identification U=user D=domain S=sender`: cPanel tells the account, or `-remote-`."""
    found = _IDENTIFICATION.match(line, start)
    if found is None:
        return Unreadable("a sender identification whose fields make no sense")
    user = found[1]
    if user.startswith("-") or user in _SHARED_USERS:
        return _NOT_IDENTIFIED
    return Arrival(queue_id, at, line, "", (), "", "", user, "", "", 0, "", "", "", IDENTITY)


def _suppressed(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """`*>`: exim -N went through the motions, and nothing was sent."""
    return _SUPPRESSED


def _arrival(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = ARRIVAL.match(line, start)
    if found is None:
        return exim_odd.arrival(line, start, at, queue_id)
    sender, parent, host, ip, user, method, login, size, message_id, subject, listed = found.groups("")
    recipients = tuple(listed.lower().split(" ")) if listed else ()
    for recipient in recipients:
        if "@" not in recipient:
            return exim_odd.arrival(line, start, at, queue_id)
    return Arrival(
        queue_id,
        at,
        line,
        "" if sender == "<>" else sender,
        recipients,
        host,
        ip,
        "" if ip else user,
        method,
        login,
        int(size[:18]) if size.isdigit() else 0,
        message_id,
        exim_odd.unescape(subject) if "\\" in subject else subject,
        parent,
    )


def _delivery(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = DELIVERY.match(line, start)
    if found is not None:
        fields = found.groups("")
        if '<"' in fields[-1] and exim_odd.is_repeated(line, start, found.end(1)):
            return _TWO_WAYS
    elif line.startswith(_DISCARDED_ONE_BY_ONE, start):
        return _NOTE
    elif _DISCARDED_ALL.match(line, start):
        return Ending(queue_id, at, line, DISCARDED, False)
    else:
        stretched = exim_odd.addressed(line, start, DELIVERY_TAIL)
        if stretched is None:
            return Unreadable("a delivery whose fields make no sense")
        fields = stretched
    final, original, router, transport, host, ip, tls, answer = fields
    final, original = final_address(final, original)
    if transport and transport != "**bypassed**":
        status = DELIVERED
    elif router:
        status = DISCARDED  # :blackhole:, /dev/null, a filter's `seen finish`
    else:
        return Unreadable("a delivery without router and transport")
    code, enhanced, next_id, handover = _answered(answer, ip) if answer else _NO_ANSWER
    return Attempt(
        queue_id,
        at,
        line,
        status,
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
    )


def _passed_on(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """`>>`: delivered while it came in. An answer of several lines is logged as such, so its quote may stay open."""
    read = _delivery(line, start, at, queue_id)
    if type(read) is Unreadable:
        closed = _delivery(line + '"', start, at, queue_id)
        if type(closed) is Attempt:
            return msgspec.structs.replace(closed, line=line)
    return read


def _answered(answer: str, ip: str) -> tuple[int, str, str, str]:
    """Reply code, enhanced code, the id under which the next hop queued it, and whether that is Exim here again."""
    next_id = handover = ""
    named = answer.find("queued as ")
    if named >= 0:
        next_id = answer[named + 10 :]
        if not next_id.isalnum() or len(next_id) > _LONGEST_ID:
            next_id = next_id.partition(" ")[0]
            if not next_id.isalnum() or len(next_id) > _LONGEST_ID:
                next_id, handover = _next_hop(answer, ip)
    elif "id=" in answer:
        next_id, handover = _next_hop(answer, ip)
    code, enhanced = _reply_codes(answer[:12])
    return code, enhanced, next_id, handover


_NO_ANSWER = (0, "", "", "")


def _is_ambiguous(line: str, start: int, found: re.Match[str]) -> bool:
    """Whether the address may be a quoted local part of which the front looks like the whole line."""
    return '<"' in (found[found.re.groups] or "") and exim_odd.is_repeated(line, start, found.end(1))


def _next_hop(answer: str, ip: str) -> tuple[str, str]:
    """The id under which the next hop queued it; a hand-over where that is Exim on this server again."""
    found = _NEXT_ID.search(answer)
    if found is None:
        return "", ""
    next_id = found[1].rstrip(".")
    is_here = ip.startswith(("127.", "::1")) and _EXIM_ID.fullmatch(next_id) is not None
    return next_id, FILTER if is_here else ""


def _defer(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = DEFER.match(line, start)
    if found is None or _is_ambiguous(line, start, found):
        fields = exim_odd.addressed(line, start, DEFER_TAIL)
    else:
        fields = found.groups("")
    if fields is None:
        if found is not None:
            return _TWO_WAYS
        return Unreadable("a deferral whose fields make no sense")
    final, original, router, transport, number, host, ip, tls, words = fields
    if number in _NO_ATTEMPT:
        final, original = final_address(final, original)
        return Attempt(
            queue_id, at, line, DEFERRED, False, final, original, 0, "", words, host, ip, tls, router, transport
        )
    return _failed(queue_id, at, line, DEFERRED, (final, original, router, transport, host, ip, tls, words))


def _failure(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = FAILURE.match(line, start)
    if found is None or _is_ambiguous(line, start, found):
        fields = exim_odd.addressed(line, start, FAILURE_TAIL)
    else:
        fields = found.groups("")
    if fields is None:
        if found is not None:
            return _TWO_WAYS
        wrapped = _MUA_WRAPPER.match(line, start)
        if wrapped is not None and wrapped[1]:
            return _failed(queue_id, at, line, BOUNCED, (wrapped[1], "", "", "", "", "", "", wrapped[2]))
        if wrapped is not None:
            return Ending(queue_id, at, line, BOUNCED, False)
        return Unreadable("a failure whose fields make no sense")
    return _failed(queue_id, at, line, BOUNCED, fields)


def _failed(queue_id: str, at: int, line: str, status: str, fields: tuple[str, ...]) -> Attempt:
    final, original, router, transport, host, ip, tls, response = fields
    final, original = final_address(final, original)
    if not ip and status == DEFERRED and " H=" in response:
        placed = _ERROR_THEN_HOST.match(response)
        if placed:
            error, host, ip, words_behind = placed.groups()
            response = f"{error}: {words_behind}" if words_behind else error
    if " DT=" in response:
        response = _DELIVER_TIME.sub("", response)
    if "error " in response and ("error from remote mail server" in response or response.startswith("PRDR error ")):
        if not ip:
            named = _HOST_IN_TEXT.search(response)
            if named:
                host, ip = named.groups()
        words = SMTP_WORDS.match(response)
        if words:
            response = response[words.end() :]
    code, enhanced = _reply_codes(response[:12])
    if status == BOUNCED and code < 500:
        if response.endswith(_GIVEN_UP) or response.startswith(_LONG_FAILURE):
            status = EXPIRED
        elif response == "delivery cancelled by administrator":
            status = CANCELLED
        elif not ip and response.endswith("Message discarded."):
            status = DISCARDED  # cPanel's limits: nobody is told
    return Attempt(
        queue_id, at, line, status, True, final, original, code, enhanced, response, host, ip, tls, router, transport
    )


def final_address(final: str, original: str) -> tuple[str, str]:
    """The final address, and the one that it was made from where they differ, both lower-cased.

    Exim logs a local delivery with the bare local part, a quoted local part without its quotes, and a delivery into a
    pipe, a file or nowhere with the command or path: there the mailbox is the address that it was made from. For a far
    server without SMTPUTF8 it writes both parts of an address as ASCII.
    """
    final = final.lower()
    if not original:
        return final, ""
    original = original.lower()
    local, at_sign, domain = original.rpartition("@")
    if final in (local, original, "discarded") or final[0] in "|/>:" or final.startswith("save "):
        return original, ""
    if '"' in local:
        plain = exim_odd.plain_local(local)
        if final in (plain, f"{plain}@{domain}"):
            return original, ""
    if "@" not in final and at_sign:
        return f"{final}@{domain}", original
    if "xn--" in final and _to_unicode(final) == _to_unicode(original):
        return original, ""
    return final, original


def _to_unicode(address: str) -> str:
    return re.sub(r"(?<![^@.])xn--([\w-]++)(?![^@.])", _decode_label, address)


def _decode_label(found: re.Match[str]) -> str:
    try:
        return found[1].encode().decode("punycode")
    except UnicodeError:
        return found[0]


_READERS = {
    "<=": _arrival,
    "(=": _arrival,
    "=>": _delivery,
    "->": _delivery,
    ">>": _passed_on,
    "**": _failure,
    "==": _defer,
    "*>": _suppressed,
}
