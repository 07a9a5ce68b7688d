"""Sendmail's log lines with a stranger's words in one field; what can't be printed is a question mark."""

from __future__ import annotations

import random
import re

from tests.streams.parsers.hostile import Hostile, Template
from tests.streams.parsers.postfix_templates import quoted, shown

ID = "62281mCo000077"
_ANNA, _PAUL = "anna@bakery.example", "paul@customer.example"
_RELAY = "relay=laptop.example [198.51.100.7]"
_MX = "relay=mx1.far.example. [203.0.113.5]"
_TIMES = "delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30310"
_ARRIVED: dict[str, object] = {
    "queue_id": ID,
    "sender": _ANNA,
    "authenticated_as": "",
    "system_user": "",
    "parent_queue_id": "",
    "client_ip": "198.51.100.7",
    "recipient_count": 1,
    "session_id": "",
}


def _line(message: str, program: str = "sm-mta") -> str:
    return f"Mar  2 08:02:00 mx9 {program}[77]: {message}"


def sender(words: str, chooser: random.Random) -> Hostile:
    address = f"{quoted(words[:40])}@evil.example"
    line = _line(
        f"{ID}: from=<{address}>, size=990, class=0, nrcpts=1, msgid=<m1@x>, proto=ESMTP, daemon=MTA, {_RELAY}"
    )
    return Hostile(line, {**_ARRIVED, "sender": address})


def message_id(words: str, chooser: random.Random) -> Hostile:
    brackets = chooser.choice(("<{}>", "{}"))
    line = _line(
        f"{ID}: from=<{_ANNA}>, size=990, class=0, nrcpts=1, msgid={brackets.format(shown(words))}, proto=ESMTP, "
        f"daemon=MTA, tls_verify=NONE, auth=NONE, {_RELAY}"
    )
    return Hostile(line, _ARRIVED)


def message_id_of_a_local_user(words: str, chooser: random.Random) -> Hostile:
    line = _line(
        f"{ID}: from=bakery, size=990, class=0, nrcpts=1, msgid=<{shown(words)}>, relay=bakery@localhost", "sendmail"
    )
    return Hostile(line, {**_ARRIVED, "sender": "bakery", "system_user": "bakery", "client_ip": ""})


def reverse_name(words: str, chooser: random.Random) -> Hostile:
    name = re.sub(r"[^A-Za-z0-9.-]++", "-", words) or "x"
    line = _line(
        f"{ID}: from=<{_ANNA}>, size=990, class=0, nrcpts=1, proto=SMTP, daemon=MTA, relay={name} [198.51.100.7]"
        " (may be forged)"
    )
    return Hostile(line, {**_ARRIVED, "client_host": ""})


def ident_name(words: str, chooser: random.Random) -> Hostile:
    """The answer of the client's own ident server."""
    name = re.sub(r"[^A-Za-z0-9._-]++", "", words) or "root"
    line = _line(
        f"{ID}: from=<{_ANNA}>, size=990, class=0, nrcpts=1, proto=SMTP, daemon=MTA, "
        f"relay={name}@laptop.example [198.51.100.7]"
    )
    return Hostile(line, _ARRIVED)


def answer_of_the_far_server(words: str, chooser: random.Random) -> Hostile:
    said, status = chooser.choice(
        (
            ("dsn=2.0.0, stat=Sent ({})", "delivered"),
            ("dsn=4.7.1, stat=Deferred: 451 4.7.1 {}", "deferred"),
            ("dsn=5.1.1, stat=User unknown: {}", "bounced"),
            ("dsn=5.0.0, stat=Service unavailable, {}", "bounced"),
            ("dsn=5.7.1, reply=554 5.7.1 {}, stat=Service unavailable", "bounced"),
            ("dsn=4.7.1, reply=451 4.7.1 {}, stat=Deferred: 451 4.7.1", "deferred"),
        )
    )
    line = _line(f"{ID}: to=<{_PAUL}>, {_TIMES}, {_MX}, {said.format(shown(words))}")
    return Hostile(
        line, {"queue_id": ID, "recipient": _PAUL, "status": status, "remote_ip": "203.0.113.5", "handover": ""}
    )


def delivered_local_part(words: str, chooser: random.Random) -> Hostile:
    recipient = f"{quoted(words)}@far.example"
    line = _line(f"{ID}: to=<{recipient}>, ctladdr=<{_ANNA}> (1007/1007), {_TIMES}, {_MX}, dsn=2.0.0, stat=Sent (Ok)")
    truth = {"queue_id": ID, "recipient": recipient.lower(), "original_recipient": "", "status": "delivered"}
    return Hostile(line, truth)


def refused_recipient(words: str, chooser: random.Random) -> Hostile:
    recipient = f"{quoted(words)}@bakery.example"
    line = _line(
        chooser.choice(
            (
                f"{ID}: ruleset=check_rcpt, arg1=<{recipient}>, {_RELAY}, reject=550 5.7.1 <{recipient}>... "
                "Relaying denied",
                f"{ID}: <{recipient}>... User unknown",
                f"{ID}: Milter: to=<{recipient}>, reject=451 4.7.1 later",
            )
        )
    )
    truth = {"queue_id": ID, "recipient": recipient.lower(), "sender": "", "authenticated_as": "", "status": "rejected"}
    return Hostile(line, truth)


def refused_sender(words: str, chooser: random.Random) -> Hostile:
    address = f"{quoted(words)}@evil.example"
    line = _line(
        f"{ID}: ruleset=check_mail, arg1=<{address}>, {_RELAY}, reject=553 5.1.8 <{address}>... Domain of sender "
        f"address {address} does not exist"
    )
    return Hostile(line, {"queue_id": ID, "recipient": "", "sender": address, "status": "rejected"})


def refused_with_words(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"{ID}: ruleset=check_rcpt, arg1=<{_PAUL}>, {_RELAY}, reject=550 5.7.1 {shown(words)}")
    return Hostile(line, {"queue_id": ID, "recipient": _PAUL, "sender": "", "status": "rejected"})


def words_of_a_filter(words: str, chooser: random.Random) -> Hostile:
    said = chooser.choice(
        (
            "Milter change (add): header: Subject: {}",
            "Milter insert (1): header: X-Spam: {}",
            "Milter delete: header X-Note: {}",
            "Milter: data, reject=554 5.7.1 {}",
        )
    )
    return Hostile(_line(f"{ID}: {said.format(shown(words))}"), None)


def words_about_a_whole_message(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"{ID}: to=<{_ANNA}>, delay=00:00:00, pri=34100, stat={shown(words)}")
    return Hostile(line, {"queue_id": ID, "recipient": _ANNA, "original_recipient": ""})


def chatter(words: str, chooser: random.Random) -> Hostile:
    said = chooser.choice(
        (
            f"{ID}: SYSERR(root): hash map access: {{}}",
            f"{ID}: --- 550 5.1.1 {{}}",
            f"{ID}: <-- RCPT TO:{{}}",
            f"{ID}: lost input channel from laptop.example [198.51.100.7] to MTA after {{}}",
            f"{ID}: laptop.example [198.51.100.7]: possible SMTP attack: command={{}}",
            f"{ID}: clone: owner={{}}",
            f"{ID}: split: count=1, {{}}",
            "AUTH failure (LOGIN): user not found (-20) SASL(-13): {}, relay=laptop.example [198.51.100.7]",
            "rejecting commands from laptop.example [198.51.100.7] due to pre-greeting traffic: {}",
        )
    )
    return Hostile(_line(said.format(shown(words))), None)


TEMPLATES: tuple[Template, ...] = (
    sender,
    message_id,
    message_id_of_a_local_user,
    reverse_name,
    ident_name,
    answer_of_the_far_server,
    delivered_local_part,
    refused_recipient,
    refused_sender,
    refused_with_words,
    words_of_a_filter,
    words_about_a_whole_message,
    chatter,
)
