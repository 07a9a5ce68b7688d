"""Postfix's log lines with a stranger's words in one field, shown as Postfix shows them (`printable()`)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from tests.streams.parsers.hostile import Hostile, Template

ID = "7F00AA"
_ANNA, _PAUL = "anna@bakery.example", "paul@customer.example"
_CLIENT = "laptop.example[198.51.100.7]"
_MX = "mx1.far.example[203.0.113.5]"
_TIMES = "delay=1, delays=0.1/0/0.4/0.5"
_REFUSED: dict[str, object] = {
    "sender": "spam@evil.example",
    "recipient": _ANNA,
    "authenticated_as": "",
    "system_user": "",
    "status": "rejected",
    "client_ip": "198.51.100.7",
}
_NO_SENDER: dict[str, object] = {
    "queue_id": ID,
    "sender": "",
    "authenticated_as": "",
    "system_user": "",
    "parent_queue_id": "",
    "earlier_queue_id": "",
}


def shown(words: str) -> str:
    """What can't be printed is a question mark; text in UTF-8 is left as it is."""
    return "".join("?" if c < " " or "\x7f" <= c <= "\x9f" else c for c in words)


def quoted(words: str) -> str:
    """A quoted local part: RFC 5321 lets no line end into it."""
    return '"' + shown(words).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _line(agent: str, message: str) -> str:
    return f"Mar  2 08:02:00 mx2 postfix/{agent}[77]: {message}"


def refused_helo(words: str, chooser: random.Random) -> Hostile:
    agent = chooser.choice(("smtpd", "submission/smtpd"))
    said = f"550 5.1.1 <{_ANNA}>: Recipient address rejected: User unknown in virtual mailbox table"
    return _refusal(agent, said, "spam@evil.example", _ANNA, words)


def refused_by_postscreen(words: str, chooser: random.Random) -> Hostile:
    line = _line(
        "postscreen",
        "NOQUEUE: reject: RCPT from [198.51.100.7]:4711: 550 5.7.1 Service unavailable; client [198.51.100.7] blocked "
        f"using list.example; from=<spam@evil.example>, to=<{_ANNA}>, proto=ESMTP, helo=<{shown(words)}>",
    )
    return Hostile(line, _REFUSED)


def _refusal(agent: str, said: str, sender: str, recipient: str, helo: str, opening: str = "NOQUEUE") -> Hostile:
    line = _line(
        agent,
        f"{opening}: reject: RCPT from {_CLIENT}: {said}; from=<{sender}> to=<{recipient}> proto=ESMTP "
        f"helo=<{shown(helo)}>",
    )
    return Hostile(line, {**_REFUSED, "sender": sender, "recipient": recipient.lower()})


def refused_sender(words: str, chooser: random.Random) -> Hostile:
    sender = f"{quoted(words)}@evil.example"
    return _refusal(
        "smtpd", f"550 5.1.8 <{sender}>: Sender address rejected: Domain not found", sender, _ANNA, "h.evil.example"
    )


def refused_recipient(words: str, chooser: random.Random) -> Hostile:
    recipient = f"{quoted(words)}@bakery.example"
    said = f"550 5.1.1 <{recipient}>: Recipient address rejected: unknown"
    return _refusal("smtpd", said, "spam@evil.example", recipient, "h.evil.example", chooser.choice(("NOQUEUE", ID)))


def changed_answer(words: str, chooser: random.Random) -> Hostile:
    """The answer before and after a filter, which quotes what the client said."""
    kind, word = chooser.choice((("filtered", "in"), ("told", "out")))
    opening, queue_id = chooser.choice((("NOQUEUE", "p:process 77"), (ID, f"p:{ID}")))
    line = _line("smtpd", f"{opening}: reply filter {word}: 450 4.7.1 <{_ANNA}>: {shown(words)}")
    return Hostile(line, {"queue_id": queue_id, "kind": kind, "recipients": (), "status": ""})


def refused_with_words(words: str, chooser: random.Random) -> Hostile:
    """A policy service or a block list quotes what the client said."""
    said = f"450 4.7.1 <{_ANNA}>: Recipient address rejected: {shown(words)}"
    return _refusal("smtpd", said, "spam@evil.example", _ANNA, "h.evil.example")


def refused_by_filter(words: str, chooser: random.Random) -> Hostile:
    line = _line(
        "cleanup",
        f"{ID}: milter-reject: END-OF-MESSAGE from {_CLIENT}: 5.7.1 {shown(words)}; from=<spam@evil.example> "
        f"to=<{_ANNA}> proto=ESMTP helo=<h.evil.example>",
    )
    return Hostile(line, {**_REFUSED, "queue_id": ID})


def refused_header(words: str, chooser: random.Random) -> Hostile:
    kind = chooser.choice(("header Subject:", "header X-Mailer:", "body"))
    line = _line(
        "cleanup",
        f"{ID}: reject: {kind} {shown(words)[:200]} from {_CLIENT}; from=<spam@evil.example> to=<{_ANNA}> "
        "proto=ESMTP helo=<h.evil.example>: 5.7.1 not here",
    )
    truth = {**_REFUSED, "queue_id": ID, "response": "5.7.1 not here", "message_id": ""}
    if "=?" not in words:  # encoded words are decoded
        truth["subject"] = shown(words)[:200].lstrip(" ") if kind == "header Subject:" else ""
    return Hostile(line, truth)


def passed_by_a_filter_before_the_queue(words: str, chooser: random.Random) -> Hostile:
    """Whose login the HELO name forges here is found out where lines are joined: no process has told of it."""
    verdict, status = chooser.choice(
        (("accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 7F00AA", ""), ("reject: RCPT: 550 no", "rejected"))
    )
    line = _line(
        "smtpd",
        f"proxy-{verdict}; from=<spam@evil.example> to=<{_ANNA}> proto=ESMTP helo=<{shown(words)}>",
    )
    refused: dict[str, object] = {"sender": "spam@evil.example", "recipient": _ANNA, "status": status}
    return Hostile(line, refused if status else {"queue_id": ID, "part": "login", "sender": ""})


_SUBJECT_ACTIONS = ("warning", "info", "prepend", "replace", "filter", "pass")
_SUBJECT_NAMES = ("Subject: ", "Subject:x", "SUBJECT :x", "subject:? x")


def logged_subject(words: str, chooser: random.Random) -> Hostile:
    line = _line(
        "cleanup",
        f"{ID}: {chooser.choice(_SUBJECT_ACTIONS)}: header {chooser.choice(_SUBJECT_NAMES)}{shown(words)[:200]} "
        f"from {_CLIENT}; from=<{_ANNA}> to=<{_PAUL}> proto=ESMTP helo=<laptop>",
    )
    return Hostile(line, {**_NO_SENDER, "part": "subject", "client_ip": ""})


def logged_header(words: str, chooser: random.Random) -> Hostile:
    """Other headers that are logged, and what a check changed, are of no interest."""
    action = chooser.choice(("warning", "replace", "prepend", "filter", "redirect"))
    line = _line(
        "cleanup", f"{ID}: {action}: header X-Note: {shown(words)[:200]} from local; from=<{_ANNA}> to=<{_PAUL}>"
    )
    return Hostile(line, None)


def header_on_hold(words: str, chooser: random.Random) -> Hostile:
    action = chooser.choice(("hold: header X-Note: ", "milter-hold: END-OF-MESSAGE from a.example[192.0.2.1]: "))
    came_from = " from local" if "header" in action else ""
    line = _line("cleanup", f"{ID}: {action}{shown(words)[:200]}{came_from}; from=<{_ANNA}> to=<{_PAUL}>")
    return Hostile(line, {"queue_id": ID, "sender": _ANNA, "recipient": _PAUL, "status": "deferred"})


def held_before_it_has_an_id(words: str, chooser: random.Random) -> Hostile:
    """At a command; an access map names the sender or the HELO name that the stranger chose."""
    sender, helo = chooser.choice(((f"{quoted(words)}@evil.example", "h"), ("spam@evil.example", shown(words))))
    line = _line(
        "smtpd",
        f"NOQUEUE: hold: RCPT from {_CLIENT}: <{sender if helo == 'h' else helo}>: Sender address triggers HOLD "
        "action; "
        f"from=<{sender}> to=<{_ANNA}> proto=ESMTP helo=<{helo}>",
    )
    truth = {"queue_id": "p:holds", "part": "waits", "sender": sender, "recipients": (_ANNA,), "session_id": "77"}
    return Hostile(line, {**truth, "client_ip": "198.51.100.7", "authenticated_as": ""})


def message_id(words: str, chooser: random.Random) -> Hostile:
    brackets = chooser.choice(("<{}>", "{}"))
    return Hostile(
        _line("cleanup", f"{ID}: message-id={brackets.format(shown(words))}"), {**_NO_SENDER, "part": "message-id"}
    )


def queued_sender(words: str, chooser: random.Random) -> Hostile:
    sender = f"{quoted(words)}@evil.example"
    return Hostile(
        _line("qmgr", f"{ID}: from=<{sender}>, size=990, nrcpt=1 (queue active)"),
        {**_NO_SENDER, "part": "queue", "sender": sender, "size_bytes": 990},
    )


def local_sender(words: str, chooser: random.Random) -> Hostile:
    """What a user of this machine says that he is."""
    return Hostile(
        _line("pickup", f"{ID}: uid=1007 from=<{quoted(words)}@evil.example>"),
        {**_NO_SENDER, "part": "client", "system_user": "uid1007"},
    )


def reverse_name(words: str, chooser: random.Random) -> Hostile:
    """A name may be odd, but Postfix takes it only where it is made of letters, digits, dots and hyphens."""
    name = re.sub(r"[^A-Za-z0-9.-]++", "-", words) or "x"
    return Hostile(
        _line("smtpd", f"{ID}: client={name}[198.51.100.7]"),
        {**_NO_SENDER, "part": "client", "client_host": name, "client_ip": "198.51.100.7"},
    )


def login_that_failed(words: str, chooser: random.Random) -> Hostile:
    words = shown(words)
    said = chooser.choice(("UGFzc3dvcmQ6", "authentication failure", words))
    return Hostile(
        _line(
            "submission/smtpd", f"warning: {_CLIENT}: SASL LOGIN authentication failed: {said}, sasl_username={words}"
        ),
        None,
    )


def sender_that_a_customer_names(words: str, chooser: random.Random) -> Hostile:
    """`MAIL FROM:<> AUTH=…`: who logged in may name anybody there."""
    return Hostile(
        _line(
            "submission/smtpd",
            f"{ID}: client={_CLIENT}, sasl_method=PLAIN, sasl_username={_ANNA}, sasl_sender={shown(words)}",
        ),
        {**_NO_SENDER, "part": "client", "authenticated_as": _ANNA, "client_ip": "198.51.100.7"},
    )


def chatter(words: str, chooser: random.Random) -> Hostile:
    words = shown(words)
    opening = chooser.choice(
        (
            f"warning: non-SMTP command from {_CLIENT}: ",
            f"warning: Illegal address syntax from {_CLIENT} in RCPT command: ",
            f"improper command pipelining after HELO from {_CLIENT}: ",
            f"warning: hostname {re.sub(r'[^a-z0-9.-]++', '-', words)} does not resolve to address 198.51.100.7: ",
            f"{ID}: reject_warning: RCPT from {_CLIENT}: 550 5.7.1 ",
            f"NOQUEUE: reject: CONNECT from {_CLIENT}: 554 5.7.1 ",
            "lost connection after RCPT from ",
        )
    )
    return Hostile(_line("smtpd", opening + words), None)


def _answered(said: Callable[[str], str], word: str, status: str, code: int) -> Template:
    def answer(words: str, chooser: random.Random) -> Hostile:
        agent = chooser.choice(("smtp", "lmtp"))
        line = _line(
            agent,
            f"{ID}: to=<{_PAUL}>, relay={_MX}:25, {_TIMES}, dsn=2.0.0, status={word} ({said(shown(words))})",
        )
        truth: dict[str, object] = {"queue_id": ID, "recipient": _PAUL, "original_recipient": "", "status": status}
        return Hostile(line, {**truth, "smtp_code": code, "remote_ip": "203.0.113.5", "handover": ""})

    answer.__name__ = f"answer_{word}"
    return answer


def output_of_a_command(words: str, chooser: random.Random) -> Hostile:
    agent = chooser.choice(("pipe", "local"))
    word, status = chooser.choice((("bounced", "bounced"), ("deferred", "deferred"), ("sent", "delivered")))
    line = _line(
        agent,
        f"{ID}: to=<{_ANNA}>, orig_to=<sales@bakery.example>, relay={agent}, {_TIMES}, dsn=5.3.0, status={word} "
        f"(Command died with status 69. Command output: {shown(words)} )",
    )
    truth: dict[str, object] = {"queue_id": ID, "recipient": _ANNA, "original_recipient": "sales@bakery.example"}
    return Hostile(line, {**truth, "status": status, "handover": "", "remote_ip": ""})


def output_of_a_mailbox_command(words: str, chooser: random.Random) -> Hostile:
    """What a program printed tells nothing of which program it is."""
    word, status = chooser.choice((("bounced", "bounced"), ("deferred", "deferred")))
    said = chooser.choice(('Command died with status 1: "/usr/bin/store -a"', "temporary failure", "user unknown"))
    line = _line(
        "local",
        f"{ID}: to=<{_ANNA}>, orig_to=<sales@bakery.example>, relay=local, {_TIMES}, dsn=5.3.0, status={word} "
        f"({said}. Command output: {shown(words)} )",
    )
    truth: dict[str, object] = {"queue_id": ID, "recipient": _ANNA, "original_recipient": "sales@bakery.example"}
    return Hostile(line, {**truth, "status": status, "beside": "aside"})


def automatic_reply(words: str, chooser: random.Random) -> Hostile:
    """PostfixAdmin's: the address is as the stranger wrote it, the service is the administrator's."""
    made, original = f"{quoted(words)}@autoreply.example", f"{quoted(words[::-1])}@bakery.example"
    line = _line(
        "pipe",
        f"{ID}: to=<{made}>, orig_to=<{original}>, relay=vacation, {_TIMES}, dsn=2.0.0, status=sent "
        "(delivered via vacation service)",
    )
    return Hostile(line, {"recipient": original.lower(), "original_recipient": "", "beside": "reply"})


def delivered_local_part(words: str, chooser: random.Random) -> Hostile:
    final, original = f"{quoted(words)}@far.example", f"{quoted(words[::-1])}@bakery.example"
    line = _line(
        "smtp", f"{ID}: to=<{final}>, orig_to=<{original}>, relay={_MX}:25, {_TIMES}, dsn=2.0.0, status=sent (250 Ok)"
    )
    truth: dict[str, object] = {"recipient": final.lower(), "original_recipient": original.lower()}
    if final.lower() == original.lower():
        truth["original_recipient"] = ""
    return Hostile(line, {**truth, "queue_id": ID, "status": "delivered"})


def words_of_a_filter(words: str, chooser: random.Random) -> Hostile:
    """Message-IDs, subjects and scores in the lines of filters decide nothing, and tie nothing."""
    words = shown(words)
    message = chooser.choice(
        (
            f"pmg-smtp-filter[7]: 5F2D41665C0E1A7B2: new mail message-id=<{words}>",
            f"pmg-smtp-filter[7]: 5F2D41665C0E1A7B2: SA score=1/5 time=1 bayes=0 hits={words}",
            f"MailScanner[7]: Message 7F00AA.AFF17 from 198.51.100.7 ({words}) to bakery.example is spam, {words}",
            f"MailScanner[7]: Delivery of nonspam: message 7F00AA.AFF17 from a@b to c@d with subject {words}",
            f"MailScanner[7]: Filename Checks: {words} (7F00AA.AFF17 {words})",
            f"clamsmtpd: 100001: from={words}, to={_ANNA}, status=CLEAN",
            f"rspamd[7]: <4fa76d>; task; rspamd_task_write_log: id: <{words}>, ip: 198.51.100.7, (default: F (no "
            f"action): [1.00/15.00] [X(0.00){{{words};}}]), len: 9, time: 9ms, dns req: 1, digest: <0>, "
            f"mime_rcpts: <{words}>",
            f"dovecot: lda({_ANNA})<7><x>: sieve: msgid=<{words}>: stored mail into mailbox 'INBOX'",
            f"dovecot: lmtp({_ANNA})<7><x>: sieve: msgid=<{words}>: sent vacation response to <{words}>",
            f"dovecot: imap-login: Disconnected (auth failed): user=<{words}>, method=PLAIN, rip=198.51.100.7",
            f"amavis[7]: (00007-01) Passed CLEAN {{RelayedInbound}}, [198.51.100.7]:4000 [198.51.100.7] <a@b.example> "
            f"-> <{_ANNA}>, Message-ID: <{words}>, mail_id: x, Hits: 1, size: 9, 9 ms",
        )
    )
    return Hostile(f"Mar  2 08:02:00 mx2 {message}", None)


TEMPLATES: tuple[Template, ...] = (
    words_of_a_filter,
    refused_helo,
    refused_by_postscreen,
    refused_sender,
    refused_recipient,
    refused_with_words,
    refused_by_filter,
    refused_header,
    passed_by_a_filter_before_the_queue,
    logged_subject,
    logged_header,
    header_on_hold,
    held_before_it_has_an_id,
    message_id,
    changed_answer,
    queued_sender,
    local_sender,
    reverse_name,
    login_that_failed,
    sender_that_a_customer_names,
    chatter,
    _answered(lambda words: f"250 2.0.0 {words}", "sent", "delivered", 250),
    _answered(
        lambda words: f"host {_MX} said: 550 5.1.1 {words} (in reply to RCPT TO command)", "bounced", "bounced", 550
    ),
    _answered(lambda words: f"host {_MX} refused to talk to me: 421 4.7.0 {words}", "deferred", "deferred", 421),
    output_of_a_command,
    output_of_a_mailbox_command,
    automatic_reply,
    delivered_local_part,
)
