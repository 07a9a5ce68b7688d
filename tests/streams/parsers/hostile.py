"""Hostile lines: what a daemon writes when strangers choose the words, and what must still be read from it.

A template writes a line as its daemon does, with a stranger's words in one field, quoted as the daemon quotes them. The
words are combined from pieces that look like fields, flags, second lines and other people's accounts. Whatever they
are, an event may be refused as unreadable, but it may not tell another account, recipient or status than the true one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

VICTIM = "victim@bank.example"

PIECES = (
    f"A=dovecot_login:{VICTIM}",
    f"P=esmtpsa A=dovecot_login:{VICTIM} S=1",
    f'U=root P=local S=7 id=z T="y" for {VICTIM}',
    "U=root",
    f"for {VICTIM}",
    f"from <{VICTIM}> for {VICTIM}",
    f"=> {VICTIM} R=r T=t",
    f"<= {VICTIM} U=root P=local",
    f"{VICTIM} R=r T=t",
    f'{VICTIM} R=r T=t C="250 OK',
    f"{VICTIM} <{VICTIM}> R=r T=t : 550 5.1.1 gone",
    f"<{VICTIM}> R=r T=t H=mx [6.6.6.6]",
    f"F=<{VICTIM}> rejected RCPT <{VICTIM}>: no",
    f"rejected RCPT <{VICTIM}>: no",
    f"** {VICTIM} R=r: gone",
    f"== {VICTIM} R=r T=t defer (-44): later",
    "Completed",
    "removed by root",
    "cancelled by root",
    ") [6.6.6.6] P=esmtp S=1",
    f") [6.6.6.6] P=esmtpsa A=dovecot_login:{VICTIM} S=1 id=z",
    f") [6.6.6.6] F=<{VICTIM}> A=dovecot_login:{VICTIM}",
    "[6.6.6.6]:25",
    "H=(x) [6.6.6.6]",
    'C="250 OK" QT=1s',
    '"',
    "\\",
    '\\"',
    "<",
    ">",
    "(",
    ")",
    ": 550 5.7.1 no",
    'T="x"',
    "T=x R=y",
    "id=a@b",
    "S=99",
    "R=1vwyDG-0003aB-1X",
    "defer (-51): retry time not reached",
    f"PRDR R=<{VICTIM}> refusal",
    f"PRDR {VICTIM} no",
    "cancelled by system filter: no",
    "original recipients ignored (system filter)",
    f"for {VICTIM} x@y<trunc>",
    "Connection timed out H=mx [6.6.6.6]*: SMTP timeout",
    "retry timeout exceeded",
    "retry time not reached for any host after a long failure period",
    "Message discarded.",
    "error from remote mail server after RCPT TO:<x>: host a [6.6.6.6]: 250 OK",
    "id=1vwyDG-0003aB-1X",
    "2026-03-02 08:01:10 1vwyDG-0003aB-1X Completed",
    f"to=<{VICTIM}>, relay=none, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 Ok",
    f">, relay=local, delay=0, dsn=5.1.1, status=bounced (<{VICTIM}>",
    f"orig_to=<{VICTIM}>, relay=mx[6.6.6.6]:25",
    f"; from=<{VICTIM}> to=<{VICTIM}> proto=ESMTP helo=<x>",
    f"; from=<{VICTIM}> to=<{VICTIM}> proto=ESMTP helo=<x",
    f"; proto=ESMTP helo=<x> from x[6.6.6.6]; from=<{VICTIM}> to=<{VICTIM}>",
    f" from local; from=<{VICTIM}> to=<{VICTIM}> proto=ESMTP helo=<x>: 5.7.1 no",
    f"from=<{VICTIM}>, size=1, nrcpt=1 (queue active)",
    f", sasl_method=PLAIN, sasl_username={VICTIM}",
    f"x> sasl_username=<{VICTIM}",
    "orig_queue_id=3C00BB11, orig_client=x[6.6.6.6]",
    "queued as 3C00BB11",
    "forwarded as 3C00BB11",
    "delivered to command: /usr/bin/vacation x",
    'Command died with status 1: "/usr/bin/vacation x"',
    "delivered via vacation service",
    '"|/usr/bin/vacation x", ctladdr=<x@bakery.example> (1/1), delay=00:00:00, mailer=prog, stat=Sent',
    "sender non-delivery notification: 3C00BB11",
    "removed",
    "status=expired, returned to sender",
    "reject: RCPT from x[6.6.6.6]: 550",
    f"to=<{VICTIM}>, ctladdr=root (0/0), delay=00:00:00, mailer=local, stat=Sent",
    ", dsn=2.0.0, stat=Sent (Ok)",
    f", relay=root@localhost, reject=550 <{VICTIM}>",
    f"from=<{VICTIM}>, size=1, class=0, nrcpts=1, relay=root@localhost",
    f"<{VICTIM}>... User unknown",
    "6AN8010W002013: DSN: User unknown",
    ", proto=ESMTPSA",
    f"accept mail to <{VICTIM}> (3C00BB11AA) (rule: x)",
    f"5F2D41665C0E1A7B2: block mail to <{VICTIM}> (rule: x)",
    "250 2.5.0 OK (5F2D41665C0E1A7B2)",
    "Requeue: 7F00AA.AFF17 to 3C00BB11",
    "Spam Actions: message 7F00AA.AFF17 actions are delete",
    "250 Virus Detected; Discarded Email",
    "AUTH=server, relay=x [6.6.6.6], authid=root, mech=PLAIN, bits=0",
    f"user={VICTIM} result=ok",
    f"{VICTIM} address=6.6.6.6 host=x result=ok",
    '" result="Ok" stat="250 2.0.0 Ok',
    f"> to=<{VICTIM}> rcpt=<-> result=Ok",
    f'command="RCPT TO:<{VICTIM}>" result="550 no"',
    f'","recipient":"{VICTIM}","type":"Bounce","meta":{{"authn_id":"{VICTIM}"}},"x":"',
    f'{{"type":"Reception","id":"1","timestamp":1795420801,"recipient":"{VICTIM}"}}',
    '"__REALTIME_TIMESTAMP":"1793726832000000","SYSLOG_IDENTIFIER":"exim","MESSAGE":"',
    f"\n2026-03-02 08:02:00 1vwyE4-0003aC-2Y <= {VICTIM} U=root P=local",
    f"\r\nMar  2 08:02:00 mx2 postfix/smtp[7]: 7F00AA: to=<{VICTIM}>, relay=x, delay=0, status=sent (x)",
    f"Mar  2 08:02:00 mx2 postfix/pickup[7]: 7F00AA: uid=0 from=<{VICTIM}>",
    "message repeated 2 times: [ ",
    "\x00",
    "\u2028",
    "\x85",
    "\x0b\x0c\x1c",
    "\ufeff",
    "\u202e",
    "\xff\xfe",
    "<script>alert(1)</script>",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "=cmd|' /C calc'!A0",
    "@SUM(A1)",
    "a",
    "x.y",
    "für",
    "٣",
)
"""Fields, flags and second lines of every daemon's log, and what hurts a terminal, a page or a sheet."""
_GAPS = ("", " ", " ", "  ")


class Hostile(NamedTuple):
    """A line, and what must be read from it where anything is."""

    line: str
    truth: Mapping[str, object] | None
    """Field → value of each event; None: the line tells nothing of any message."""


Template = Callable[[str, random.Random], Hostile]


def hostile_words(chooser: random.Random) -> str:
    """One to four pieces, with or without blanks between."""
    words = ""
    for _ in range(chooser.randrange(1, 5)):
        words += chooser.choice(PIECES) + chooser.choice(_GAPS)
    return words.strip()


def hostile_lines(templates: Sequence[Template], count: int, seed: int) -> Iterator[Hostile]:
    """`count` lines, from each template in turn; the same for the same seed."""
    chooser = random.Random(seed)
    for number in range(count):
        yield templates[number % len(templates)](hostile_words(chooser), chooser)
