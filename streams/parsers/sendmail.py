"""Sendmail 8: the messages of its daemons → events. Pure; the head of the line is read by `syslog`.

Sendmail does not log the end of a message, but it logs the number of recipients (`Arrival.recipient_count`). A line is
read from the left with the whole of it accounted for. A list of addresses is split at commas outside of quotes,
brackets and comments: a stranger's name is never read as a field. The far server's words stand only where a line ends.

A login is logged without a queue id, by the process that serves the connection. The number of the process ends the
queue ids of the messages that come in there, and `proto=ESMTPA` says that the client of a message has logged in.
"""

from __future__ import annotations

import re

from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import (
    FILTER,
    LINK,
    LOGIN,
    REPLY,
    Arrival,
    Attempt,
    Event,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Unreadable,
)
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.programs import what_runs
from postwatch.streams.parsers.queue_ids import LOGIN_PREFIX, REFUSAL_PREFIX, refusal_id
from postwatch.streams.parsers.smtp import ADDRESS, is_loopback, next_queue_id, reply_codes
from postwatch.streams.parsers.syslog import Header, process_before, process_of
from postwatch.streams.parsers.timestamps import StampReader

_ID = r"[0-9A-Za-z]{3,10}\d{5,7}"
_QUEUE_ID = compiled(rf"({_ID}|NOQUEUE): ")
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_WORDS = rf"(?:{_QUOTED}|<(?:{_QUOTED})?+[^<>\"]*+>|\([^()]*+\)|[^\",<>()]++)++"
_LIST = compiled(rf"to=({_WORDS}(?:,(?! ){_WORDS})*+)(?:,?+ \[more\])?+(?=, )")
_ONE_OF_LIST = compiled(_WORDS)
_IN_BRACKETS = compiled(rf"{_QUOTED}|<{ADDRESS}>")
_COMMENT = compiled(r"\([^()]*+\)")
_DELIVERY = compiled(
    rf"(?:, ctladdr=(?P<owner>{_WORDS}))?+, delay=[\d+:]++(?:, xdelay=[\d+:]++)?+(?:, mailer=(?P<mailer>[^\s,]++))?+"
    r"(?:, pri=-?+\d++)?+(?:, relay=(?P<relay>[^\s,]++)(?: \[(?P<ip>[^\]]*+)\])?+)?+"
    r"(?:, (?:quarantine=(?P<kept>[^,]*+)|(?:tls_verify|auth|ntries)=[^,]*+))*+(?:, dsn=(?P<enhanced>\d\.\d++\.\d++))?+"
    r"(?:, (?:quarantine|ntries)=[^,]*+)*+(?:, reply=(?P<reply>.*?)(?=, stat=))?+, stat=(?P<words>.*)$"
)
"""`owner`: the controlling user; `reply`: the far server's answer, since 8.16."""
_ARRIVAL = compiled(
    rf"from=({_WORDS}|<[^<>\",\s]{{190,}}+)?+, size=(\d++), class=-?+\d++, (?:pri=-?+\d++, )?+nrcpts=(\d++)(?=,|$)"
)
"""Sender, which is cut after 200 characters; size, number of recipients."""
_AFTER_ID = compiled(r"(?:, (?:bodytype|proto|daemon|tls_verify|auth|auth_ssf)=[^,\s]*+)*+$")
_CLIENT = compiled(
    r"(?:(?P<user>[^\s@\[\]]++)@)?+(?P<host>[^\s@\[\],]++)?+ ?+(?:\[(?:IPv6:)?+(?P<ip>[0-9A-Fa-f.:]++|RESPONSE)\])?+"
    r"(?P<forged> \(may be forged\))?+"
)
_LOGGED_IN = compiled(
    rf"AUTH=server, relay={_CLIENT.pattern}, authid=(?P<login>[^\s,]++), mech=(?P<method>[\w-]++), bits=\d++$"
)
_PROTO = compiled(r", proto=(\w++)(?=,|$)")
_NOTICE = compiled(rf"({_ID}): ((?:[A-Za-z]++ ){{0,3}}+[A-Za-z]++): ")
_BOUNCES = ("DSN", "return to sender", "postmaster notify")
_NO_FAILURES = ("Return receipt", "Warning: ")
_CLONE = compiled(rf"({_ID}): clone: owner=")
_SPLIT = compiled(rf"split: (?:[a-z]++=\d++, )++ids?+=({_ID}(?:; ?+{_ID})*+)$")
_RULESET = compiled(
    rf"ruleset=(?P<name>\w++), arg1=(?P<argument>{_WORDS})?+(?:, arg2=[^,\s]*+)?+, relay={_CLIENT.pattern}, "
    r"(?P<verdict>discard$|reject=(?P<words>.*)$)?+"
)
_MILTER = compiled(rf"Milter(?: \([^()]*+\))?+: (from|to|rcpt|data|eom|eoh|body|header)(?:=<{ADDRESS}>)?+, (.*)$")
_UNKNOWN_USER = compiled(rf"<(?P<recipient>{ADDRESS})>\.\.\. (?P<words>.*)$")
_NEXT = compiled(rf"({_ID}) Message accepted for delivery")
_STAT = ", stat="
_QUARANTINED = "quarantined"
"""Where a filter or a ruleset keeps the message back, until an administrator lets it go."""
_EXPIRED = ("Cannot send message for ", "Message could not be delivered for ")
_USER_UNKNOWN = "User unknown"
_MOST_RECIPIENTS = 1000
"""Sendmail cuts its lines at about a thousand bytes."""

_PROTOCOL = Ignored("protocol")
_LOGIN = Ignored("login")
_TLS = Ignored("tls")
_MILTER_NOTE = Ignored("milter")
_REFUSED_CLIENT = Ignored("refused-client")
_OTHER = Ignored("other")
_DELIVERY_LOST = Unreadable("a delivery whose fields make no sense")
_ARRIVAL_LOST = Unreadable("an arrival whose fields make no sense")
_ODD_ID = Unreadable("a message without a queue id that Sendmail gives")
_WITHOUT_ID = compiled(r"(?!NOQUEUE:)(?:\S{1,64}+ )?(?:to=.{1,4000}?, stat=|from=[^,]*+, size=\d)")
"""A line about a message behind something that is no id, or behind nothing."""
_REFUSAL_LOST = Unreadable("a refusal whose fields make no sense")


def read_message(header: Header, line: str, stamps: StampReader) -> Parsed:
    """The message of a daemon behind its head → what it means. Never raises."""
    text, start = header.text, header.start
    if text.startswith("AUTH=", start):
        return _login(text, start, header.at, line, process_of(header))
    return parse_message(text, start, header.at, line)


def parse_message(text: str, start: int, at: int, line: str) -> Parsed:
    """The message of a daemon, at `start` of `text` → what it means. Never raises."""
    found = _QUEUE_ID.match(text, start)
    queue_id = found[1] if found is not None else "NOQUEUE"
    start = found.end() if found is not None else start
    if queue_id == "NOQUEUE":
        queue_id = refusal_id(line) if text.startswith(("ruleset=", "Milter"), start) else ""
    elif text.startswith("to=", start):
        return _deliveries(text, start, at, line, queue_id)
    elif text.startswith("from=", start):
        return _arrival(text, start, at, line, queue_id)
    elif text.startswith("discarded", start):
        return LifecycleEvent(queue_id, at, line, DISCARDED, closes=True)
    if text.startswith("ruleset=", start):
        return _ruleset(text, start, at, line, queue_id)
    if text.startswith("Milter", start):
        return _milter(text, start, at, line, queue_id)
    if not queue_id:
        login = text.startswith("AUTH=", start)
        return _login(text, start, at, line, process_before(text, start)) if login else _without_id(text, start)
    if text.startswith("<", start):
        return _unknown_user(text, start, at, line, queue_id)
    clone = _CLONE.match(text, start)
    if clone is not None:
        return _made_of(queue_id, at, line, [clone[1]])
    split = _SPLIT.match(text, start)
    if split is not None:
        return _made_of(queue_id, at, line, split[1].replace(" ", "").split(";"))
    notice = _NOTICE.match(text, start)
    if notice is not None:
        return _notice(text, notice, at, line, queue_id)
    return _without_id(text, start)


def _login(text: str, start: int, at: int, line: str, process: str) -> Parsed:
    """Who logged in at a process, whose next messages are theirs; it is known for an hour, for no line ends it."""
    found = _LOGGED_IN.match(text, start)
    if not process or found is None or not found["ip"]:
        return _LOGIN
    key = _login_key(process, found["ip"])
    login = Arrival(key, at, line, auth_method=found["method"], authenticated_as=found["login"], part=LOGIN)
    return [login, LifecycleEvent(key, at, line, closes=True)]


def _login_key(process: str, ip: str) -> str:
    return f"{LOGIN_PREFIX}{int(process)}@{ip.lower()}"


def _without_id(text: str, start: int) -> Ignored | Unreadable:
    if text.startswith("STARTTLS", start):
        return _TLS
    if text.startswith(("--- ", "<-- ", "SMTP "), start):
        return _PROTOCOL
    return _ODD_ID if _WITHOUT_ID.match(text, start) else _OTHER


def _arrival(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    found = _ARRIVAL.match(text, start)
    if found is None:
        return _ARRIVAL_LOST
    sender, size, count = found.groups("")
    place = text.rfind(", relay=", found.end())  # what a Message-ID says stands before it
    words = text[found.end() : place] if place >= 0 else text[found.end() :]
    client = _CLIENT.fullmatch(text, place + 8) if place >= 0 else None
    if place >= 0 and client is None:
        return _ARRIVAL_LOST
    user, host, ip, forged = client.groups("") if client is not None else ("", "", "", "")
    is_local = host == "localhost" and not ip
    message_id, protocol = _names(words)
    has_login = protocol.endswith("A") and ip and queue_id[8:].isdecimal()
    arrival = Arrival(
        queue_id,
        at,
        line,
        sender=_address_of(sender),
        client_host="" if forged or is_local else host,
        client_ip="" if ip == "RESPONSE" else ip,
        system_user=user if is_local else "",
        size_bytes=int(size[:18]),
        message_id=message_id,
        recipient_count=int(count[:9]),
        session_id=_login_key(queue_id[8:], ip) if has_login else "",
    )
    # Where no recipient was taken, it tells of those that were refused, and no other line follows.
    return arrival if arrival.recipient_count else [arrival, LifecycleEvent(queue_id, at, line, closes=True)]


def _names(words: str) -> tuple[str, str]:
    """Message-ID and protocol. What a Message-ID says is no field: what follows it is read from the end."""
    end, message_id = 0, ""
    if words.startswith(", msgid="):
        end = len(words)
        for _ in range(6):  # the fields that may follow it
            place = words.rfind(", ", 8, end)
            if place < 0 or not _AFTER_ID.fullmatch(words, place, end):
                break
            end = place
        message_id = words[8:end]
    if message_id[:1] == "<" and message_id[-1:] == ">":
        message_id = message_id[1:-1]
    return message_id, (_PROTO.findall(words, end) or [""])[-1]


def _deliveries(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    listed = _LIST.match(text, start)
    found = _DELIVERY.match(text, listed.end()) if listed is not None else None
    if listed is None or found is None:
        return _DELIVERY_LOST
    owner, mailer, relay, address, kept, enhanced, reply, words = found.groups("")
    status = _status_beside_reply(mailer, enhanced, reply, words) if reply else _status(mailer, enhanced, words)
    if not status:
        return Unreadable("a delivery with a status that is not known")
    recipients = _ONE_OF_LIST.findall(listed[1])
    if len(recipients) > _MOST_RECIPIENTS:
        return Unreadable("more recipients than a line can name")
    if words == _QUARANTINED and not relay:
        status, words = DISCARDED, kept or words
    response = words.removeprefix("Deferred: ").removeprefix("Remote host said: ")
    if reply:
        response, enhanced = _told_of(status, enhanced, reply, words)
    if status == DELIVERED and words.startswith("Sent (") and words.endswith(")"):
        response = words[6:-1]
    code, _ = reply_codes(response)
    accepted = _NEXT.match(response)
    next_id = accepted[1] if accepted else next_queue_id(response) if address and status == DELIVERED else ""
    address = address.removeprefix("IPv6:")
    is_here = accepted is not None and is_loopback(address)
    original = _address_of(owner).lower() if "<" in owner else ""
    attempts: list[Event] = []
    for name in recipients:
        recipient = _address_of(name).lower()
        beside = ""
        is_made = "<" not in name and "<" in owner
        if is_made and mailer == "prog" and what_runs(name) == REPLY:
            recipient, beside = original, REPLY
        elif is_made and recipient.startswith("\\"):
            recipient = _own_mailbox(recipient.lstrip("\\"), original)
            is_made = recipient != original
        attempts.append(
            Attempt(
                queue_id,
                at,
                line,
                DISCARDED if status == DELIVERED and recipient == "/dev/null" else status,
                is_attempt=words != "queued",
                recipient=recipient,
                original_recipient=original if is_made and original != recipient else "",
                smtp_code=code,
                enhanced_code=enhanced,
                response=response,
                remote_host="" if relay.startswith("[") or (not address and mailer in _LOCAL) else relay.rstrip("."),
                remote_ip=address,
                transport=mailer,
                next_queue_id=next_id,
                handover=FILTER if is_here and ("@" in recipient or mailer == _SUBMITS) else "",
                is_expanded=is_made or ("<" not in name and not owner and mailer != _SUBMITS),
                is_original_unsure=is_made and not beside,
                beside=beside,
            )
        )
    return attempts[0] if len(attempts) == 1 else attempts


def _own_mailbox(name: str, owner: str) -> str:
    """The mailbox of `\\ann`, which no alias and no forward changes further, in the owner's `.forward` or an alias."""
    return owner if owner.rpartition("@")[0] == name else name


_SUBMITS = "relay"
"""The mailer of the submission program, which knows no aliases and names recipients as they were given to it."""
_LOCAL = ("local", "prog", "*file*", "*include*", "lmtp", "cyrusv2")


def _status(mailer: str, enhanced: str, words: str) -> str:
    """Empty: the words and the code do not tell."""
    if words.startswith("Sent") and enhanced[:1] in ("", "2"):
        return DELIVERED
    if words == "queued" or words.startswith("Deferred") or enhanced[:1] == "4":
        return DEFERRED if mailer else REJECTED
    if words.startswith(_EXPIRED):
        return EXPIRED
    if not mailer:
        return REJECTED  # a filter's word about the whole message, before it was accepted
    return BOUNCED if enhanced[:1] in ("", "5") else ""


def _status_beside_reply(mailer: str, enhanced: str, reply: str, words: str) -> str:
    """What the words say, for code and answer may be left over from another recipient of the same connection.

    Where an answer, or the words, quote words like them, only Sendmail's code counts, which stands before both.
    """
    if not mailer:
        return REJECTED
    if _STAT in words:
        return {"2": DELIVERED, "4": DEFERRED, "5": BOUNCED}.get((enhanced or reply)[:1], "")
    return DEFERRED if words.startswith("Deferred") else _status(mailer, enhanced, words)


def _told_of(status: str, enhanced: str, reply: str, words: str) -> tuple[str, str]:
    """The answer and the code that go with the status."""
    kind = "4" if status == DEFERRED else "5"
    response = reply if reply[:1] == kind else words.removeprefix("Deferred: ")
    return response, enhanced if enhanced[:1] == kind else ""


def _address_of(name: str) -> str:
    """The address in a name as it was written: `"A, B" <a@b.example>`, `<a@b.example>` or bare."""
    found = [match[1] for match in _IN_BRACKETS.finditer(name) if match[1] is not None] if "<" in name else []
    return found[-1] if found else _COMMENT.sub("", name).strip().removeprefix("<")


def _notice(text: str, found: re.Match[str], at: int, line: str, queue_id: str) -> Parsed:
    """`ID: NEW: DSN: User unknown`: a bounce, a warning or a receipt was made of the message.

    A bounce is an attempt without a recipient. It counts where no line names whom it is about (an alias that loops).
    """
    made = Arrival(found[1], at, line, parent_queue_id=queue_id, recipient_count=1)
    if text.startswith(_EXPIRED, found.end()):
        return [LifecycleEvent(queue_id, at, line, EXPIRED, closes=True), made]
    if found[2] in _BOUNCES and not text.startswith(_NO_FAILURES, found.end()):
        return [Attempt(queue_id, at, line, BOUNCED, response=text[found.end() :]), made]
    return made


def _made_of(queue_id: str, at: int, line: str, made: list[str]) -> list[Event]:
    """Further envelopes of the same message: for a list with an owner, or for the recipients above a limit."""
    links = [Arrival(one, at, line, part=LINK, earlier_queue_id=queue_id) for one in made]
    return [LifecycleEvent(queue_id, at, line), *links]


def _ruleset(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    found = _RULESET.match(text, start)
    if found is None:
        return _REFUSAL_LOST
    fields = found.groupdict("")
    verdict = fields["verdict"]
    if not verdict:
        return _OTHER
    if fields["name"] not in ("check_rcpt", "check_mail", "check_compat"):
        return _REFUSED_CLIENT
    address = _address_of(fields["argument"])
    sender, recipient = (address, "") if fields["name"] == "check_mail" else ("", address.lower())
    client = ("" if fields["forged"] else fields["host"], fields["ip"])
    if verdict == "discard" and recipient and not queue_id.startswith(REFUSAL_PREFIX):
        return Attempt(queue_id, at, line, DISCARDED, recipient=recipient)
    return _refusal(queue_id, at, line, sender, recipient, fields["words"], client, is_discard=verdict == "discard")


def _milter(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    found = _MILTER.match(text, start)
    if found is None:
        return _MILTER_NOTE
    stage, address, verdict = found.groups("")
    if stage in ("from", "to", "rcpt"):
        if verdict.startswith("reject="):
            sender, recipient = (address, "") if stage == "from" else ("", address.lower())
            return _refusal(queue_id, at, line, sender, recipient, verdict[7:], ("", ""))
        return _MILTER_NOTE
    if verdict == "discard":
        return LifecycleEvent(queue_id, at, line, DISCARDED, closes=True)
    return _MILTER_NOTE  # lines about each recipient follow it


def _unknown_user(text: str, start: int, at: int, line: str, queue_id: str) -> Parsed:
    found = _UNKNOWN_USER.match(text, start)
    if found is None:
        return _OTHER
    words = found["words"]
    if words.startswith(_USER_UNKNOWN):
        words = f"550 5.1.1 {words}"
    return _refusal(queue_id, at, line, "", found["recipient"].lower(), words, ("", ""))


def _refusal(
    queue_id: str,
    at: int,
    line: str,
    sender: str,
    recipient: str,
    words: str,
    client: tuple[str, str],
    is_discard: bool = False,
) -> Refusal:
    code, enhanced = reply_codes(words)
    return Refusal(
        queue_id,
        at,
        line,
        sender=sender,
        recipient=recipient,
        client_host=client[0],
        client_ip=client[1],
        smtp_code=code,
        enhanced_code=enhanced,
        response=words,
        status=DISCARDED if is_discard else REJECTED,
        awaits_arrival=not queue_id.startswith(REFUSAL_PREFIX),
    )


FORMAT: LogFormat = LogFormat(
    "sendmail",
    programs=("sendmail", "sm-mta", "sm-msp-queue", "sm-msp", "sm-queue"),
    read_message=read_message,
)
