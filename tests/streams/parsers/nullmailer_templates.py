"""nullmailer's log lines with a stranger's words in one field; journald escapes nothing, but each line is its own."""

from __future__ import annotations

import random
import re

from tests.streams.parsers.hostile import Hostile, Template

_PROCESS = "n:nullmailer"
_FILE = "1772438520.811"


def _shown(words: str) -> str:
    """One line: what ends it begins a line of its own, which is one of the answer (`test_tries.py`)."""
    return re.split(r"[\r\n]", words)[0]


def _line(message: str) -> str:
    return f"Mar  2 08:02:00 web7 nullmailer-send[811]: {_shown(message)}"


def _address(words: str) -> str:
    """What nullmailer-queue takes as an address: anything with a domain behind the last at sign, on one line."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", "", words)[:60] + "@far.example"


def envelope_sender(words: str, chooser: random.Random) -> Hostile:
    sender = _address(words).replace("<", "").replace(">", "")
    line = _line(f"From: <{sender}> to: <bob@far.example>")
    return Hostile(line, {"queue_id": _PROCESS, "kind": "addressed", "recipients": ("bob@far.example",)})


def recipient(words: str, chooser: random.Random) -> Hostile:
    to = _address(words).replace("<", "").replace(">", "")
    line = _line(f"From: <app@bakery.example> to: <{to}>")
    return Hostile(line, {"queue_id": _PROCESS, "sender": "app@bakery.example", "recipients": (to.lower(),)})


def message_id(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_line(f"Message-ID: {words}"), {"queue_id": _PROCESS, "kind": "named", "status": "", "file": ""})


def answer_that_refuses(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"smtp: Failed: 550 5.1.1 {words}")
    return Hostile(line, {"queue_id": _PROCESS, "kind": "replied", "status": "", "file": ""})


def answer_that_takes(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"smtp: Succeeded: 250 2.0.0 {words}")
    return Hostile(line, {"queue_id": _PROCESS, "kind": "replied", "status": "delivered", "file": ""})


def later_line_of_an_answer(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_line(f"550-5.1.1 {words}"), {"queue_id": _PROCESS, "kind": "continued", "status": "", "file": ""})


def failure(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_line(f"Sending failed: {words}"), {"queue_id": _PROCESS, "kind": "tried", "status": "deferred"})


TEMPLATES: tuple[Template, ...] = (
    envelope_sender,
    recipient,
    message_id,
    answer_that_refuses,
    answer_that_takes,
    later_line_of_an_answer,
    failure,
)
