"""The head of a syslog line: when, which program, and where its message begins. Pure.

Invariant: the program's name is what syslog wrote, never what a message says. Of the wrappings around a line (a colour,
Docker's stamp, journald's JSON) nothing is believed but the stamp, the program and the message.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from postwatch.streams.parsers.timestamps import StampReader

_TAG = r"(?P<program>[\w./+-]++)(?:\[\d++\])?+:? ?+(?:\[ID \d++ \w++\.\w++\] )?+"
"""Program and process; Solaris puts an id of its own behind them."""
_HOST = r"[\w.:\[\]%-]++(?<!:)"
"""A name or an address; with a colon behind it, it is the tag of a line without a host."""
_RFC3164 = re.compile(
    r"(?:<\d{1,3}>)?+(?P<stamp>[A-Z][a-z][a-z]  ?\d\d? \d\d:\d\d:\d\d) "
    rf"(?:<\w++\.\w++> )?+{_HOST} (?:mail\.\w++ )?+{_TAG}"
)
"""FreeBSD puts facility and level in front of the host, BusyBox behind it."""
_ISO = re.compile(
    r"(?:<\d{1,3}>)?+(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?+(Z|[+-]\d\d:?\d\d)?+ "
    rf"(?:\[\w++:[\w.-]++:([\w./+-]++)\] |(?:{_HOST} )?{_TAG})"
)
"""With the journal module's form, `[1:host:postfix/smtp]`, in place of host and tag."""
_NO_HOST = re.compile(rf"(?:<\d{{1,3}}>)?+(?P<stamp>[A-Z][a-z][a-z]  ?\d\d? \d\d:\d\d:\d\d) {_TAG}")
_RFC5424 = re.compile(
    r"<\d{1,3}>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?+(Z|[+-]\d\d:?\d\d) \S++ (\S++) \S++ \S++ "
    r'(?:-|(?:\[(?:[^\]"\\]++|\\.|"(?:[^"\\]++|\\.)*+")*+\])++) ?+(?:\ufeff)?+'
)
_COLOUR = re.compile(r"\x1b\[[\d;]*+m")
_DOCKER = re.compile(
    r"(?:[\w.-]{1,64}+ *+\| )?+(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?+Z (?:std(?:out|err) F )?+)?+"
    r"(?=(?:<\d{1,3}>1? ?+)?+(?:[A-Z][a-z][a-z]  ?\d\d? \d\d:|\d{4}-\d\d-\d\d[T ]\d\d:)|\x1b)"
)
"""The container's name, Docker's own stamp, the stream: in front of a stamp of syslog's or Exim's."""
_PROCESS = re.compile(r"\[0*(\d{1,7})\]: ?$")
_HEAD_OF_TAG = 12
_MOST_JSON = 64 * 1024
DOCKER_JSON = '{"log":"'
"""How a line of Docker's own files begins."""


class Header(NamedTuple):
    at: int
    """ms since the epoch."""
    program: str
    """As logged: postfix/submission/smtpd, exim, sendmail."""
    text: str
    """The line without what was wrapped around it."""
    start: int
    """Where in `text` the program's message begins."""


def process_before(text: str, start: int) -> str:
    """The number of the process whose message begins at `start`; empty where it does not stand right before it."""
    found = _PROCESS.search(text[max(0, start - _HEAD_OF_TAG) : start])
    return found[1] if found is not None else ""


def unwrap(line: str) -> str:
    """The line without what Docker and terminals put around it; `docker logs`, its JSON files and compose alike."""
    if line.startswith(DOCKER_JSON):
        try:
            line = _docker_decoder.decode(line).log.rstrip("\r\n")
        except (msgspec.DecodeError, UnicodeError):
            return line
    if "\x1b" in line[:64]:
        line = _COLOUR.sub("", line, count=16)
    docker = _DOCKER.match(line)
    return line[docker.end() :] if docker is not None else line


class HeaderReader:
    """Reads the heads of lines of one zone."""

    def __init__(self, stamps: StampReader) -> None:
        self._stamps = stamps

    def read(self, line: str) -> Header | None:
        """None: the line has no head of a form that is known, or an impossible time."""
        found = _RFC3164.match(line)
        try:
            if found is not None:
                return Header(self._stamps.read_without_year(found["stamp"]), found["program"], line, found.end())
            return self._read_rarer(line)
        except ValueError:
            return None

    def _read_rarer(self, line: str) -> Header | None:
        text = line.removeprefix("\ufeff")
        if text[:1] == "{":
            return self._read_journal(text)
        text = unwrap(text)
        found = _RFC5424.match(text)
        if found is not None:
            second, fraction, zone, program = found.groups()
            return Header(self._stamps.read_iso(second, fraction, zone), program, text, found.end())
        found = _ISO.match(text)
        if found is not None:
            second, fraction, zone, module, program = found.groups()
            return Header(self._stamps.read_iso(second, fraction, zone), module or program, text, found.end())
        found = _RFC3164.match(text) or _NO_HOST.match(text)
        if found is not None:
            return Header(self._stamps.read_without_year(found["stamp"]), found["program"], text, found.end())
        return None

    def _read_journal(self, text: str) -> Header | None:
        """A record of `journalctl -o json`; a message that is no UTF-8 comes as a list of its bytes."""
        if len(text) > _MOST_JSON:
            return None
        try:
            record = _journal_decoder.decode(text)
            at = int(record.at) // 1000
        except (msgspec.DecodeError, ValueError):
            return None
        message = record.message
        if not isinstance(message, str):
            message = bytes(byte & 0xFF for byte in message).decode("utf-8", "backslashreplace")
        return Header(at, record.program, message.replace("\n", "\\n"), 0) if record.program else None


class _DockerRecord(msgspec.Struct):
    log: str


class _JournalRecord(msgspec.Struct):
    at: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    message: str | list[int] = msgspec.field(name="MESSAGE")
    program: str = msgspec.field(name="SYSLOG_IDENTIFIER", default="")


_docker_decoder = msgspec.json.Decoder(_DockerRecord)
_journal_decoder = msgspec.json.Decoder(_JournalRecord)
