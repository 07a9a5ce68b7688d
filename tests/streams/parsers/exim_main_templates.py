"""Lines of Exim's main log with a stranger's words in one field, quoted as Exim quotes them."""

from __future__ import annotations

import random

from tests.streams.parsers.hostile import Hostile, Template

STAMP = "2026-03-02 08:02:00"
ID = "1vwyE4-0003aC-2Y"
_CLIENT = "[198.51.100.7]:50123"
_PEER = "R=dnslookup T=remote_smtp H=mx1.far.example [203.0.113.5] X=TLS1.3:TLS_AES_256_GCM_SHA384:256 CV=yes"


def quoted(words: str) -> str:
    """As Exim writes a quoted local part and a subject: what can't be printed as an escape."""
    return escaped(words.replace("\\", "\\\\").replace('"', '\\"'))


def escaped(words: str) -> str:
    return "".join(c if " " <= c != "\x7f" else f"\\{ord(c):03o}" for c in words)


def _arrival(fields: str, **truth: object) -> Hostile:
    line = f"{STAMP} {ID} <= {fields}"
    known: dict[str, object] = {
        "sender": "anna@bakery.example",
        "authenticated_as": "",
        "system_user": "",
        "recipients": ("paul@customer.example",),
    }
    return Hostile(line, {**known, **truth})


def helo(words: str, chooser: random.Random) -> Hostile:
    login = chooser.choice(("", "anna@bakery.example"))
    how = f"P=esmtpa A=dovecot_login:{login}" if login else "P=esmtp"
    return _arrival(
        f"anna@bakery.example H=({escaped(words)}) {_CLIENT} {how} S=990 id=m1@bakery.example "
        'T="Hello" for paul@customer.example',
        authenticated_as=login,
    )


def helo_without_selectors(words: str, chooser: random.Random) -> Hostile:
    return _arrival(
        f"anna@bakery.example H=host.example ({escaped(words)}) [198.51.100.7] P=esmtp S=990", recipients=()
    )


def subject(words: str, chooser: random.Random) -> Hostile:
    return _arrival(
        f'anna@bakery.example H=(laptop) {_CLIENT} P=esmtp S=990 id=m1@bakery.example T="{quoted(words)}" '
        "for paul@customer.example"
    )


def subject_of_a_local_user(words: str, chooser: random.Random) -> Hostile:
    return _arrival(
        f'anna@bakery.example U=bakery P=local S=990 T="{quoted(words)}" for paul@customer.example',
        system_user="bakery",
    )


def subject_at_the_end(words: str, chooser: random.Random) -> Hostile:
    return _arrival(
        f'anna@bakery.example U=bakery P=local S=990 T="{quoted(words)}"', system_user="bakery", recipients=()
    )


def message_id(words: str, chooser: random.Random) -> Hostile:
    """Exim logs the address in the header, so what has blanks is a quoted local part."""
    return _arrival(
        f'anna@bakery.example H=(laptop) {_CLIENT} P=esmtp S=990 id="{quoted(words)}"@evil.example T="Hi" '
        "for paul@customer.example"
    )


def message_id_alone(words: str, chooser: random.Random) -> Hostile:
    return _arrival(
        f'anna@bakery.example H=(laptop) {_CLIENT} P=esmtp S=990 id="{quoted(words)}"@evil.example', recipients=()
    )


def sender(words: str, chooser: random.Random) -> Hostile:
    address = f'"{quoted(words)}"@evil.example'
    return _arrival(
        f'{address} H=(laptop) {_CLIENT} P=esmtp S=990 id=m1@x T="Hi" for paul@customer.example', sender=address
    )


def helo_and_message_id(words: str, chooser: random.Random) -> Hostile:
    """The same stranger chooses both."""
    half = len(words) // 2
    return _arrival(
        f"anna@bakery.example H=({escaped(words[:half])}) {_CLIENT} P=esmtp S=990 "
        f'id="{quoted(words[half:])}"@evil.example T="{quoted(words)}" for paul@customer.example'
    )


def answer(words: str, chooser: random.Random) -> Hostile:
    line = f'{STAMP} {ID} => paul@customer.example {_PEER} C="250 {escaped(words)}" QT=2s DT=1s'
    return Hostile(line, {"recipient": "paul@customer.example", "original_recipient": "", "status": "delivered"})


def answer_for_an_alias(words: str, chooser: random.Random) -> Hostile:
    line = f'{STAMP} {ID} -> paul@customer.example <sales@bakery.example> {_PEER} C="250 {escaped(words)}"'
    truth = {"recipient": "paul@customer.example", "original_recipient": "sales@bakery.example", "status": "delivered"}
    return Hostile(line, truth)


def refusal_by_the_far_server(words: str, chooser: random.Random) -> Hostile:
    said = "SMTP error from remote mail server after RCPT TO:<paul@customer.example>: 550 5.1.1"
    line = f"{STAMP} {ID} ** paul@customer.example {_PEER}: {said} {escaped(words)}"
    return Hostile(line, {"recipient": "paul@customer.example", "status": "bounced", "smtp_code": 550})


def delay_by_the_far_server(words: str, chooser: random.Random) -> Hostile:
    peer = "H=mx1.far.example [203.0.113.5]"
    said = "SMTP error from remote mail server after RCPT TO:<paul@customer.example>: 451 4.7.1"
    line = (
        f"{STAMP} {ID} == paul@customer.example R=dnslookup T=remote_smtp defer (-44) {peer}: {said} {escaped(words)}"
    )
    return Hostile(line, {"recipient": "paul@customer.example", "status": "deferred", "is_attempt": True})


def _odd_recipient(words: str) -> tuple[str, str]:
    """As Exim shows it: without its quotes, then with them in angle brackets."""
    return f'{escaped(words)}@far.example <"{quoted(words)}"@far.example>', f'"{quoted(words)}"@far.example'.lower()


def delivered_local_part(words: str, chooser: random.Random) -> Hostile:
    shown, address = _odd_recipient(words)
    return Hostile(f'{STAMP} {ID} => {shown} {_PEER} C="250 OK"', {"own": address, "status": "delivered"})


def failed_local_part(words: str, chooser: random.Random) -> Hostile:
    shown, address = _odd_recipient(words)
    said = "SMTP error from remote mail server after end of data: 550 no"
    return Hostile(f"{STAMP} {ID} ** {shown} {_PEER}: {said}", {"own": address, "status": "bounced"})


def delayed_local_part(words: str, chooser: random.Random) -> Hostile:
    shown, address = _odd_recipient(words)
    line = f"{STAMP} {ID} == {shown} R=dnslookup T=remote_smtp defer (110): Connection timed out"
    return Hostile(line, {"own": address, "status": "deferred"})


def refused_helo(words: str, chooser: random.Random) -> Hostile:
    line = f"{STAMP} H=({escaped(words)}) {_CLIENT} F=<spam@evil.example> rejected RCPT <anna@bakery.example>: listed"
    return Hostile(line, _refused)


def refused_sender(words: str, chooser: random.Random) -> Hostile:
    address = f'"{quoted(words)}"@evil.example'
    line = f"{STAMP} H=(x) {_CLIENT} F=<{address}> rejected RCPT <anna@bakery.example>: listed"
    return Hostile(line, {**_refused, "sender": address})


def refused_with_words(words: str, chooser: random.Random) -> Hostile:
    line = (
        f"{STAMP} H=(x) {_CLIENT} F=<spam@evil.example> rejected RCPT <anna@bakery.example>: "
        f"response to RCPT was: 550 {escaped(words)}"
    )
    return Hostile(line, _refused)


def refusal_of_a_sender(words: str, chooser: random.Random) -> Hostile:
    """Exim repeats its own command in front of the answer, with the sender as that was quoted."""
    how = chooser.choice(("pipelined MAIL", "MAIL"))
    said = (
        f'SMTP error from remote mail server after {how} FROM:<"{quoted(words)}"@evil.example> SIZE=1604: 550 5.7.1 no'
    )
    line = f"{STAMP} {ID} ** paul@customer.example {_PEER}: {said}"
    return Hostile(line, {"recipient": "paul@customer.example", "status": "bounced", "smtp_code": 550})


def timeout_behind_a_sender(words: str, chooser: random.Random) -> Hostile:
    said = f'SMTP timeout after MAIL FROM:<"{quoted(words)}"@evil.example> SIZE=1604'
    line = (
        f"{STAMP} {ID} == paul@customer.example R=dnslookup T=remote_smtp defer (110): Connection timed out "
        f"H=mx1.far.example [203.0.113.5]*: {said}"
    )
    truth = {"recipient": "paul@customer.example", "status": "deferred", "remote_ip": "203.0.113.5"}
    return Hostile(line, truth)


def waiting_for_a_domain(words: str, chooser: random.Random) -> Hostile:
    """What the far server says is no word of Exim's, whatever the number."""
    said = "SMTP error from remote mail server after RCPT TO:<paul@customer.example>: 451"
    number = chooser.choice((-44, -53, -54))
    line = f"{STAMP} {ID} == paul@customer.example R=r T=t defer ({number}) H=mx [203.0.113.5]: {said} {escaped(words)}"
    return Hostile(line, {"recipient": "paul@customer.example", "status": "deferred", "is_attempt": True})


def prdr_with_words(words: str, chooser: random.Random) -> Hostile:
    line = f"{STAMP} {ID} PRDR anna@bakery.example no: {escaped(words)}"
    return Hostile(line, {"recipient": "anna@bakery.example", "status": "rejected", "closes": False})


def prdr_local_part(words: str, chooser: random.Random) -> Hostile:
    address = f'"{quoted(words)}"@bakery.example'
    said = chooser.choice((f"R=<{address}> refusal", f"R=<{address}> temporary refusal", f"{address} no", address))
    return Hostile(f"{STAMP} {ID} PRDR {said}", {"recipient": address.lower(), "status": "rejected", "closes": False})


def system_filter(words: str, chooser: random.Random) -> Hostile:
    line = f"{STAMP} {ID} cancelled by system filter: subject was {escaped(words)}"
    return Hostile(line, {"recipient": "", "status": "bounced", "closes": False})


def truncated_subject(words: str, chooser: random.Random) -> Hostile:
    """There was no room for a recipient: what looks like one is the subject."""
    return _arrival(
        f'anna@bakery.example H=(laptop) {_CLIENT} P=esmtp S=990 id=m1@bakery.example T="{quoted(words)}<trunc>',
        recipients=(),
    )


def truncated_recipients(words: str, chooser: random.Random) -> Hostile:
    return _arrival(
        f'anna@bakery.example H=(laptop) {_CLIENT} P=esmtp S=990 id=m1@bakery.example T="{quoted(words)}" '
        "for paul@customer.example victim@bank.exam<trunc>"
    )


def automatic_reply(words: str, chooser: random.Random) -> Hostile:
    """The reply goes to the sender, and the mailbox's own fate is in another line."""
    line = f'{STAMP} {ID} => >"{quoted(words)}"@evil.example <anna@bakery.example> R=reply T=address_reply'
    return Hostile(line, {"own": "anna@bakery.example", "status": "delivered", "beside": "reply"})


_refused: dict[str, object] = {
    "sender": "spam@evil.example",
    "recipient": "anna@bakery.example",
    "authenticated_as": "",
    "system_user": "",
    "status": "rejected",
}

TEMPLATES: tuple[Template, ...] = (
    helo,
    helo_without_selectors,
    subject,
    subject_of_a_local_user,
    subject_at_the_end,
    message_id,
    message_id_alone,
    sender,
    helo_and_message_id,
    answer,
    answer_for_an_alias,
    refusal_by_the_far_server,
    delay_by_the_far_server,
    delivered_local_part,
    failed_local_part,
    delayed_local_part,
    refusal_of_a_sender,
    timeout_behind_a_sender,
    waiting_for_a_domain,
    prdr_with_words,
    prdr_local_part,
    system_filter,
    truncated_subject,
    truncated_recipients,
    automatic_reply,
    refused_helo,
    refused_sender,
    refused_with_words,
)
