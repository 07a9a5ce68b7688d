"""The contract of `mail.raw`: what a record of raw log lines looks like.

Key: the server's name. Value: one or more whole lines as the file had them, each ending in a newline, at most
MAX_RECORD_BYTES. A record without headers, as rsyslog, Vector, Fluent Bit or kcat send, is as welcome: one line,
format auto. An empty value with a `heartbeat` header says that the server lives. Headers are text; unknown ones
are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

RECORD_VERSION = 1
MAX_RECORD_BYTES = 256 * 1024
MAX_LINE_BYTES = 64 * 1024
"""A longer line is cut by the shipper to this many bytes, newline included, marked with CUT_MARK and counted."""
CUT_MARK = b" [line cut by postwatch]"

Headers = list[tuple[str, bytes]]


class RawHeaders(NamedTuple):
    """The headers of a record of lines. `file` and `byte_offset` are absent in records of other senders."""

    format: str = "auto"
    """A name that the join's parsers know. The shipper passes any name on, so that new formats need no new shippers."""
    tz: str = ""
    """IANA zone of the log's stamps; empty: the joiner's own setting."""
    file: str = ""
    """Identity of the file's content, opaque; with `byte_offset` it tells a repeated line from a new one."""
    byte_offset: int = -1
    """Offset in the file of the value's first byte; lines that were cut make it count more than the value's bytes."""
    end_offset: int = -1
    """Offset in the file behind the value's last line."""
    sent_ms: int = 0

    def encode(self) -> Headers:
        return [
            ("v", b"%d" % RECORD_VERSION),
            ("format", self.format.encode()),
            ("tz", self.tz.encode()),
            ("file", self.file.encode()),
            ("offset", b"%d" % self.byte_offset),
            ("end", b"%d" % self.end_offset),
            ("sent", b"%d" % self.sent_ms),
        ]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """That a server lives, how far its shipper lags, and when its last line was read."""

    sent_ms: int
    last_line_ms: int
    """Wall clock of the last line read, in ms since the epoch; 0: none yet."""
    lag_bytes: int
    """Bytes in the followed files that Kafka has not acknowledged yet."""
    files: int
    shipper_version: str
    started_ms: int = 0
    """Since when the shipper counts what follows; 0: a version that does not count."""
    truncations: int = 0
    """Followed files that were truncated: what was unread of them may be gone."""
    unread_files: int = 0
    """Files that disappeared, or could not be read, before their end: their lines are lost."""
    cut_lines: int = 0
    """Lines that were too long, so that only their beginning was sent."""

    def encode(self) -> Headers:
        body = {
            "last_line": self.last_line_ms,
            "lag_bytes": self.lag_bytes,
            "files": self.files,
            "shipper": self.shipper_version,
            "started": self.started_ms,
            "truncations": self.truncations,
            "unread_files": self.unread_files,
            "cut_lines": self.cut_lines,
        }
        return [
            ("v", b"%d" % RECORD_VERSION),
            ("sent", b"%d" % self.sent_ms),
            ("heartbeat", json.dumps(body).encode()),
        ]


_NO_HEADERS = RawHeaders()
_TOO_LATE_MS = 253_402_300_800_000
"""The year 10000: no time that a person or a table can show."""


def decode_headers(headers: Sequence[tuple[str, bytes | None]] | None) -> RawHeaders | Heartbeat:
    """Headers as Kafka gave them → their meaning. Never raises: what can't be read counts as absent."""
    if not headers:
        return _NO_HEADERS
    found = dict(headers)
    if "heartbeat" in found:
        return _decode_heartbeat(found)
    get = found.get
    return RawHeaders(
        _text(get("format")) or "auto",
        _text(get("tz")),
        _text(get("file")),
        _number(get("offset"), -1),
        _number(get("end"), -1),
        _number(get("sent"), 0, _TOO_LATE_MS),
    )


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if value else ""


def _decode_heartbeat(found: dict[str, bytes | None]) -> Heartbeat:
    try:
        body = json.loads(found["heartbeat"] or b"")
    except (ValueError, RecursionError):
        body = {}
    if not isinstance(body, dict):
        body = {}

    def whole(key: str, limit: int) -> int:
        value = body.get(key, 0)
        return value if type(value) is int and 0 <= value < limit else 0

    return Heartbeat(
        sent_ms=_number(found.get("sent"), 0, _TOO_LATE_MS),
        last_line_ms=whole("last_line", _TOO_LATE_MS),
        lag_bytes=whole("lag_bytes", 1 << 63),
        files=whole("files", 1 << 32),
        shipper_version=str(body.get("shipper", "")).encode("utf-8", "replace").decode(),
        started_ms=whole("started", _TOO_LATE_MS),
        truncations=whole("truncations", 1 << 32),
        unread_files=whole("unread_files", 1 << 32),
        cut_lines=whole("cut_lines", 1 << 63),
    )


def _number(value: bytes | None, otherwise: int, limit: int = 1 << 63) -> int:
    if not value or len(value) > 19 or not value.isdigit():
        return otherwise
    number = int(value)
    return number if number < limit else otherwise
