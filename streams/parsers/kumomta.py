"""KumoMTA: its log records, a JSON object a line, → events. Pure.

What strangers wrote stands inside JSON strings, so it can't end a field. A value counts as a fact only where KumoMTA
itself fills it in: the name that a client gives itself is not its host, and a record made for a log hook is no mail.
An id stands for one message. Each recipient has records of its own, or one record lists several.
"""

from __future__ import annotations

from typing import Any

import msgspec
from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, EXPIRED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import Arrival, Attempt, Event, Ignored, Parsed, Refusal, Unreadable
from postwatch.streams.parsers.json_envelope import around_a_line
from postwatch.streams.parsers.log_format import LogFormat, ReadLine
from postwatch.streams.parsers.queue_ids import refusal_id
from postwatch.streams.parsers.smtp import next_queue_id
from postwatch.streams.parsers.syslog import DOCKER_JSON
from postwatch.streams.parsers.timestamps import MOST_MS, StampReader

_JOURNAL_MARK = '"__REALTIME_TIMESTAMP":'
"""What no record of KumoMTA has, and every JSON record of the journal."""

_STATUSES = {
    "Delivery": DELIVERED,
    "TransientFailure": DEFERRED,
    "Deferral": DEFERRED,
    "Delayed": DEFERRED,
    "Bounce": BOUNCED,
    "Expiration": EXPIRED,
    "AdminBounce": CANCELLED,
}
_WAITS = ("Deferral", "Delayed")
_KINDS = {
    "OOB": Ignored("late-bounce"),
    "Feedback": Ignored("feedback"),
    "AdminRebind": Ignored("requeued"),
    "DeferredInjectionRebind": Ignored("requeued"),
    "XferIn": Ignored("requeued"),
    "XferOut": Ignored("requeued"),
}
_LOGINS = ("authn_id", "http_auth")
"""What of a message's metadata tells who logged in; logged where `meta` of the logger's settings names it."""
_MOST_RECIPIENTS = 1000

_OTHER = Ignored("other")
_LOG_HOOK = Ignored("log-hook")
_LOST = Unreadable("a record whose fields make no sense")


class _EnhancedCode(msgspec.Struct):
    code_class: int = msgspec.field(name="class")
    subject: int
    detail: int


class _Response(msgspec.Struct):
    code: int = 0
    enhanced_code: _EnhancedCode | None = None
    content: str = ""


class _Peer(msgspec.Struct):
    name: str = ""
    addr: str = ""


class _Record(msgspec.Struct):
    type: str = ""
    id: str = ""
    timestamp: float = 0
    sender: str = ""
    recipient: str | list[str] = ""
    size: int = 0
    response: _Response | None = None
    peer_address: _Peer | None = None
    source_address: Any = None
    meta: dict[str, Any] | None = None
    headers: dict[str, Any] | None = None
    delivery_protocol: str | None = None
    reception_protocol: str | None = None
    tls_cipher: str | None = None
    tls_protocol_version: str | None = None


_ADDRESS = compiled(r"[0-9a-fA-F.:]{2,45}")
_decoder = msgspec.json.Decoder(_Record)


class KumoMtaParser:
    """Records with stamps of their own."""

    def __init__(self, stamps: StampReader) -> None:
        self.stamps = stamps
        self.usual: dict[str, ReadLine] = {}

    def parse(self, line: str, tried: ReadLine | None = None) -> Parsed:
        """One line without its newline → what it means. Never raises."""
        return parse_record(line)


def parse_record(line: str) -> Parsed:
    """A record → what it means. Never raises."""
    try:
        record = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return around_a_line(line) or _LOST
    if not record.type or (not record.id and record.type != "Rejection"):
        return around_a_line(line) or _OTHER
    if record.reception_protocol == "LogRecord":
        return _LOG_HOOK
    at = record.timestamp * 1000
    recipients = [record.recipient] if isinstance(record.recipient, str) else record.recipient
    if not 0 < at < MOST_MS or len(recipients) > _MOST_RECIPIENTS:
        return _LOST
    names = tuple(dict.fromkeys(_one_line(name).lower() for name in recipients))
    status = _STATUSES.get(record.type)
    if status is not None:
        attempts: list[Event] = [_attempt(record, int(at), line, status, name) for name in names]
        return attempts[0] if len(attempts) == 1 else attempts or _LOST
    if record.type == "Reception":
        return _arrival(record, int(at), line, names)
    if record.type == "Rejection":
        return _refusal(record, int(at), line, names)
    return _KINDS.get(record.type, Unreadable("a record of a type that is not known"))


def _arrival(record: _Record, at: int, line: str, recipients: tuple[str, ...]) -> Arrival:
    return Arrival(
        record.id,
        at,
        line,
        sender=_one_line(record.sender),
        recipients=recipients,
        client_ip=_client_ip(record),
        authenticated_as=_login(record),
        size_bytes=max(record.size, 0),
        message_id=_header(record, "message-id").removeprefix("<").removesuffix(">"),
        subject=_header(record, "subject"),
        recipient_count=len(recipients),
    )


def _attempt(record: _Record, at: int, line: str, status: str, recipient: str) -> Attempt:
    code, enhanced, response = _answer(record.response)
    peer = record.peer_address or _Peer()
    if status == EXPIRED and not peer.addr:
        code, enhanced = 0, ""  # KumoMTA's own: the last answer of a server is told
    return Attempt(
        record.id,
        at,
        line,
        status,
        is_attempt=record.type not in _WAITS,
        recipient=recipient,
        smtp_code=code,
        enhanced_code=enhanced,
        response=response,
        remote_host=_one_line(peer.name).rstrip("."),
        remote_ip=peer.addr,
        tls=":".join(filter(None, (record.tls_protocol_version, record.tls_cipher))),
        transport=record.delivery_protocol or "",
        next_queue_id=next_queue_id(response) if status == DELIVERED else "",
        envelope_sender=_one_line(record.sender),
        source_ip=_source_ip(record),
    )


def _refusal(record: _Record, at: int, line: str, recipients: tuple[str, ...]) -> Refusal:
    code, enhanced, response = _answer(record.response)
    return Refusal(
        refusal_id(line),
        at,
        line,
        sender=_one_line(record.sender),
        recipient=recipients[0] if recipients else "",
        client_ip=_client_ip(record),
        authenticated_as=_login(record),
        smtp_code=code,
        enhanced_code=enhanced,
        response=response,
    )


def _answer(response: _Response | None) -> tuple[int, str, str]:
    """Reply code, enhanced code, and the answer as the far server gave it."""
    if response is None:
        return 0, "", ""
    code = response.code if 200 <= response.code < 600 else 0
    parts = response.enhanced_code
    enhanced = f"{parts.code_class}.{parts.subject}.{parts.detail}" if parts is not None else ""
    return code, enhanced, " ".join(filter(None, (str(code or ""), enhanced, _one_line(response.content))))


def _client_ip(record: _Record) -> str:
    return record.peer_address.addr if record.peer_address is not None else ""


def _source_ip(record: _Record) -> str:
    """Its address has the port behind it: `192.0.2.5:41234`, `[2001:db8::5]:41234`."""
    source = record.source_address
    address = source.get("address") if isinstance(source, dict) else ""
    if not isinstance(address, str):
        return ""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or (":" in host and host[:1] != "["):
        host = address
    host = host.removeprefix("[").removesuffix("]")
    return host if _ADDRESS.fullmatch(host) else ""


def _login(record: _Record) -> str:
    for name in _LOGINS:
        login = (record.meta or {}).get(name)
        if isinstance(login, str) and login:
            return _one_line(login)
    return ""


def _header(record: _Record, wanted: str) -> str:
    for name, value in (record.headers or {}).items():
        if name.lower() == wanted and isinstance(value, str):
            return _one_line(value)
    return ""


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "\\n")


def read_line(line: str) -> Parsed | None:
    """A JSON object, unless it is one that the journal or Docker put around a line."""
    if line[:1] != "{" or _JOURNAL_MARK in line or line.startswith(DOCKER_JSON):
        return None
    return parse_record(line)


FORMAT: LogFormat = LogFormat("kumomta", line_reader=lambda stamps: read_line, parser=KumoMtaParser)
