"""KumoMTA's records with a stranger's words in one field, as JSON writes them."""

from __future__ import annotations

import json
import random

from tests.streams.parsers.hostile import Hostile, Template

_ID = "e22a1681e71311f19f42020000000001"
_ANNA, _PAUL = "anna@bakery.example", "paul@customer.example"


def _record(kind: str, **fields: object) -> str:
    whole: dict[str, object] = {
        "type": kind,
        "id": _ID,
        "sender": _ANNA,
        "recipient": _PAUL,
        "size": 990,
        "response": {"code": 250, "enhanced_code": None, "content": "OK", "command": None},
        "peer_address": {"name": "laptop", "addr": "198.51.100.7"},
        "timestamp": 1795420801,
        "meta": {"authn_id": _ANNA},
        "headers": {},
        "reception_protocol": "ESMTP",
    }
    return json.dumps(whole | fields, ensure_ascii=False)


_ARRIVED: dict[str, object] = {
    "queue_id": _ID,
    "sender": _ANNA,
    "recipients": (_PAUL,),
    "authenticated_as": _ANNA,
    "client_ip": "198.51.100.7",
}


def helo(words: str, chooser: random.Random) -> Hostile:
    line = _record("Reception", peer_address={"name": words, "addr": "198.51.100.7"})
    return Hostile(line, {**_ARRIVED, "client_host": ""})


def headers(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_record("Reception", headers={"Subject": words, "Message-ID": f"<{words}>"}), _ARRIVED)


def metadata(words: str, chooser: random.Random) -> Hostile:
    return Hostile(_record("Reception", meta={"note": words, "authn_id": _ANNA}), _ARRIVED)


def sender(words: str, chooser: random.Random) -> Hostile:
    words = words.replace("\n", "").replace("\r", "")
    return Hostile(
        _record("Reception", sender=f'"{words}"@evil.example'), {**_ARRIVED, "sender": f'"{words}"@evil.example'}
    )


def recipient(words: str, chooser: random.Random) -> Hostile:
    words = words.replace("\n", "").replace("\r", "")
    kind, status = chooser.choice((("Delivery", "delivered"), ("Bounce", "bounced"), ("Rejection", "rejected")))
    address = f'"{words}"@far.example'
    return Hostile(_record(kind, recipient=address), {"recipient": address.lower(), "status": status})


def answer(words: str, chooser: random.Random) -> Hostile:
    kind, status, code = chooser.choice(
        (("Delivery", "delivered", 250), ("TransientFailure", "deferred", 451), ("Bounce", "bounced", 550))
    )
    line = _record(kind, response={"code": code, "enhanced_code": None, "content": words, "command": words})
    return Hostile(line, {"queue_id": _ID, "recipient": _PAUL, "status": status, "smtp_code": code, "handover": ""})


def refused_with_words(words: str, chooser: random.Random) -> Hostile:
    line = _record("Rejection", id="", response={"code": 550, "content": words})
    return Hostile(line, {"recipient": _PAUL, "sender": _ANNA, "status": "rejected", "smtp_code": 550})


TEMPLATES: tuple[Template, ...] = (helo, headers, metadata, sender, recipient, answer, refused_with_words)
