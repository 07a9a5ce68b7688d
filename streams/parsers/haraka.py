"""Haraka: its log in each of its three formats (default, logfmt, json) → events. Pure.

A connection has a UUID, a transaction the same with `.1`, `.2` behind it, and each queue file of the transaction a
further number. The transaction is the message. Its recipients are named as they are accepted, and where the far server
refuses or defers one of them; a delivery names none (`joining/groups.py`). Mail that Haraka itself makes, such as a
bounce, has a queue file and no transaction: no line names its recipients, and its lines are ignored.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import (
    ANNOUNCED,
    CLIENT,
    ENVELOPE,
    GROUPED,
    QUEUE,
    Arrival,
    Event,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Step,
    Unreadable,
)
from postwatch.streams.parsers.log_format import LogFormat, ReadLine
from postwatch.streams.parsers.queue_ids import SESSION_PREFIX, refusal_id
from postwatch.streams.parsers.syslog import Header
from postwatch.streams.parsers.timestamps import StampReader

_STAMP = compiled(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{3})(Z) (?=\[[A-Z]{4,8}\] \[|level=[A-Z]|\{\"level\":)")
"""What `timestamps=true` of log.ini puts in front."""
_DEFAULT = compiled(r"\[[A-Z]{4,8}\] \[([0-9A-F.-]++)\] \[([\w./-]++)\] (.*)$")
_LOGFMT = compiled(r"level=[A-Z]{4,8} uuid=([0-9A-F.-]++) origin=([\w./-]++) message=(.*)$")
_UUID = compiled(r"([0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})((?:\.\d{1,6})*)$")
_FIELD = compiled(r'(\w++)=("(?:[^"\\]++|\\.)*+"|[^ "]*+)(?: |$)')
_QUOTED = compiled(r'"((?:[^"\\]++|\\.)*+)"(?: |$)')
_ESCAPED = compiled(r"\\(.)")
_RECIPIENT = compiled(r"recipient <([^<>\s\"]*+)>$")
_BEGINS = {
    "core": compiled(r"(connect|disconnect|message|queue|recipient <[^<>\s\"]*+>)(?: |$)"),
    "outbound": compiled(r" ?(delivered) (?=file=)"),
}
"""What stands in front of the fields of a line, in the default format."""
_OUTCOME = compiled(r"recipient <([^<>\s\"@]*+@[^<>\s\"]++)> (deferred|rejected): (.*)$", re.DOTALL)
_BOUNCING = "bouncing mail: "
_PUT_OFF = compiled(r"Temp failing \S++ for [\d.]++ seconds: (.*)$", re.DOTALL)
_NAMED_BEFORE = ("Some recipients ",)
_GIVEN_UP = "Too many failures ("
_DELETED = compiled(r"plugin responded with: \d{1,4}\. Not deferring\. Deleting mail\.$")
"""A plugin had a message thrown away that could not be delivered yet."""
_COUNTS = compiled(r"(\d{1,6})/(\d{1,6})/(\d{1,6})$")
_ACCEPTED = ("OK", "CONT")

_NOTE = Ignored("note")
_NOTICE = Ignored("notice")
"""Of mail that Haraka made itself."""


class _Entry(NamedTuple):
    uuid: str
    numbers: tuple[str, ...]
    """Behind the UUID: of the transaction, and of its queue file."""
    origin: str
    message: str
    fields: dict[str, str]


def parse_message(text: str, at: int, line: str) -> Parsed | None:
    """An entry of the log → what it means; None: it has not the form of one. Never raises."""
    entry = _read_entry(text)
    if entry is None:
        return None
    if entry.origin == "core":
        return _from_client(entry, at, line)
    if entry.origin != "outbound" or not entry.numbers:
        return _NOTE
    return _to_far_server(entry, at, line) if len(entry.numbers) == 2 else _NOTICE


def _read_entry(text: str) -> _Entry | None:
    if text.startswith("{"):
        return _read_json(text)
    found = _LOGFMT.match(text)
    if found is not None:
        uuid, origin, rest = found.groups()
        quoted = _QUOTED.match(rest)
        message = _unescape(quoted[1]) if quoted is not None else rest.partition(" ")[0]
        rest = rest[quoted.end() :] if quoted is not None else rest[len(message) + 1 :]
        if rest.startswith("delivered file="):
            message, rest = "delivered", rest.removeprefix("delivered ")
        return _make_entry(uuid, origin, message, _read_fields(rest))
    found = _DEFAULT.match(text)
    if found is None:
        return None
    uuid, origin, rest = found.groups()
    begins = _BEGINS.get(origin)
    head = begins.match(rest) if begins is not None else None
    if head is None:
        return _make_entry(uuid, origin, rest, {})
    return _make_entry(uuid, origin, head[1], _read_fields(rest[head.end() :]))


def _read_json(text: str) -> _Entry | None:
    try:
        record: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    found = {name: str(value) for name, value in record.items() if isinstance(value, str | int | float)}
    if "uuid" not in found or "origin" not in found or "message" not in found:
        return None
    message = "delivered" if "delivered file" in found else found["message"].replace("\n", "\\n")
    return _make_entry(found["uuid"], found["origin"], message, found)


def _make_entry(uuid: str, origin: str, message: str, fields: dict[str, str]) -> _Entry:
    found = _UUID.match(uuid)
    if found is None:
        return _Entry("", (), origin, message, fields)
    return _Entry(found[1], tuple(found[2].split(".")[1:]), origin, message, fields)


def _read_fields(text: str) -> dict[str, str]:
    """`name=value` up to the end; empty where the rest has another form. Of two with one name, the first counts."""
    fields: dict[str, str] = {}
    place = 0
    while place < len(text):
        found = _FIELD.match(text, place)
        if found is None:
            return {}
        value = found[2]
        fields.setdefault(found[1], _unescape(value[1:-1]) if value.startswith('"') else value)
        place = found.end()
    return fields


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: {"n": "\\n", "r": "\\r"}.get(found[1], found[1]), text) if "\\" in text else text


def _from_client(entry: _Entry, at: int, line: str) -> Parsed:
    """The lines of a connection and of a transaction."""
    session = SESSION_PREFIX + entry.uuid
    if not entry.numbers:
        if entry.message == "connect" and entry.fields.get("ip"):
            return Arrival(session, at, line, client_ip=entry.fields["ip"], part=CLIENT)
        return LifecycleEvent(session, at, line, closes=True) if entry.message == "disconnect" else _NOTE
    queue_id = f"{entry.uuid}.{entry.numbers[0]}"
    fields, code = entry.fields, entry.fields.get("code", "")
    if entry.message.startswith("recipient <"):
        return _recipient(entry, queue_id, session, at, line)
    if entry.message == "message" and "rcpts" in fields:
        counts = _COUNTS.match(fields["rcpts"])
        size = fields.get("size", "")
        announced = Arrival(
            queue_id,
            at,
            line,
            message_id=fields.get("mid", "").strip("<> "),
            size_bytes=int(size) if size.isdecimal() and len(size) < 16 else 0,
            part=ANNOUNCED,
            recipient_count=int(counts[1]) if counts is not None else 0,
        )
        return announced if code in _ACCEPTED else [announced, *_refused(queue_id, session, at, line, fields)]
    if entry.message == "queue" and code == "CONT":  # no plugin took it, so it goes into Haraka's own queue
        return Arrival(queue_id, at, line, part=QUEUE, session_id=session)
    if entry.message == "queue" and code == "OK":
        return Step(queue_id, at, line, GROUPED, "")
    if entry.message == "queue" and code:
        return _refused(queue_id, session, at, line, fields)
    return _NOTE


def _refused(queue_id: str, session: str, at: int, line: str, fields: dict[str, str]) -> list[Event]:
    """The whole message was refused, after its recipients were accepted."""
    return [
        Arrival(queue_id, at, line, part=QUEUE, session_id=session),
        LifecycleEvent(queue_id, at, line, REJECTED, closes=True, response=fields.get("msg", "")),
    ]


def _recipient(entry: _Entry, queue_id: str, session: str, at: int, line: str) -> Parsed:
    found = _RECIPIENT.match(entry.message)
    if found is None or "sender" not in entry.fields or "code" not in entry.fields:
        return Unreadable("a recipient whose fields make no sense")
    recipient, sender = found[1].lower(), entry.fields["sender"]
    if entry.fields["code"] in _ACCEPTED:
        return Arrival(queue_id, at, line, sender=sender, recipients=(recipient,), part=ENVELOPE, session_id=session)
    return Refusal(refusal_id(line), at, line, sender=sender, recipient=recipient, response=entry.fields.get("msg", ""))


def _to_far_server(entry: _Entry, at: int, line: str) -> Parsed:
    """The lines of a queue file."""
    queue_id, group = f"{entry.uuid}.{entry.numbers[0]}", int(entry.numbers[1])
    if entry.message == "delivered":
        return _delivered(entry, queue_id, group, at, line)
    told = _OUTCOME.match(entry.message)
    if told is not None:
        status = DEFERRED if told[2] == "deferred" else BOUNCED
        return _step(queue_id, group, at, line, status, told[3], (told[1].lower(),))
    put_off = _PUT_OFF.match(entry.message)
    if put_off is not None:
        is_named = put_off[1].startswith(_NAMED_BEFORE)
        return _NOTE if is_named else _step(queue_id, group, at, line, DEFERRED, put_off[1])
    if entry.message.startswith(_BOUNCING):
        words = entry.message.removeprefix(_BOUNCING)
        if words.startswith(_NAMED_BEFORE):
            return _NOTE
        is_given_up = words.startswith(_GIVEN_UP)
        words = words.removeprefix(_GIVEN_UP).removesuffix(")") if is_given_up else words
        return _step(queue_id, group, at, line, EXPIRED if is_given_up else BOUNCED, words)
    if _DELETED.match(entry.message):
        return _step(queue_id, group, at, line, DISCARDED, entry.message)
    if entry.message.startswith("recipient "):
        return Unreadable("a recipient whose status makes no sense")
    return _NOTE


def _step(
    queue_id: str, group: int, at: int, line: str, status: str, words: str, recipients: tuple[str, ...] = ()
) -> Step:
    return Step(queue_id, at, line, GROUPED, "", recipients=recipients, status=status, answer=words, group=group)


def _delivered(entry: _Entry, queue_id: str, group: int, at: int, line: str) -> Parsed:
    fields = entry.fields
    counts = _COUNTS.match(fields.get("rcpts", ""))
    if counts is None or not fields.get("domain"):
        return Unreadable("a delivery whose fields make no sense")
    host, ip = fields.get("host", ""), fields.get("ip", "")
    return Step(
        queue_id,
        at,
        line,
        GROUPED,
        "",
        status=DELIVERED,
        answer=fields.get("response", ""),
        group=group,
        domain=fields["domain"].lower(),
        counts=tuple(map(int, counts.groups())),
        is_first=fields.get("fails") == "0",
        remote_host="" if host == ip else host,
        remote_ip=ip,
        transport=fields.get("mode", "").lower() or "smtp",
    )


def _line_reader(stamps: StampReader) -> ReadLine:
    def read_line(line: str) -> Parsed | None:
        found = _STAMP.match(line)
        if found is None:
            return None
        return parse_message(line[found.end() :], stamps.read(found[1], found[2], found[3]), line)

    return read_line


def read_message(header: Header, line: str, stamps: StampReader) -> Parsed:
    """A line of Haraka behind a head of syslog's or the journal's; its own stamp may stand behind that."""
    text = header.text[header.start :]
    found = _STAMP.match(text)
    return parse_message(text[found.end() :] if found is not None else text, header.at, line) or _NOTE


FORMAT: LogFormat = LogFormat("haraka", programs=("haraka",), read_message=read_message, line_reader=_line_reader)
