"""dma's log lines with a stranger's words in one field; syslog escapes what can't be printed."""

from __future__ import annotations

import random
import re

from tests.streams.parsers.hostile import Hostile, Template

_BASE = "c800f"
_ID = f"{_BASE}.55907ef8cf60"
_FAR = "mx1.far.example [203.0.113.5]"


def shown(words: str) -> str:
    return "".join(c if " " <= c != "\x7f" and not "\x80" <= c <= "\x9f" else f"#{ord(c):03o}" for c in words)


def _line(message: str, queue_id: str = _ID) -> str:
    return f"Mar  2 08:02:00 web7 dma[{queue_id}]: {message}"


def address(words: str) -> str:
    """What dma takes as an address: no blank, and a domain."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", "", words)[:60] + "@far.example"


def envelope_sender(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"new mail from user=www-data uid=33 envelope_from=<{shown(words)}>", _BASE)
    return Hostile(line, {"queue_id": f"s:{_BASE}", "system_user": "www-data"})


def queued_recipient(words: str, chooser: random.Random) -> Hostile:
    recipient = address(words)
    line = _line(f"mail to=<{recipient}> queued as {_ID}", _BASE)
    return Hostile(line, {"queue_id": _ID, "recipients": (recipient.lower(),), "session_id": f"s:{_BASE}"})


def answer_that_refuses(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"remote delivery to {_FAR} failed after RCPT TO: 550 5.1.1 {shown(words)}")
    return Hostile(line, {"queue_id": _ID, "recipient": "", "status": "bounced", "remote_ip": "203.0.113.5"})


def answer_that_defers(words: str, chooser: random.Random) -> Hostile:
    line = _line(f"remote delivery deferred: {_FAR} failed after final DATA: 451 4.3.0 {shown(words)}")
    return Hostile(line, {"queue_id": _ID, "recipient": "", "status": "deferred", "remote_ip": "203.0.113.5"})


def delivered_recipient(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_line(f"<{address(words)}> delivery successful"), {"queue_id": _ID})


def recipient_that_is_tried(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_line(f"<{address(words)}> trying delivery"), {"queue_id": f"s:{_BASE}", "closes": True})


def invalid_recipient(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_line(f"invalid recipient `{shown(words)}'", _BASE), None)


TEMPLATES: tuple[Template, ...] = (
    envelope_sender,
    queued_recipient,
    answer_that_refuses,
    answer_that_defers,
    delivered_recipient,
    recipient_that_is_tried,
    invalid_recipient,
)
