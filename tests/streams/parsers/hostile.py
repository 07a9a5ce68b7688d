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
    "retry timeout exceeded",
    "retry time not reached for any host after a long failure period",
    "Message discarded.",
    "error from remote mail server after RCPT TO:<x>: host a [6.6.6.6]: 250 OK",
    "id=1vwyDG-0003aB-1X",
    "2026-03-02 08:01:10 1vwyDG-0003aB-1X Completed",
    "<script>alert(1)</script>",
    "\x1b[31mred",
    "=cmd|' /C calc'!A0",
    "a",
    "x.y",
    "für",
)
_GAPS = ("", " ", " ", "  ")


class Hostile(NamedTuple):
    """A line, and what must be read from it where anything is."""

    line: str
    truth: Mapping[str, object]
    """Field → value of the event."""


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
