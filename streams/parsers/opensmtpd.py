"""OpenSMTPD 5 to 7: the messages of smtpd → events. Pure; the head of the line is read by `syslog`.

The first half of an envelope's id is its message's id. OpenSMTPD logs the client with the connection, which has an id
of its own (here `s:` and the session's id), and the message's line names the connection. Strangers' words stand in
angle brackets that hold no blank, or at the end of a line. A command that could end in two places is not guessed.
"""

from __future__ import annotations

import re

from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, EXPIRED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import (
    CLIENT,
    ENVELOPE,
    FILTER,
    LOGIN,
    QUEUE,
    Arrival,
    Attempt,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Unreadable,
)
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.queue_ids import SESSION_PREFIX
from postwatch.streams.parsers.smtp import is_loopback, next_queue_id, reply_codes

_ADDRESS = r'<((?:"(?:[^"\\]++|\\.)*+")?+[^<>"\s]*+)>'
_SESSION = compiled(r"([0-9a-f]{16}) (smtp|mta|mda|bounce) (?:event=)?+([a-z-]++)(?: |$)")
_CONNECTED = compiled(r"address=(?P<address>\S++) host=(?P<host>\S++)(?: |$)")
_LOGIN = compiled(r"user=(?P<login>\S++)(?: address=\S++ host=\S++)?+ result=(?P<result>\w++)$")
"""Version 6.0 names the client once more."""
_MESSAGE = compiled(
    rf"(?:address=\S++ host=\S++ )?+msgid=([0-9a-f]{{8}}) (?:from={_ADDRESS} to={_ADDRESS} )?+"
    r"size=(\d++) n(?:rcpt|dest)=(\d++)(?: |$)"
)
_ENVELOPE = compiled(rf"evpid=([0-9a-f]{{8}})[0-9a-f]{{8}} from={_ADDRESS} to={_ADDRESS}$")
_DELIVERY = compiled(
    rf"evpid=([0-9a-f]{{8}})[0-9a-f]{{8}} from={_ADDRESS} to={_ADDRESS} (?:rcpt={_ADDRESS} )?+"
    r'(?:source="?+([^\s"]++)"?+ )?+'
    r'(?:relay="?+([^\s"]++)(?: \(([^\s"()]*+)\))?+"?+ )?+(?:user=\S++ )?+(?:method=\S++ )?+delay=\S++ '
    r'result="?+(\w++)"?+ stat="?+(.*)$'
)
"""Message, sender, final and original recipient, our address, address and name of the far server, result, words."""
_OLD_DELIVERY = compiled(
    rf"(\w++): (\w++) for ([0-9a-f]{{8}})[0-9a-f]{{8}}: (?:session=[0-9a-f]++, )?+from={_ADDRESS}, to={_ADDRESS}, "
    rf"(?:rcpt={_ADDRESS}, )?+(?:user=[^\s,]++, )?+(?:method=[^\s,]++, )?+(?:source=([^\s,]++), )?+"
    r"(?:relay=([^\s,]++)(?: \(([^\s,()]*+)\))?+, )?+delay=[^\s,]++, stat=(.*)$"
)
_OLD_SENT = compiled(r"smtp-out: session ([0-9a-f]{16}): evpid=([0-9a-f]{16}), status=(\w++), (from=<.*)$")
"""Version 5.7 alone; the rest is as in the other versions, behind the status."""
_OLD_MESSAGE = compiled(
    r"smtp-in: (?:Accepted message (?P<id>[0-9a-f]{8}) on session (?P<session>[0-9a-f]{16}): "
    r"|session (?P<session7>[0-9a-f]{16}): msgid=(?P<id7>[0-9a-f]{8}), status=Ok, )"
    rf"from={_ADDRESS}, (?:to={_ADDRESS}, )?+size=(\d++), n(?:dest|rcpts)=(\d++)(?:,|$)"
)
"""Of one recipient, with the number of addresses that it was expanded to; version 5.3 names none, and counts them."""
_OLD_SESSION = compiled(
    r"smtp-in: (?:New session (?P<id>[0-9a-f]{16}) from host (?P<host>\S++) \[(?P<ip>[^\]\s]++)\]"
    r"|session (?P<id7>[0-9a-f]{16}): connection from host (?P<host7>\S++) \[(?P<ip7>[^\]\s]++)\] established$)"
)
_OLD_CLOSING = compiled(
    r"smtp-in: (?:(?:Closing|Received disconnect from|Disconnecting|Ending) session ([0-9a-f]{16})"
    r"|session ([0-9a-f]{16}): connection from host \S++ \[[^\]\s]++\] closed \()"
)
_OLD_LOGIN = compiled(
    r"smtp-in: (?:Accepted authentication for user (?P<login>\S++) on session (?P<id>[0-9a-f]{16})$"
    r"|session (?P<id7>[0-9a-f]{16}): authentication successful for user (?P<login7>\S++) ?$)"
)
_COMMAND = compiled(rf'"(?:(RCPT TO)|MAIL FROM): ?{_ADDRESS}', re.IGNORECASE)
_RESULT = '" result="'
_OLD_FAILED = compiled(
    r"smtp-in: (?:Failed command on session ([0-9a-f]{16}): |session ([0-9a-f]{16}): received invalid command: )"
)
_OLD_RESULT = '" => '
_NEXT = compiled(r"250 2\.0\.0:? ([0-9a-f]{8}) Message accepted for delivery")

_STATUSES = {
    "Ok": DELIVERED,
    "TempFail": DEFERRED,
    "PermFail": BOUNCED,
    "Expire": EXPIRED,
    "Remove": CANCELLED,
}
_CLOSING = ("disconnected", "closed")

_CONNECTION = Ignored("connection")
_LOGIN_FAILED = Ignored("login-failed")
_REFUSED_COMMAND = Ignored("refused-command")
_OTHER = Ignored("other")
_ODD_ID = Unreadable("a message without an id that OpenSMTPD gives")
_WITHOUT_ID = compiled(
    r"(?:\S{1,64}+ )?(?:(?:mta|mda|bounce) (?:event=)?+delivery evpid=|"
    r"smtp (?:event=)?+(?:message|envelope) (?:msgid|evpid)=|"
    r"(?:mda|mta|relay|bounce): (?:Ok|\w*+Fail|Expire|Remove) for )"
)
"""A line about a message behind something that is no session, or with an envelope that is none."""


def parse_message(text: str, start: int, at: int, line: str) -> Parsed:
    """The message of smtpd, at `start` of `text` → what it means. Never raises."""
    found = _SESSION.match(text, start)
    if found is None:
        return _old(text, start, at, line)
    session, agent, word = found.groups()
    start = found.end()
    if word == "delivery":
        return _delivery(text, start, at, line, agent)
    if agent != "smtp":
        return _CONNECTION
    session = SESSION_PREFIX + session
    if word == "connected":
        return _connected(text, start, at, line, session)
    if word == "authentication":
        return _login(text, start, at, line, session)
    if word == "message":
        return _message(text, start, at, line, session)
    if word == "envelope":
        return _envelope(text, start, at, line)
    if word == "failed-command":
        return _failed_command(text, start, at, line, session)
    if word in _CLOSING:
        return LifecycleEvent(session, at, line, closes=True)
    return _CONNECTION


def _connected(text: str, start: int, at: int, line: str, session: str) -> Parsed:
    found = _CONNECTED.match(text, start)
    if found is None:
        return Unreadable("a connection whose fields make no sense")
    return _client(session, at, line, found["host"], found["address"])


def _client(session: str, at: int, line: str, host: str, address: str) -> Arrival:
    ip = "" if address == "local" else address.removeprefix("[").removesuffix("]").removeprefix("IPv6:")
    host = "" if host == "<unknown>" or not ip else host
    return Arrival(session, at, line, client_host=host, client_ip=ip, part=CLIENT)


def _login(text: str, start: int, at: int, line: str, session: str) -> Parsed:
    found = _LOGIN.match(text, start)
    if found is None:  # a name may hold blanks, and then words of ours
        return Unreadable("a login that can be read in two ways") if text.endswith(" result=ok") else _LOGIN_FAILED
    if found["result"] != "ok":
        return _LOGIN_FAILED
    return Arrival(session, at, line, authenticated_as=found["login"], part=LOGIN)


def _message(text: str, start: int, at: int, line: str, session: str) -> Parsed:
    found = _MESSAGE.match(text, start)
    if found is None:
        return Unreadable("an arrival whose fields make no sense")
    queue_id, sender, recipient, size, count = found.groups("")
    return _queued(queue_id, at, line, sender, recipient, size, count, session)


def _queued(
    queue_id: str, at: int, line: str, sender: str, recipient: str, size: str, count: str, session: str
) -> Parsed:
    """The arrival. A line that names a recipient is of him alone: the message has as many as there are such lines."""
    queued = Arrival(
        queue_id,
        at,
        line,
        sender="" if recipient else sender,
        size_bytes=int(size[:18]),
        part=QUEUE,
        recipient_count=1 if recipient else int(count[:9]),
        session_id=session,
    )
    if not recipient:
        return queued
    return [queued, Arrival(queue_id, at, line, sender=sender, recipients=(recipient.lower(),), part=ENVELOPE)]


def _envelope(text: str, start: int, at: int, line: str) -> Parsed:
    found = _ENVELOPE.match(text, start)
    if found is None:
        return Unreadable("an envelope whose fields make no sense")
    queue_id, sender, recipient = found.groups()
    return Arrival(queue_id, at, line, sender=sender, recipients=(recipient.lower(),), part=ENVELOPE)


def _delivery(text: str, start: int, at: int, line: str, agent: str) -> Parsed:
    found = _DELIVERY.match(text, start)
    if found is None:
        return Unreadable("a delivery whose fields make no sense")
    queue_id, _, to, rcpt, source, address, host, result, words = found.groups("")
    return _attempt(queue_id, at, line, agent, to, rcpt, source, address, host, result, words.removesuffix('"'))


def _attempt(
    queue_id: str,
    at: int,
    line: str,
    agent: str,
    to: str,
    rcpt: str,
    source: str,
    address: str,
    host: str,
    result: str,
    words: str,
) -> Parsed:
    status = _STATUSES.get(result)
    if status is None:
        return Unreadable("a delivery with a result that is not known")
    recipient = to.lower()
    original = "" if rcpt in ("", "-") or rcpt.lower() == recipient else rcpt.lower()
    code, enhanced = reply_codes(words)
    ip = _ip(address)
    if ip and ":" not in ip and not ip[-1].isdigit():  # of a domain none of whose servers was reached
        host, ip = host or ip, ""
    accepted = _NEXT.match(words)
    next_id = accepted[1] if accepted else next_queue_id(words) if status == DELIVERED else ""
    is_here = accepted is not None and is_loopback(ip)
    return Attempt(
        queue_id,
        at,
        line,
        status,
        recipient=recipient,
        original_recipient=original,
        smtp_code=code,
        enhanced_code=enhanced,
        response=words,
        remote_host="" if host == ip else host,
        remote_ip=ip,
        transport=agent,
        next_queue_id=next_id,
        handover=FILTER if is_here else "",
        is_expanded=bool(original),
        source_ip=_ip(source),
    )


def _ip(address: str) -> str:
    return address.removeprefix("[").removesuffix("]").removeprefix("IPv6:") if address != "-" else ""


def _failed_command(text: str, start: int, at: int, line: str, session: str) -> Parsed:
    place = text.find('command="', start, start + 200)
    if place < 0:
        return _REFUSED_COMMAND
    return _refused_command(text, place + len("command="), at, line, session, _RESULT)


def _refused_command(text: str, start: int, at: int, line: str, session: str, end: str) -> Parsed:
    """The command in quotes at `start`, and the answer behind `end`."""
    command = _COMMAND.match(text, start)
    if command is None:
        return _REFUSED_COMMAND
    place = text.find(end, command.end())
    if place < 0 or text.find(end, place + 1) >= 0:
        return Unreadable("a refusal that can be read in two ways")
    words = text[place + len(end) :].removesuffix('"' if end == _RESULT else "")
    code, enhanced = reply_codes(words)
    address = command[2]
    sender, recipient = ("", address.lower()) if command[1] else (address, "")
    return Refusal(
        session,
        at,
        line,
        sender=sender,
        recipient=recipient,
        smtp_code=code,
        enhanced_code=enhanced,
        response=words,
    )


def _refused_without_answer(text: str, start: int, at: int, line: str, session: str) -> Parsed:
    """A command that was refused; version 5.7 does not tell how."""
    command = _COMMAND.match(text, start)
    if command is None:
        return _REFUSED_COMMAND
    sender, recipient = ("", command[2].lower()) if command[1] else (command[2], "")
    return Refusal(session, at, line, sender=sender, recipient=recipient)


def _old(text: str, start: int, at: int, line: str) -> Parsed:
    """The forms of OpenSMTPD 5: `relay: Ok for ID: from=<>, to=<>, …`."""
    if text.startswith("smtp-in: ", start):
        opened = _OLD_SESSION.match(text, start)
        if opened is not None:
            opened_by = opened["id"] or opened["id7"]
            host, ip = opened["host"] or opened["host7"], opened["ip"] or opened["ip7"]
            return _client(SESSION_PREFIX + opened_by, at, line, host, ip)
        closing = _OLD_CLOSING.match(text, start)
        if closing is not None:
            return LifecycleEvent(SESSION_PREFIX + (closing[1] or closing[2]), at, line, closes=True)
        login = _OLD_LOGIN.match(text, start)
        if login is not None:
            session = SESSION_PREFIX + (login["id"] or login["id7"])
            return Arrival(session, at, line, authenticated_as=login["login"] or login["login7"], part=LOGIN)
        failed = _OLD_FAILED.match(text, start)
        if failed is not None:
            if failed[2]:
                return _refused_without_answer(text, failed.end(), at, line, SESSION_PREFIX + failed[2])
            return _refused_command(text, failed.end(), at, line, SESSION_PREFIX + failed[1], _OLD_RESULT)
        message = _OLD_MESSAGE.match(text, start)
        if message is not None:
            sender, recipient, size, count = message.groups("")[4:]
            queue_id, session = message["id"] or message["id7"], message["session"] or message["session7"]
            return _queued(queue_id, at, line, sender, recipient, size, count, SESSION_PREFIX + session)
        return _OTHER
    sent = _OLD_SENT.match(text, start)
    if sent is not None:  # as the other versions write it
        text, start = f"relay: {sent[3]} for {sent[2]}: session={sent[1]}, {sent[4]}", 0
    found = _OLD_DELIVERY.match(text, start)
    if found is None:
        return _ODD_ID if _WITHOUT_ID.match(text, start) else _OTHER
    agent, result, queue_id, _, to, rcpt, source, address, host, words = found.groups("")
    return _attempt(queue_id, at, line, agent, to, rcpt, source, address, host, result, words)


FORMAT: LogFormat = LogFormat(
    "opensmtpd",
    programs=("smtpd",),
    read_message=lambda header, line, stamps: parse_message(header.text, header.start, header.at, line),
)
