"""Exim's main log: lines → events (Exim specification, chapter "Log files", and what 4.92 to 4.99 really write).

Strangers write the HELO name, the Message-ID, the subject, local parts and the far server's answer, and Exim puts them
all in one line. So a line is read strictly from the left, with every field in its place and the whole line accounted
for. A line with a blank or a quote where none belongs goes to the ambiguous-line fallback (`ambiguous`). Nothing behind
`C="` or behind the colon of an error is ever read as a field.
"""

from __future__ import annotations

import re

import msgspec
from postwatch.producers.record import CUT_MARK
from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import IDENTITY, Arrival, Attempt, Ignored, LifecycleEvent, Parsed, Unreadable
from postwatch.streams.parsers.exim import ambiguous, rejections
from postwatch.streams.parsers.exim.attempts import (
    NO_ANSWER,
    answered,
    deferred,
    failed,
    final_address,
    mailbox_in,
    what_beside,
)
from postwatch.streams.parsers.exim.fast_path import (
    STAMP_LENGTH,
    read_arrival,
    read_delivery,
    read_end,
    read_refusal,
    read_try,
)
from postwatch.streams.parsers.exim.grammar import (
    ARRIVAL,
    DEFER,
    DEFER_TAIL,
    DELIVERY,
    DELIVERY_TAIL,
    FAILURE,
    FAILURE_TAIL,
    HEAD,
    QUOTED,
    whole_addresses,
)
from postwatch.streams.parsers.json_envelope import around_a_line
from postwatch.streams.parsers.log_format import LogFormat, ReadLine
from postwatch.streams.parsers.queue_ids import refusal_id
from postwatch.streams.parsers.smtp import reply_codes
from postwatch.streams.parsers.syslog import EXIM_OR_SYSLOG
from postwatch.streams.parsers.timestamps import StampReader

_CUT = CUT_MARK.decode()
_SHORT_ID_END = STAMP_LENGTH + len(" 1xXG51-000BAZ-16")
_LONG_ID_END = STAMP_LENGTH + len(" 1xXG51-0000000000B-1234")
"""Where the queue id ends behind the usual stamp: before Exim 4.97, and since."""
_SHORTEST = _LONG_ID_END + len(" =>")
"""Of lines with a flag: `Completed` ends there behind a short id."""
_BOM = "\ufeff"
STAMP = compiled(r"\d{4}-\d\d-\d\d \d\d:")
"""How Exim's stamps begin."""
_NO_STAMP_YET = "\n"
"""No line begins with it."""
NO_STAMP = Ignored("no-stamp")
_ARGUMENTS = Ignored("arguments")
_CALLED = " cwd="
_FROM_HOST = " H="
_CONNECTED = " SMTP connection from ["
_DISCARDED = ": discarded by "
_QUEUE_RUN = Ignored("queue-run")
_QUEUE_RUNS = ("Start queue run", "End queue run", "Start '", "End '")
_USUAL_QUEUE_RUNS = (" Start queue run: pid=", " End queue run: pid=")
_MOST_OF_QUEUE_RUN = 53
"""The fast path's. Longer lines have room for the words that `_unflagged` looks for first."""
_FROZEN = Ignored("frozen")
_FROZEN_WORDS = ("Frozen", "Unfrozen", "unfrozen by ", "Message is frozen")
HEADERS = Ignored("headers")
_HEADER = compiled(r"(?:[A-Z* ] [!-9;-~]++:|[ \t]|Envelope-(?:from|to): )")
"""What the reject log writes below an entry: each header behind a letter or a blank, so no header begins a line."""
_IDENTIFICATION = compiled(r"Sender identification U=([^\s=]++) D=[^\s=]++ S=")
_SHARED_USERS = frozenset(("nobody", "root", "mailnull"))
_NOT_IDENTIFIED = Ignored("sender-not-identified")
_REFUSED = Ignored("refused-session")
_NOTE = Ignored("note")
_TWO_WAYS = Unreadable("an address that can be read in two ways")
_SUPPRESSED = Ignored("suppressed-delivery")
_OTHER = Ignored("other")
_ODD_ID = Unreadable("a message without an id that Exim gives")
_WITHOUT_ID = compiled(
    r"(?:\S{1,40}+ )?(?:(?:<=|=>|->|>>|\*\*|==) \S++(?: <\S*+>)?+:? (?=[A-Z][\w*.]*+=|\S)|(?<= )Completed$)"
)
"""A line about a message behind something that is no id, or behind nothing."""
_DISCARDED_ALL = compiled(
    r"discarded \(system filter\)$|blackhole (?:\([^()]*discarded recipients\)(?:: .*)?|\*.*\* ?)$"
)
_DISCARDED_ONE_BY_ONE = ("blackhole (RCPT ACL ", "blackhole (MAIL ACL ")
"""Each of those recipients had a line of its own before, and the arrival lists none."""
_IGNORED_ORIGINALS = "original recipients ignored (system filter)"
_FILTER_FAILS = compiled(r"cancelled by system filter(?:$|: (.*))")
_FROZEN_BY = ("frozen by ", "Frozen by the system filter")
"""An ACL, an administrator or the system filter holds the message; without "by" an attempt's own line tells."""
_FROZEN_TOO_LONG = "cancelled by timeout_frozen_after"
"""Every open recipient goes back to the sender, so it is no administrator who took the message away."""
_PRDR = compiled(rf"PRDR R=<((?:{QUOTED})?+[^>]*+)> (acceptance|temporary refusal|refusal)$")
_PRDR_WORDS = compiled(rf"PRDR ({QUOTED}@[^\s\"<>]++|[^\s\"<>@]++@[^\s\"<>@]++)(?: (.*))?+$")
_ARRIVED = ("<=", "(=")
_TRUNCATED = "<trunc>"
"""Exim 4.99 ends an entry so that holds more recipients than its buffer does."""
_TAKEN_OFF = compiled(rf"address <((?:{QUOTED})?[^>]*)> marked delivered by ")
_MUA_WRAPPER = compiled(r"(?:(\S+) )?((?:mua_wrapper|routing yielded a) .*)$")
"""A program that hands over straight gets all or nothing (mua_wrapper), and Exim forgets the colon."""
_REFUSED_SESSION = compiled(
    r"(?:\S.* )?rejected (?:connection|[EH][EH]LO|AUTH|STARTTLS|ETRN|VRFY|EXPN|ATRN|DATA|BDAT|WELLKNOWN|XCLIENT)\b"
)


class EximMainParser:
    """Parses lines of one zone. Pure but for the cache of stamps."""

    def __init__(self, stamps: StampReader, *, is_alone: bool = True) -> None:
        self.stamps = stamps
        self.usual: dict[str, ReadLine] = {}
        self._stamp, self._at = _NO_STAMP_YET, 0
        """Of the line before, where its time is known whenever it was shipped: the next line often has the same."""
        self._is_alone = is_alone
        """Whether no other program writes into the same file: one whose stamps look like Exim's names itself."""

    def parse(self, line: str, tried: ReadLine | None = None) -> Parsed:
        """One line without its newline → what it means. Never raises."""
        return self.read(line) or read_header(line) or around_a_line(line) or NO_STAMP

    def read(self, line: str) -> Parsed | None:
        """None: the line does not begin with a stamp of Exim's."""
        if line.startswith(self._stamp):
            at = self._at
        elif line[10:11] != " ":  # behind the date
            return self.read(line[1:]) if line[:1] == _BOM and STAMP.match(line, 1) else None
        else:
            stamp = line[:STAMP_LENGTH]
            at = self.stamps.find(stamp)
            if at < 0:
                return self.read_any(line)
            self._stamp, self._at = stamp, at
        if len(line) >= _SHORTEST:
            id_end = _SHORT_ID_END if line[_SHORT_ID_END] == " " else _LONG_ID_END
            flag = line[id_end + 1]
            if flag == "=":
                flag = line[id_end + 2]
            if flag == ">" or flag == "-":  # a set would cost a look-up
                parsed = read_delivery(line, at)
            elif flag == "<":
                parsed = read_arrival(line, at)
            elif flag == "C":
                parsed = read_end(line, at)
            elif flag == "=" or flag == "*":
                parsed = read_try(line, at)
            else:
                parsed = None
            if parsed is not None:
                return parsed
        return _read_unflagged(line, at) or self.read_any(line)

    def read_any(self, line: str) -> Parsed | None:
        """As `read`, without the fast path; what a line comes to is the same."""
        head = HEAD.match(line)
        if head is None:
            return NO_STAMP if STAMP.match(line) and (self._is_alone or not EXIM_OR_SYSLOG.match(line)) else None
        second, fraction, offset, queue_id, flag = head.groups()
        if queue_id is None and not self._is_alone and EXIM_OR_SYSLOG.match(line):
            return None
        try:
            at = self.stamps.read(second, fraction, offset)
        except ValueError:
            return Unreadable("impossible time stamp")
        if flag == "Completed":
            return LifecycleEvent(queue_id, at, line, closes=True)
        if line.endswith(_TRUNCATED) and flag in _ARRIVED:
            return self._parse_truncated(line)
        read = _READERS.get(flag, _unflagged)
        parsed = read(line, head.end(), at, queue_id)
        if type(parsed) is Unreadable and line.endswith(_CUT):
            return self.parse_cut(line[: -len(_CUT)])
        return parsed

    def _parse_truncated(self, line: str) -> Parsed:
        """An arrival that Exim cut, which may be in the middle of an address or of an earlier field."""
        if line.rpartition(" ")[0].endswith(_TRUNCATED):
            return Unreadable("an arrival that was cut twice")
        parsed = self.parse_cut(line)
        return msgspec.structs.replace(parsed, line=line) if type(parsed) is Arrival else parsed

    def parse_cut(self, line: str) -> Parsed:
        """A line without its end: without its last word it may still be read; a quote may be left open."""
        kept = line.rpartition(" ")[0].removesuffix(" for")
        parsed = _without_guesses(kept, self.parse(kept))
        if isinstance(parsed, Unreadable):
            kept += '"'
            parsed = _without_guesses(kept, self.parse(kept))
        return parsed


def _read_unflagged(line: str, at: int) -> Parsed | None:
    """The fast path of lines without a flag, behind a stamp that is known."""
    if line.startswith(_CALLED, STAMP_LENGTH):
        return _ARGUMENTS
    if line.startswith(_USUAL_QUEUE_RUNS, STAMP_LENGTH) and len(line) < _MOST_OF_QUEUE_RUN:
        return _QUEUE_RUN
    if line.startswith(_FROM_HOST, STAMP_LENGTH):
        return read_refusal(line, at)
    if line.startswith(_CONNECTED, STAMP_LENGTH) and "rejected " not in line and _DISCARDED not in line:
        return _OTHER
    return None


def _without_guesses(line: str, parsed: Parsed) -> Parsed:
    """An arrival that was cut only as Exim usually writes it: a subject that stays open may look like any field."""
    if type(parsed) is not Arrival or parsed.part:
        return parsed
    head = HEAD.match(line)
    return parsed if head is not None and ARRIVAL.match(line, head.end()) is not None else _TWO_WAYS


def _unflagged(line: str, start: int, at: int, queue_id: str | None) -> Parsed:
    if queue_id is None and line.startswith("cwd=", start):
        return _ARGUMENTS
    if "rejected " in line:
        refusal = rejections.refusal(line, start, at, queue_id or refusal_id(line))
        if refusal is not None:
            return refusal
        if queue_id is None and "rejected RCPT <" in line and " Warning: " not in line:
            return Unreadable("a refusal whose fields make no sense")
        if _REFUSED_SESSION.match(line, start):
            return _REFUSED
    if _DISCARDED in line:
        discard = rejections.discard(line, start, at, queue_id or refusal_id(line))
        if discard is not None:
            return discard
    if queue_id is None:
        return _read_without_id(line, start)
    if line.startswith("removed by ", start):
        return LifecycleEvent(queue_id, at, line, CANCELLED, closes=True)
    if line.startswith("PRDR ", start):
        return _prdr(line, start, at, queue_id)
    if line.startswith("cancelled by ", start):
        filtered = _FILTER_FAILS.match(line, start)
        if filtered is not None:
            code, enhanced = reply_codes(filtered[1] or "")
            return LifecycleEvent(
                queue_id, at, line, BOUNCED, smtp_code=code, enhanced_code=enhanced, response=filtered[1] or ""
            )
        return LifecycleEvent(queue_id, at, line, EXPIRED if line.endswith(_FROZEN_TOO_LONG) else CANCELLED)
    if line.startswith(_IGNORED_ORIGINALS, start):
        return LifecycleEvent(queue_id, at, line, DISCARDED)
    if line.startswith(_FROZEN_BY, start):
        return LifecycleEvent(queue_id, at, line, DEFERRED)
    if line.startswith(_FROZEN_WORDS, start):
        return _FROZEN
    cancelled_recipients = _TAKEN_OFF.match(line, start)
    if cancelled_recipients is not None:
        return LifecycleEvent(queue_id, at, line, CANCELLED, recipient=cancelled_recipients[1].lower())
    if line.startswith("Sender identification ", start):
        return _identity(line, start, at, queue_id)
    return _NOTE


def _read_without_id(line: str, start: int) -> Parsed:
    if line.startswith(_QUEUE_RUNS, start):
        return _QUEUE_RUN
    return _ODD_ID if _WITHOUT_ID.match(line, start) else _OTHER


def _prdr(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """What the ACL for PRDR said of one recipient: Exim's own words, or those of the ACL, which may accept as well."""
    plain = _PRDR.match(line, start)
    if plain is not None:
        recipient, verdict = plain.groups()
        if verdict == "acceptance":
            return _NOTE
        code = 450 if verdict == "temporary refusal" else 550
        return LifecycleEvent(
            queue_id, at, line, REJECTED, recipient=recipient.lower(), smtp_code=code, response=verdict
        )
    told = _PRDR_WORDS.match(line, start)
    if told is None:
        return Unreadable("an answer by PRDR whose fields make no sense")
    recipient, words = told.groups("")
    code, enhanced = reply_codes(words)
    if 200 <= code < 300:
        return _NOTE
    return LifecycleEvent(
        queue_id,
        at,
        line,
        REJECTED,
        recipient=recipient.lower(),
        smtp_code=code or 550,
        enhanced_code=enhanced,
        response=words,
        is_claim=code == 0,
    )


def _identity(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """`Sender identification U=user D=domain S=sender`: cPanel tells the account, or `-remote-`."""
    found = _IDENTIFICATION.match(line, start)
    if found is None:
        return Unreadable("a sender identification whose fields make no sense")
    user = found[1]
    if user.startswith("-") or user in _SHARED_USERS:
        return _NOT_IDENTIFIED
    return Arrival(queue_id, at, line, system_user=user, part=IDENTITY)


def _suppressed(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """`*>`: exim -N went through the motions, and nothing was sent."""
    return _SUPPRESSED


def _arrival(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = ARRIVAL.match(line, start)
    if found is None:
        return ambiguous.arrival(line, start, at, queue_id)
    sender, parent, host, ip, user, method, login, size, message_id, subject, listed = found.groups("")
    recipients = whole_addresses(line, tuple(listed.lower().split(" "))) if listed else ()
    for recipient in recipients:
        if "@" not in recipient:
            return ambiguous.arrival(line, start, at, queue_id)
    return Arrival(
        queue_id,
        at,
        line,
        sender="" if sender == "<>" else sender,
        recipients=recipients,
        client_host=host,
        client_ip=ip,
        system_user="" if ip else user,
        auth_method=method,
        authenticated_as=login,
        size_bytes=int(size[:18]) if size.isdigit() else 0,
        message_id=message_id,
        subject=ambiguous.unescape(subject) if "\\" in subject else subject,
        parent_queue_id=parent,
    )


def _delivery(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = DELIVERY.match(line, start)
    if found is not None:
        fields = found.groups("")
        if '<"' in fields[-1] and ambiguous.is_repeated(line, start, found.end(1)):
            return _TWO_WAYS
    elif line.startswith(_DISCARDED_ONE_BY_ONE, start):
        return _NOTE
    elif _DISCARDED_ALL.match(line, start):
        return LifecycleEvent(queue_id, at, line, DISCARDED)
    else:
        found_fields = ambiguous.addressed(line, start, DELIVERY_TAIL)
        if found_fields is None:
            return Unreadable("a delivery whose fields make no sense")
        fields = found_fields
    final, original, router, transport, host, ip, source_ip, tls, answer = fields
    beside = what_beside(final)
    final, original = final_address(final, original)
    if transport and transport != "**bypassed**":
        status = DELIVERED
    elif router:
        status = DISCARDED  # :blackhole:, /dev/null, a filter's `seen finish`
    else:
        return Unreadable("a delivery without router and transport")
    code, enhanced, next_id, handover = answered(answer, ip) if answer else NO_ANSWER
    if "<" in answer[:12]:
        final, original = mailbox_in(answer, ip, transport, final, original)
    return Attempt(
        queue_id,
        at,
        line,
        status,
        recipient=final,
        original_recipient=original,
        smtp_code=code,
        enhanced_code=enhanced,
        response=answer,
        remote_host=host,
        remote_ip=ip,
        tls=tls,
        router=router,
        transport=transport,
        next_queue_id=next_id,
        handover=handover,
        beside=beside,
        source_ip=source_ip,
    )


def _passed_on(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """`>>`: delivered while it came in. An answer of several lines is logged as such, so its quote may stay open."""
    read = _delivery(line, start, at, queue_id)
    if type(read) is Unreadable:
        closed = _delivery(line + '"', start, at, queue_id)
        if type(closed) is Attempt:
            return msgspec.structs.replace(closed, line=line)
    return read


def _is_ambiguous(line: str, start: int, found: re.Match[str]) -> bool:
    """Whether the address may be a quoted local part of which the front looks like the whole line."""
    return '<"' in (found[found.re.groups] or "") and ambiguous.is_repeated(line, start, found.end(1))


def _defer(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = DEFER.match(line, start)
    if found is None or _is_ambiguous(line, start, found):
        fields = ambiguous.addressed(line, start, DEFER_TAIL)
    else:
        fields = found.groups("")
    if fields is None:
        if found is not None:
            return _TWO_WAYS
        return Unreadable("a deferral whose fields make no sense")
    return deferred(queue_id, at, line, fields)


def _failure(line: str, start: int, at: int, queue_id: str) -> Parsed:
    found = FAILURE.match(line, start)
    if found is None or _is_ambiguous(line, start, found):
        fields = ambiguous.addressed(line, start, FAILURE_TAIL)
    else:
        fields = found.groups("")
    if fields is None:
        if found is not None:
            return _TWO_WAYS
        wrapped = _MUA_WRAPPER.match(line, start)
        if wrapped is not None and wrapped[1]:
            return failed(queue_id, at, line, BOUNCED, (wrapped[1], "", "", "", "", "", "", "", wrapped[2]))
        if wrapped is not None:
            return LifecycleEvent(queue_id, at, line, BOUNCED)
        return Unreadable("a failure whose fields make no sense")
    return failed(queue_id, at, line, BOUNCED, fields)


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


def read_header(line: str) -> Ignored | None:
    """A header of a refused message, as the reject log lists them below the entry."""
    return HEADERS if _HEADER.match(line) else None


def _line_reader(stamps: StampReader) -> ReadLine:
    return EximMainParser(stamps, is_alone=False).read


MAIN: LogFormat = LogFormat("exim-main", line_reader=_line_reader, parser=EximMainParser)
REJECT: LogFormat = LogFormat("exim-reject", read_rest=read_header, parser=EximMainParser)
"""Entries of the main log, with headers below them; in a file of any format MAIN claims the entries."""
