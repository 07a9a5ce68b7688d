"""Postfix: the messages of its daemons → events. Pure; the head of the line is read by `syslog`.

A message's arrival is told in parts: smtpd or pickup name who handed it in, cleanup its Message-ID, qmgr its sender.
What strangers wrote, local parts, subjects, HELO names and the far server's answer, stands in the same lines: a line is
read from the left with the whole of it accounted for, and where two readings fit, it is not guessed.
"""

from __future__ import annotations

import email.errors
import email.header
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.parsers.events import (
    ASIDE,
    CLIENT,
    FILTER,
    FILTERED,
    FORWARD,
    HELD,
    KEPT,
    LOGIN,
    MESSAGE_ID,
    ON_HOLD,
    OWN_NOTICE,
    PARENT,
    PROXIED,
    QUEUE,
    REPLY,
    SUBJECT,
    TOLD,
    WAITS,
    Arrival,
    Attempt,
    Event,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Step,
    Unreadable,
)
from postwatch.streams.parsers.postfix.filters.proxied import PROXY, read_proxied
from postwatch.streams.parsers.postfix.grammar import (
    ACTION,
    CLIENT_FIELDS,
    CLIENT_LINE,
    CLIENT_NAME,
    COMMAND,
    DELIVERY,
    ENCRYPTED,
    ENDING_SUBJECT,
    FOLD,
    HEADER_TAIL,
    NOTICE,
    ODD_ID,
    ORIGIN,
    PASSAGE,
    PICKUP,
    QUEUE_ID,
    QUEUED,
    SAID,
    SAVED,
    SUBJECT_LINE,
    TAIL,
    TAIL_START,
    VERDICT,
    WHOLE_ID,
)
from postwatch.streams.parsers.programs import is_reply_service, what_runs
from postwatch.streams.parsers.queue_ids import (
    DOVECOT_PREFIX,
    HOLDS_ID,
    LOGIN_PREFIX,
    PASSAGE_PREFIX,
    answers_of,
    refusal_id,
    rspamd_passage,
)
from postwatch.streams.parsers.smtp import (
    ENHANCED,
    codes_of,
    is_loopback,
    is_near,
    named_mailbox,
    next_queue_id,
    reply_codes,
)
from postwatch.streams.parsers.syslog import process_before

_STATUSES = {
    "sent": DELIVERED,
    "bounced": BOUNCED,
    "deferred": DEFERRED,
    "expired": EXPIRED,
    "SOFTBOUNCE": DEFERRED,
}
_PROBES = ("deliverable", "undeliverable")
_SUSPENDED = "delivery temporarily suspended"
_FORWARDED = "forwarded as "
_RUNS_PROGRAMS = ("local", "pipe")
_FILE_WORDS = ("delivered to file: ", "cannot append message to file ", "mail to file is restricted")
_OF_MAIL = ("MAIL", "RCPT", "DATA", "BDAT", "END-OF-MESSAGE")
"""Commands that are about a message; a sender that stands behind another one is a stranger's words."""
_REPLY_FILTER = "reply filter "
_MOST_SUBJECT = 1000
_MOST_OF_HEADER = 1500
"""Postfix shows 200 bytes of a header, then whom it came from."""
_CLEANUP_REPLY = 550

CONNECT = Ignored("connect")
DISCONNECT = Ignored("disconnect")
_OTHER = Ignored("other")
_ODD_ID = Unreadable("a message without a queue id that Postfix gives")
_REPEATED = Ignored("repeated")
_NOTE = Ignored("note")
_PROBE = Ignored("probe")
_WARNING = Ignored("warning")
_REFUSED_CLIENT = Ignored("refused-client")

Reader = Callable[[str, int, int, str, str], Parsed]
"""Text, start of the words behind the queue id, time, line, queue id."""


def parse_message(program: str, text: str, start: int, at: int, line: str, process: str = "") -> Parsed:
    """The message of a Postfix daemon, at `start` of `text` → what it means. Never raises.

    `process`: its number, where that does not stand in front of the message.
    """
    agent = agent_of(program)
    found = QUEUE_ID.match(text, start)
    if found is None:
        return parse_without_id(text, start, at, line, process, agent)
    return parse_with_id(agent, text, found.end(), at, line, found[1])


def agent_of(program: str) -> str:
    """postfix/submission/smtpd → smtpd."""
    return program[program.rindex("/") + 1 :]


def parse_with_id(agent: str, text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    """The words of a daemon behind a queue id."""
    if text.startswith("to=", start):
        return _delivery(text, start, at, line, queue_id, agent)
    reader = _READERS.get(agent)
    return reader(text, start, at, line, queue_id) if reader is not None else _NOTE


def parse_without_id(text: str, start: int, at: int, line: str, process: str = "", agent: str = "") -> Parsed:
    """The words of a daemon that are about no queue id."""
    if text.startswith("connect from ", start):
        return CONNECT
    if text.startswith("disconnect from ", start):
        return DISCONNECT
    if text.startswith("NOQUEUE: ", start):
        if PROXY.match(text, start):
            return read_proxied(text, start, at, line, process)
        if text.startswith("client=", start + 9):
            return _client_of_process(text, start, at, line, process)
        answers_id = answers_of("", process or process_before(text, start)) if agent == "smtpd" else ""
        if answers_id and text.startswith(_REPLY_FILTER, start + 9):
            return _changed_answer(text, start + 9, at, line, answers_id)
        return _action(text, start + 9, at, line, refusal_id(line), False, answers_id)
    if text.startswith(("lost connection ", "timeout "), start):
        return DISCONNECT
    if text.startswith(("message repeated ", "last message repeated "), start):
        return _REPEATED
    if text.startswith("proxy-", start):
        return read_proxied(text, start, at, line, process)
    if text.startswith("warning: ", start):
        return _WARNING
    return _ODD_ID if ODD_ID.match(text, start) else _OTHER


def _smtpd(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    if not text.startswith("client=", start):
        if text.startswith(_REPLY_FILTER, start):
            return _changed_answer(text, start, at, line, answers_of(queue_id, ""))
        return _action(text, start, at, line, queue_id, False, answers_of(queue_id, ""))
    found = CLIENT_LINE.match(text, start)
    if found is None:
        return Unreadable("a client whose fields make no sense")
    host, ip, rest = found.groups()
    earlier = method = login = ""
    for field in CLIENT_FIELDS.split(f", {rest}")[1:] if rest else ():
        name, _, value = field.partition("=")
        if name == "orig_client":
            original = CLIENT_NAME.fullmatch(value)
            if original is not None:
                host, ip = original.groups()
                earlier = earlier or PROXIED
        elif name == "orig_queue_id":
            earlier = value if WHOLE_ID.match(value) else earlier
        elif name == "sasl_method":
            method = value
        elif name == "sasl_username":
            login = login or value
        else:  # sasl_sender: whoever logged in says what stands there
            break
    return Arrival(
        queue_id,
        at,
        line,
        client_host="" if host == "unknown" != ip else host,  # with neither, it is still a client
        client_ip="" if ip == "unknown" else ip,
        auth_method=method,
        authenticated_as=login,
        part=CLIENT,
        earlier_queue_id=earlier,
    )


def _client_of_process(text: str, start: int, at: int, line: str, process: str) -> Parsed:
    """Whom a process serves whose filter asks before the queue: the next message that it hands over is theirs."""
    process = process or process_before(text, start)
    client = _smtpd(text, start + 9, at, line, LOGIN_PREFIX + process) if process else _NOTE
    if not isinstance(client, Arrival):
        return client
    return [
        msgspec.structs.replace(client, part=LOGIN, earlier_queue_id=""),
        LifecycleEvent(client.queue_id, at, line, closes=True),
    ]


def _pickup(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    found = PICKUP.match(text, start)
    if found is None:
        return Unreadable("a local submission whose fields make no sense") if text.startswith("uid=", start) else _NOTE
    # The sender is what the user said; only the number is what the system knows.
    return Arrival(
        queue_id, at, line, system_user=f"uid{found['uid']}", part=CLIENT, earlier_queue_id=found["earlier"] or ""
    )


def _cleanup(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    if text.startswith("removed (", start):
        return _removed(text, start, at, line, queue_id)
    if text.startswith("message-id=", start):
        message_id = text[start + 11 :]
        if message_id[:1] == "<" and message_id[-1:] == ">":
            message_id = message_id[1:-1]
        return Arrival(queue_id, at, line, message_id=message_id, part=MESSAGE_ID)
    subject = SUBJECT_LINE.match(text, start)
    if subject is not None:
        ends = [origin.start() for origin in ORIGIN.finditer(text, subject.end())]
        if ends:
            return Arrival(queue_id, at, line, subject=_subject(text, subject.end(), ends[-1]), part=SUBJECT)
        return _NOTE
    return _action(text, start, at, line, queue_id, True, answers_of(queue_id, ""))


def _subject(text: str, start: int, end: int) -> str:
    return _decode_subject(text[start:end].lstrip(" "))


def _decode_subject(subject: str) -> str:
    """Words of RFC 2047 as people read them."""
    subject = subject[:_MOST_SUBJECT]
    if "=?" not in subject:
        return subject
    subject = FOLD.sub(" ", subject)
    try:
        return str(email.header.make_header(email.header.decode_header(subject)))
    except (ValueError, LookupError, email.errors.HeaderParseError):
        return subject


def _qmgr(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    if text.startswith("removed", start):
        return _removed(text, start, at, line, queue_id)
    found = QUEUED.match(text, start)
    if found is None:
        return Unreadable("a sender whose fields make no sense") if text.startswith("from=", start) else _NOTE
    sender, bare, size, expired = found.groups()
    if expired:
        return LifecycleEvent(queue_id, at, line, EXPIRED)
    return Arrival(queue_id, at, line, sender=(sender or bare or "").rstrip(" "), size_bytes=int(size[:18]), part=QUEUE)


_REMOVED = {"removed (canceled)": CANCELLED, "removed (discarded)": DISCARDED}
"""What cleanup says since Postfix 3.10 of a message that the queue never saw."""


def _removed(text: str, start: int, at: int, line: str, queue_id: str) -> LifecycleEvent:
    status = _REMOVED.get(text[start:], "")
    return LifecycleEvent(queue_id, at, line, status, closes=True, is_before_queue=status != "")


def _bounce(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    found = NOTICE.match(text, start)
    if found is None:
        return _NOTE
    is_own = text.startswith("postmaster ", start)  # sent as double-bounce@, so that it is never bounced itself
    return Arrival(found[1], at, line, sender=OWN_NOTICE if is_own else "", parent_queue_id=queue_id, part=PARENT)


def _postsuper(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    return LifecycleEvent(queue_id, at, line, CANCELLED, closes=True) if text[start:] == "removed" else _NOTE


def _changed_answer(text: str, start: int, at: int, line: str, answers_id: str) -> Parsed:
    """`reply filter in: ANSWER`, then `reply filter out: ANSWER`, behind the refusal (smtpd_reject_filter_maps)."""
    start += len(_REPLY_FILTER)
    for kind, word in ((FILTERED, "in: "), (TOLD, "out: ")):
        if text.startswith(word, start):
            return Step(answers_id, at, line, kind, text[start + len(word) :])
    return _NOTE


def _refusing(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    return _action(text, start, at, line, queue_id, False)


_READERS: dict[str, Reader] = {
    "smtpd": _smtpd,
    "postscreen": _refusing,
    "pickup": _pickup,
    "cleanup": _cleanup,
    "qmgr": _qmgr,
    "nqmgr": _qmgr,
    "bounce": _bounce,
    "postsuper": _postsuper,
}


def _delivery(text: str, start: int, at: int, line: str, queue_id: str, agent: str) -> Parsed:
    found = DELIVERY.match(text, start)
    if found is None:
        return Unreadable("a delivery whose fields make no sense")
    to, bare, original, bare_original, *rest = found.groups("")
    return read_attempt(queue_id, at, line, agent, (to or bare, original or bare_original, *rest))


def read_attempt(queue_id: str, at: int, line: str, agent: str, fields: tuple[str, ...]) -> Parsed:
    """The fields of a delivery's line (as in DELIVERY, each address once) → what it came to. On the fast path."""
    to, original, relay, address, tls, enhanced, word, words = fields
    status = _STATUSES.get(word)
    if status is None:
        return _PROBE if word.startswith(_PROBES) else Unreadable("a delivery with a status that is not known")
    if tls and not ENCRYPTED.match(tls):
        tls = ""
    words = words.removesuffix(")")
    recipient = to.lower()
    submitted = original.lower()
    response = words
    if words.startswith(("host ", "SASL ")):
        said = SAID.match(words)
        if said is not None:
            response = words[said.end() :]
            if said[1]:
                enhanced = ""  # Postfix changes its class, so that the login is tried again
    code, told_enhanced = codes_of(response)
    is_socket = "/" in address
    next_id = handover = passage_id = ""
    if status == DELIVERED:
        is_here = is_socket or is_loopback(address)
        verdict = VERDICT.match(response) if is_here else None
        if agent == "discard":
            status = DISCARDED
        elif verdict is not None:
            status = BOUNCED if verdict["bounce"] else DISCARDED
            passage_id = PASSAGE_PREFIX + verdict["passage"] if verdict["passage"] else ""
        elif agent == "local" and response.startswith(_FORWARDED):
            next_id, handover = response[len(_FORWARDED) :], FORWARD
        elif address:
            next_id = next_queue_id(response)
            if is_here and WHOLE_ID.match(next_id):
                handover = FILTER
            elif is_here and (passage := PASSAGE.match(response)):
                handover, passage_id = FILTER, PASSAGE_PREFIX + passage[1]
    beside = _what_beside(agent, relay, words) if agent in _RUNS_PROGRAMS else ""
    if beside == REPLY and submitted and agent == "pipe":
        recipient = submitted  # PostfixAdmin: an address of its own, which only the alias knows
    if agent == "lmtp" and "<" in response[:12] and not next_id and not handover and (is_socket or is_near(address)):
        recipient, submitted = named_mailbox(response, recipient, submitted)
        if status == DELIVERED and (saved := SAVED.match(response)):
            passage_id = DOVECOT_PREFIX + saved[1]
    return Attempt(
        queue_id, at, line, status, not words.startswith(_SUSPENDED),
        recipient, submitted if submitted != recipient else "",
        code, enhanced or told_enhanced, response,
        relay if address else "", "" if is_socket else address, tls, "", agent, next_id, handover, False, passage_id,
        "", "", beside,
    )  # fmt: skip


def _what_beside(agent: str, service: str, words: str) -> str:
    """ASIDE or REPLY for a command or a file beside a mailbox, or for a service that answers; see Attempt.beside."""
    if agent == "pipe":
        return REPLY if is_reply_service(service) else ""
    if words.startswith(_FILE_WORDS):
        return ASIDE
    command = COMMAND.match(words)
    if command is None:
        return ""
    return what_runs(command[1]) if command[1] else ASIDE


def _action(text: str, start: int, at: int, line: str, queue_id: str, by_cleanup: bool, answers_id: str = "") -> Parsed:
    """`reject: RCPT from host[ip]: 550 5.1.1 …; from=<> to=<> proto=ESMTP helo=<>` and its like."""
    opening = ACTION.match(text, start)
    if opening is None:
        return _NOTE
    action, command, host, ip = opening.groups("")
    if command and command not in _OF_MAIL:
        return _REFUSED_CLIENT
    find_tails = _command_tails if command else _header_tails
    tails = list(itertools.islice(find_tails(text, opening.end()), 2))
    if len(tails) > 1:
        return Unreadable("a refusal that can be read in two ways")
    if not tails:
        is_lost = TAIL_START.search(text, opening.end()) is not None
        return Unreadable("a refusal whose fields make no sense") if is_lost else _REFUSED_CLIENT
    tail = tails[0]
    if tail.sender is None:
        return _REFUSED_CLIENT
    if not command:
        host, ip = tail.host, tail.ip
    response = tail.reply or text[opening.end() : tail.end]
    enhanced = ENHANCED.match(response)
    code, _ = reply_codes(response)
    discards = action.endswith("discard")
    has_id = not text.startswith("NOQUEUE", start - 9)
    is_by_milter = has_id and command == "END-OF-MESSAGE" and action.startswith("milter-")
    named = ENDING_SUBJECT.match(text, start)
    subject = _subject(text, named.end(), tail.begins) if named is not None else ""
    if action.endswith("hold"):
        if not has_id:
            return _waits(at, line, tail, ip, answers_id)
        return _held(queue_id, at, line, tail, subject, is_by_milter)
    is_of_content = has_id and (by_cleanup or command == "END-OF-MESSAGE")
    return Refusal(
        queue_id,
        at,
        line,
        sender=tail.sender,
        recipient=tail.recipient.lower(),
        client_host="" if host == "unknown" else host,
        client_ip="" if ip == "unknown" else ip,
        smtp_code=code or (0 if discards else _reply_code(enhanced[1] if enhanced else "")),
        enhanced_code=enhanced[1] if enhanced else "",
        response=response,
        status=DISCARDED if discards else REJECTED,
        closes=is_of_content or (has_id and discards),
        passage_id=rspamd_passage(queue_id) if is_by_milter else "",
        answers_id="" if discards else answers_id,
        has_content=is_of_content,
        subject=subject,
    )


def _held(queue_id: str, at: int, line: str, tail: _Tail, subject: str, is_by_milter: bool) -> list[Event]:
    """A message on hold shows in no line of qmgr's; this one names its sender and its last recipient.

    Where a milter had it put there, rspamd's own line may name them all, and say that it is quarantined.
    """
    recipient = tail.recipient.lower()
    waits = Attempt(queue_id, at, line, DEFERRED, is_attempt=False, recipient=recipient, response=ON_HOLD)
    sender = tail.sender or ""
    kept = Arrival(queue_id, at, line, sender=sender, part=KEPT, session_id=rspamd_passage(queue_id))
    return [
        Arrival(queue_id, at, line, sender=sender, subject=subject, part=HELD),
        *((waits,) if recipient else ()),
        *((kept,) if is_by_milter else ()),
    ]


def _waits(at: int, line: str, tail: _Tail, ip: str, answers_id: str) -> Parsed:
    """A hold of a message that has no queue id yet: the process tells which one it becomes."""
    process = answers_id.rpartition(" ")[2]
    if not process:
        return _NOTE
    return Arrival(
        HOLDS_ID,
        at,
        line,
        sender=tail.sender or "",
        recipients=(tail.recipient.lower(),) if tail.recipient else (),
        client_ip="" if ip == "unknown" else ip,
        part=WAITS,
        session_id=process,
    )


def _reply_code(enhanced: str) -> int:
    return 450 if enhanced.startswith("4") else _CLEANUP_REPLY


class _Tail(NamedTuple):
    """Where a refusal's own words end, and what Postfix says behind them."""

    end: int
    sender: str | None
    recipient: str
    reply: str
    host: str = ""
    ip: str = ""
    begins: int = 0
    """Where the header ends and what Postfix says begins."""


def _command_tails(text: str, start: int) -> Iterator[_Tail]:
    """Each place from which the rest of the line reads as sender and recipient; more than one is a forgery."""
    is_closed = text.endswith(">")
    for place in TAIL_START.finditer(text, start):
        tail = TAIL.match(text, place.start())
        if tail is not None and (is_closed or tail.end() == len(text)):
            yield _Tail(place.start(), tail[1], tail[2] or "", "")


def _header_tails(text: str, start: int) -> Iterator[_Tail]:
    """The same behind a line of the message, where Postfix also says whom it came from."""
    for origin in ORIGIN.finditer(text, start, start + _MOST_OF_HEADER):
        tail = HEADER_TAIL.match(text, origin.end())
        if tail is not None:
            recipient, reply = tail.groups("")[1:]
            host, ip = origin.groups("")
            yield _Tail(origin.end(), tail[1], recipient, reply, host, ip, origin.start())
