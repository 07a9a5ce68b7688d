"""OpenSMTPD's log lines with a stranger's words in one field; what can't be printed is escaped (`strnvis`)."""

from __future__ import annotations

import random
import re

from tests.streams.parsers.hostile import Hostile, Template

_SESSION = "5df87c903d709601"
_OF_SESSION = f"s:{_SESSION}"
_ID = "c405e301"
_ANNA, _PAUL = "anna@bakery.example", "paul@customer.example"
_ENVELOPE = f"evpid={_ID}d6bbc64f from=<{_ANNA}>"
_PEER = 'source="192.0.2.5" relay="203.0.113.5 (mx1.far.example)" delay=2s'


def shown(words: str) -> str:
    return "".join(c if " " <= c != "\x7f" and not "\x80" <= c <= "\x9f" else f"\\{ord(c):03o}" for c in words)


def local_part(words: str) -> str:
    """smtpd takes a local part of these characters alone."""
    return re.sub(r"[^A-Za-z0-9.!#$%&'*/?^`{|}~+=_-]++", "", words)[:60] or "x"


def _line(message: str) -> str:
    return f"Mar  2 08:02:00 mx5 smtpd[77]: {_SESSION} {message}"


def failed_command(words: str, chooser: random.Random) -> Hostile:
    said = chooser.choice(("EHLO {}", "AUTH PLAIN {}", "{}", "VRFY {}"))
    line = _line(f'smtp failed-command command="{shown(said.format(words))}" result="500 5.5.1 Invalid command"')
    if re.match(r"(?i)(?:RCPT TO|MAIL FROM):", said.format(words)):
        return Hostile(line, {"queue_id": _OF_SESSION, "status": "rejected"})
    return Hostile(line, None)


def refused_recipient(words: str, chooser: random.Random) -> Hostile:
    recipient = f"{local_part(words)}@bakery.example"
    line = _line(f'smtp failed-command command="RCPT TO:<{recipient}>" result="550 Invalid recipient: <{recipient}>"')
    return Hostile(line, {"queue_id": _OF_SESSION, "recipient": recipient.lower(), "sender": "", "status": "rejected"})


def refused_with_parameters(words: str, chooser: random.Random) -> Hostile:
    """What a client writes behind the address, and what the answer repeats of it."""
    line = _line(f'smtp failed-command command="RCPT TO:<{_ANNA}> {shown(words)}" result="550 Invalid: {shown(words)}"')
    return Hostile(line, {"queue_id": _OF_SESSION, "recipient": _ANNA, "sender": "", "status": "rejected"})


def old_refused_recipient(words: str, chooser: random.Random) -> Hostile:
    """What a client writes behind the address, and what the answer repeats of it, in version 5."""
    line = _line("").removesuffix(f"{_SESSION} ")
    line += f'smtp-in: Failed command on session {_SESSION}: "RCPT TO:<{_ANNA}> {shown(words)}" => 550 {shown(words)}'
    return Hostile(line, {"queue_id": _OF_SESSION, "recipient": _ANNA, "sender": "", "status": "rejected"})


def _old_line(text: str) -> str:
    return f"{_line('').removesuffix(f'{_SESSION} ')}{text}"


def refused_by_5_7(words: str, chooser: random.Random) -> Hostile:
    """Version 5.7 does not tell the answer."""
    line = _old_line(f'smtp-in: session {_SESSION}: received invalid command: "RCPT TO:<{_ANNA}> {shown(words)}"')
    return Hostile(line, {"queue_id": _OF_SESSION, "recipient": _ANNA, "sender": "", "status": "rejected"})


def old_arrival(words: str, chooser: random.Random) -> Hostile:
    sender, recipient = f"{local_part(words)}@evil.example", f"{local_part(words[::-1])}@far.example"
    opening = chooser.choice(
        (
            f"Accepted message {_ID} on session {_SESSION}: ",
            f"session {_SESSION}: msgid={_ID}, status=Ok, ",
        )
    )
    line = _old_line(f"smtp-in: {opening}from=<{sender}>, to=<{recipient}>, size=9, ndest=1, proto=ESMTP")
    return Hostile(line, {"queue_id": _ID, "authenticated_as": "", "system_user": "", "client_ip": ""})


def login_that_failed_in_5(words: str, chooser: random.Random) -> Hostile:
    text = chooser.choice(
        (
            f"smtp-in: Authentication failed for user {shown(words)} on session {_SESSION}",
            f"smtp-in: session {_SESSION}: authentication failure for user {shown(words)}",
        )
    )
    return Hostile(_old_line(text), None)


def answer_to_5_7(words: str, chooser: random.Random) -> Hostile:
    line = _old_line(
        f"smtp-out: session {_SESSION}: evpid={_ID}d6bbc64f, status=PermFail, from=<{_ANNA}>, to=<{_PAUL}>, rcpt=<->, "
        f"source=192.0.2.5, relay=203.0.113.5 (mx1.far.example), delay=1s, stat=550 {shown(words)}"
    )
    return Hostile(line, {"queue_id": _ID, "recipient": _PAUL, "status": "bounced", "smtp_code": 550})


def login_that_failed(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_line(f"smtp authentication user={shown(words)} result=permfail"), None)


def old_login_that_failed(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"smtp event=authentication user={shown(words)} address=198.51.100.7 host=x result=permfail")
    return Hostile(line, None)


def helo_of_a_connection(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"smtp {chooser.choice(('bad-input', 'failed-helo', 'filter-response'))} {shown(words)}")
    return Hostile(line, None)


def reverse_name(words: str, chooser: random.Random) -> Hostile:
    name = re.sub(r"[^A-Za-z0-9.-]++", "-", words) or "x"
    truth = {"queue_id": _OF_SESSION, "client_ip": "198.51.100.7", "client_host": name, "authenticated_as": ""}
    return Hostile(_line(f"smtp connected address=198.51.100.7 host={name}"), truth)


def envelope(words: str, chooser: random.Random) -> Hostile:
    sender, recipient = f"{local_part(words)}@evil.example", f"{local_part(words[::-1])}@far.example"
    line = _line(f"smtp envelope evpid={_ID}d6bbc64f from=<{sender}> to=<{recipient}>")
    return Hostile(line, {"queue_id": _ID, "sender": sender, "recipients": (recipient.lower(),)})


def answer(words: str, chooser: random.Random) -> Hostile:
    result, status, code = chooser.choice(
        (("Ok", "delivered", 250), ("TempFail", "deferred", 451), ("PermFail", "bounced", 550))
    )
    line = _line(
        f'mta delivery {_ENVELOPE} to=<{_PAUL}> rcpt=<-> {_PEER} result="{result}" stat="{code} {shown(words)}"'
    )
    truth: dict[str, object] = {"queue_id": _ID, "recipient": _PAUL, "original_recipient": "", "status": status}
    return Hostile(line, {**truth, "smtp_code": code, "remote_ip": "203.0.113.5", "handover": ""})


def old_answer(words: str, chooser: random.Random) -> Hostile:
    line = (
        f"Mar  2 08:02:00 mx5 smtpd[77]: relay: Ok for {_ID}d6bbc64f: session=5df87c9b982c8402, from=<{_ANNA}>, "
        f"to=<{_PAUL}>, rcpt=<->, source=192.0.2.5, relay=203.0.113.5 (mx1.far.example), delay=1s, "
        f"stat=250 {shown(words)}"
    )
    return Hostile(line, {"queue_id": _ID, "recipient": _PAUL, "status": "delivered", "smtp_code": 250})


def output_of_a_command(words: str, chooser: random.Random) -> Hostile:
    line = _line(
        f'mda delivery {_ENVELOPE} to=<{_ANNA}> rcpt=<sales@bakery.example> user=anna delay=1s result="TempFail" '
        f'stat="Error ({shown(words)})"'
    )
    return Hostile(line, {"recipient": _ANNA, "original_recipient": "sales@bakery.example", "status": "deferred"})


def delivered_local_part(words: str, chooser: random.Random) -> Hostile:
    recipient = f"{local_part(words)}@far.example"
    line = _line(f'mta delivery {_ENVELOPE} to=<{recipient}> rcpt=<-> {_PEER} result="Ok" stat="250 Ok"')
    return Hostile(line, {"recipient": recipient.lower(), "original_recipient": "", "status": "delivered"})


TEMPLATES: tuple[Template, ...] = (
    failed_command,
    refused_recipient,
    refused_with_parameters,
    old_refused_recipient,
    refused_by_5_7,
    old_arrival,
    login_that_failed_in_5,
    answer_to_5_7,
    login_that_failed,
    old_login_that_failed,
    helo_of_a_connection,
    reverse_name,
    envelope,
    answer,
    old_answer,
    output_of_a_command,
    delivered_local_part,
)
