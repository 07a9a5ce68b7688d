"""Haraka's log lines with a stranger's words in one field, in each of its formats, escaped as Haraka escapes them."""

from __future__ import annotations

import json
import random
import re

from tests.streams.parsers.hostile import Hostile, Template

_UUID = "086D80CD-4FAD-4BD7-AC47-9920D7867D7E"
_MESSAGE = f"{_UUID}.1"
_FILE = f"{_UUID}.1.1"
_STAMP = "2026-03-02T08:02:00.123Z "


def _value(text: str) -> str:
    if not re.search(r'(^$|[ ="\\\r\n])', text):
        return text
    escaped = re.sub(r'["\\\r\n]', lambda found: {"\r": "\\r", "\n": "\\n"}.get(found[0], "\\" + found[0]), text)
    return f'"{escaped}"'


def _line(uuid: str, origin: str, message: str, fields: dict[str, str], chooser: random.Random) -> str:
    told = "".join(f" {name}={_value(text)}" for name, text in fields.items())
    form = chooser.randrange(3)
    if form == 0:
        flat = re.sub(r"[\r\n]", " ", message)
        return f"{_STAMP}[NOTICE] [{uuid}] [{origin}] {flat}{told}"
    if form == 1:
        return f"{_STAMP}level=NOTICE uuid={uuid} origin={origin} message={_value(message)}{told}"
    record = {"level": "NOTICE", "uuid": uuid, "origin": origin, "message": message, **fields}
    return _STAMP + json.dumps(record, ensure_ascii=False)


def _address(words: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", "", words)[:60] + "@far.example"


def accepted_recipient(words: str, chooser: random.Random) -> Hostile:
    recipient = re.sub(r"[<>\"]", "", _address(words))
    fields = {"code": "OK", "msg": "", "sender": "app@bakery.example"}
    line = _line(_MESSAGE, "core", f"recipient <{recipient}>", fields, chooser)
    return Hostile(
        line,
        {"queue_id": _MESSAGE, "recipients": (recipient.lower(),), "sender": "app@bakery.example", "part": "envelope"},
    )


def envelope_sender(words: str, chooser: random.Random) -> Hostile:
    fields = {"code": "OK", "msg": words, "sender": _address(words)}
    line = _line(_MESSAGE, "core", "recipient <bob@far.example>", fields, chooser)
    return Hostile(line, {"queue_id": _MESSAGE, "recipients": ("bob@far.example",), "part": "envelope"})


def message_id(words: str, chooser: random.Random) -> Hostile:
    fields = {"mid": words, "size": "103", "rcpts": "1/0/0", "delay": "0", "code": "CONT", "msg": ""}
    line = _line(_MESSAGE, "core", "message", fields, chooser)
    return Hostile(line, {"queue_id": _MESSAGE, "part": "announced", "size_bytes": 103, "sender": "", "recipients": ()})


def answer_to_a_delivery(words: str, chooser: random.Random) -> Hostile:
    fields = {"file": "1_2_0", "domain": "far.example", "host": "mx1.far.example", "ip": "203.0.113.5"}
    fields |= {"mode": "SMTP", "response": words, "delay": "0.1", "fails": "0", "rcpts": "1/0/0"}
    line = _line(_FILE, "outbound", "delivered", fields, chooser).replace(" message=delivered", ' message="" delivered')
    if '"message": "delivered"' in line:
        line = line.replace('"message": "delivered"', '"message": ""').replace('"file":', '"delivered file":')
    truth = {"queue_id": _MESSAGE, "status": "delivered", "domain": "far.example", "counts": (1, 0, 0), "group": 1}
    return Hostile(line, truth)


def answer_to_a_recipient(words: str, chooser: random.Random) -> Hostile:
    line = _line(_FILE, "outbound", f"recipient <bob@far.example> rejected: 550 5.1.1 {words}", {}, chooser)
    return Hostile(line, {"queue_id": _MESSAGE, "status": "bounced", "recipients": ("bob@far.example",)})


def answer_that_bounces(words: str, chooser: random.Random) -> Hostile:
    line = _line(_FILE, "outbound", f"bouncing mail: 554 5.7.1 {words}", {}, chooser)
    return Hostile(line, {"queue_id": _MESSAGE, "status": "bounced", "recipients": (), "group": 1})


def answer_that_defers(words: str, chooser: random.Random) -> Hostile:
    message = f"Temp failing 1_2_0 for 64 seconds: Upstream error: 451 4.3.0 {words}"
    return Hostile(
        _line(_FILE, "outbound", message, {}, chooser), {"queue_id": _MESSAGE, "status": "deferred", "recipients": ()}
    )


def greeting(words: str, chooser: random.Random) -> Hostile:
    fields = {"ip": "203.0.113.7", "rdns": words, "helo": words, "relay": "N"}
    return Hostile(_line(_UUID, "core", "disconnect", fields, chooser), {"queue_id": f"s:{_UUID}", "status": ""})


TEMPLATES: tuple[Template, ...] = (
    accepted_recipient,
    envelope_sender,
    message_id,
    answer_to_a_delivery,
    answer_to_a_recipient,
    answer_that_bounces,
    answer_that_defers,
    greeting,
)
