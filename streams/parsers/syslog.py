"""The head of a syslog line: when, which program, and where its message begins. Pure.

Invariant: the program's name is what syslog wrote, never what a message says. Of the wrappings around a line (a colour,
Docker's stamp, journald's JSON) nothing is believed but the stamp, the program and the message.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.log_records import DOCKER, JOURNAL
from postwatch.streams.parsers.timestamps import StampReader, fraction_ms

_TAG = r"(?P<program>[\w./+@\\-]++)(?:\[\d++\])?+:? ?+(?:\[ID \d++ \w++\.\w++\] )?+"
"""Program and process; Solaris puts an id of its own behind them."""
_HOST = r"(?!\[[\w-]++[/\]])[\w.:\[\]%@/-]++(?<!:)"
"""A name or an address, syslog-ng's source or a chain of relays before it; with a colon behind it, it is the tag of a
line without a host. A program in brackets is none."""
_LEVELS = "emerg|alert|crit|critical|err|error|warn|warning|notice|info|debug|panic|fatal"
_FACILITIES = "kern|user|mail|daemon|auth|authpriv|syslog|lpr|news|uucp|cron|security|ftp|ntp|local[0-7]"
_MARK = rf"(?:<\w++\.\w++>|[\[(]?+(?:{_FACILITIES})[.:|](?:{_LEVELS})[\])]?+:?+|(?:level=|\[)?+(?i:{_LEVELS})\]?+) ++"
_LEVEL = rf"(?:{_MARK})?"
"""`mail.info`, `<mail.info>`, `[mail.info]`, AIX's `mail:info`, or a container's `INFO`, padded with blanks. It may be
left to be a host of that name."""
_RFC3164 = compiled(
    r"(?:<\d{1,3}>)?+(?P<stamp>[A-Z][a-z][a-z]  ?\d\d? \d\d:\d\d:\d\d) "
    rf"(?!{_MARK}|\d{{4}} ){_HOST} (?:mail[.:]\w++:?+ )?+{_TAG}"
)
"""The usual head. FreeBSD puts facility and level in front of the host, BusyBox behind it. A year is no host."""
_FRACTION = r"([.,]\d{1,9})?+"
_BEFORE_TAG = rf"{_LEVEL}(?:{_HOST} )?{_LEVEL}"
_ISO = compiled(
    rf"(?:<\d{{1,3}}>)?+(\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d){_FRACTION}(Z| ?[+-]\d\d:?\d\d| (?:UTC|GMT)(?= ))?+ "
    rf"(?:\[\w++:[\w.-]++:([\w./+-]++)\] |{_BEFORE_TAG}{_TAG})"
)
"""With the journal module's form, `[1:host:postfix/smtp]`, in place of host and tag."""
_USUAL_ISO = compiled(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?+(Z|[+-]\d\d:?\d\d) "
    rf"(?!\d{{4}}-\d\d-|{_MARK}){_HOST} ([\w./+@\\-]++)\[\d++\]: (?:\[ID \d++ \w++\.\w++\] )?+"
)
"""What rsyslog writes by default: read without a look for wrappings. A stamp behind it is no host."""
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
_FULL = compiled(
    rf"{_DAY}(\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d){_FRACTION} ([A-Z]{{1,5}}|[+-]\d\d(?::?\d\d)?) {_BEFORE_TAG}{_TAG}"
)
"""`journalctl -o short-full`, which names the zone as the system abbreviates it."""
_BSD = compiled(
    rf"(?:<\d{{1,3}}>)?+(?:{_DAY})?+(?:(\d{{4}}) )?+([A-Z][a-z][a-z]  ?\d\d? )(?:(\d{{4}}) )?+"
    rf"(\d\d:\d\d:\d\d){_FRACTION}(?: (\d{{4}})(?= ))?+ {_BEFORE_TAG}{_TAG}"
)
"""With a year, which stands first, behind the day or behind the time; with a fraction; with no host."""
_UNIX = compiled(rf"(\d{{9,10}})(\.\d{{1,9}})?+ {_HOST} {_TAG}")
"""`journalctl -o short-unix`."""
_METALOG = compiled(r"(?P<stamp>[A-Z][a-z][a-z]  ?\d\d? \d\d:\d\d:\d\d) \[(?P<program>[\w./+@\\-]++)\] ")
_DATELESS = compiled(rf"\[ *+\d++\.\d{{6}}(?: [ <][ \d.*]*+>?)?+\] {_HOST} (?P<program>[\w./+@\\-]++)(?:\[\d++\])?+: ")
"""`journalctl -o short-monotonic` and `short-delta`: seconds since the start of the machine."""
_INNER = compiled(r"(?P<program>[\w./+@\\-]++)\[[\w.]++\](?:\[\d++\])?+: ")
_RFC5424 = compiled(
    r"(?:<\d{1,3}>)?+1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?+(Z|[+-]\d\d:?\d\d) \S++ (\S++) (\S++) \S++ "
    r'(?:-|(?:\[(?:[^\]"\\]++|\\.|"(?:[^"\\]++|\\.)*+")*+\])++) ?+(?:\ufeff)?+'
)
_COLOUR = compiled(r"\x1b\[[\d;]*+m")
_DOCKER = compiled(
    r"(?:[\w.@-]{1,200}+ *+\| |\[[\w./-]{1,200}+\] )?+"
    r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?+(?:Z|[+-]\d\d:\d\d) (?:std(?:out|err) F )?+"
    r"|(?:@[0-9a-f]{24}|\d{4}-\d\d-\d\d[T_]\d\d:\d\d:\d\d\.\d{5}) (?:\w++\.\w++: )?+)?+"
    r"(?=(?:<\d{1,3}>1? ?+)?+(?:[A-Z][a-z][a-z]  ?\d\d? \d\d:|\d{4}-\d\d-\d\d[T ]\d\d:)|\x1b)"
)
"""The container's, task's or pod's name, the own stamp of Docker, containerd or svlogd, stream or level: before a stamp
of syslog or Exim."""
_PROCESS = compiled(r"\[0*(\d{1,7})\]: ?$")
EXIM_OR_SYSLOG = compiled(
    rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d{_FRACTION}(?:Z| ?[+-]\d\d:?\d\d| (?:UTC|GMT))?+ "
    rf"{_BEFORE_TAG}{_INNER.pattern}"
)
"""A stamp such as Exim writes it, but a program and its process behind it, where Exim has fixed words."""
_HEAD_OF_TAG = 12
_MOST_DIGITS = 7
LEFT_OUT = compiled(r"\[[\d.]++[BKMGTPE] blob data\]$")
"""What journalctl prints in place of a text with bytes that it can't print (systemd 252)."""
LEFT_OUT_END = " blob data]"
LEFT_OUT_RECORD = "[0B blob data]"
_MOST_JSON = 64 * 1024
_JOURNAL_STARTS = ("\x1e", "d")
"""Of `journalctl -o json-seq` and `json-sse`."""
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
    process: str = ""
    """The number of the process, where it does not stand in `text` right before the message."""


def process_of(header: Header) -> str:
    """The number of the process that wrote the message, without leading zeros; empty where the line does not tell."""
    return header.process or process_before(header.text, header.start)


def process_before(text: str, start: int) -> str:
    """The number of the process whose message begins at `start`; empty where it does not stand right before it."""
    found = _PROCESS.search(text[max(0, start - _HEAD_OF_TAG) : start])
    return found[1] if found is not None else ""


def process_in(line: str, message: str) -> str:
    """The same of a line whose message begins with those words, where its head is not read yet."""
    found = process_before(line, line.find(message))
    if found:
        return found
    if line[:1] in "{\x1ed":
        try:
            record = JOURNAL.decode(line.removeprefix("\x1e").removeprefix("data: "))
        except msgspec.DecodeError:
            return ""
        return _number(record.claimed_process) or _number(record.process)
    head = _RFC5424.match(line)
    return _number(head[5]) if head is not None else ""


def _number(text: object) -> str:
    """The number that a field of a record is; a field that came twice is a list, and tells none."""
    if not isinstance(text, str) or not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        return ""
    return text.lstrip("0")


def unwrap(line: str) -> str:
    """The line without what Docker and terminals put around it; `docker logs`, its JSON files and compose alike."""
    if line.startswith(DOCKER_JSON):
        try:
            line = DOCKER.decode(line).log.rstrip("\r\n")
        except (msgspec.DecodeError, UnicodeError):
            return line
    if "\x1b" in line[:64]:
        line = _COLOUR.sub("", line, count=16)
    docker = _DOCKER.match(line)
    return line[docker.end() :] if docker is not None else line


def dateless_program(line: str) -> str | None:
    """The program of a line whose head has no date; None: it is no such line."""
    found = _DATELESS.match(line) if line[:1] == "[" else None
    return found["program"] if found is not None else None


def read_inner(text: str, at: int) -> Header | None:
    """A program and its process without a stamp, as a wrapping program's message begins with them."""
    found = _INNER.match(text)
    return Header(at, found["program"], text, found.end()) if found is not None else None


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
            found = _USUAL_ISO.match(line)
            if found is not None:
                second, fraction, zone, program = found.groups()
                return Header(self._stamps.read(second, fraction, zone), program, line, found.end())
            return self._read_rarer(line)
        except ValueError:
            return None

    def _read_rarer(self, line: str) -> Header | None:
        text = line.removeprefix("\ufeff")
        if text[:1] in _JOURNAL_STARTS:
            text = text.removeprefix("\x1e").removeprefix("data: ")
        if text[:1] == "{":
            return self._read_journal(text)
        text = unwrap(text)
        found = _RFC5424.match(text)
        if found is not None:
            second, fraction, zone, program, process = found.groups()
            at = self._stamps.read(second, fraction, zone)
            return Header(at, program, text, found.end(), _number(process))
        found = _ISO.match(text)
        if found is not None:
            second, fraction, zone, module, program = found.groups()
            return Header(self._stamps.read(second, fraction, zone), module or program, text, found.end())
        found = _BSD.match(text)
        if found is not None:
            first, day, middle, time, fraction, last, program = found.groups()
            at = self._stamps.read_day(first or middle or last, day + time, fraction)
            return Header(at, program, text, found.end())
        return self._read_of_journalctl(text)

    def _read_of_journalctl(self, text: str) -> Header | None:
        found = _FULL.match(text)
        if found is not None:
            second, fraction, zone, program = found.groups()
            return Header(self._stamps.read_named(second, fraction, zone), program, text, found.end())
        found = _UNIX.match(text)
        if found is not None:
            at = int(found[1]) * 1000 + fraction_ms(found[2])
            return Header(at, found["program"], text, found.end())
        found = _METALOG.match(text)
        if found is not None:
            return Header(self._stamps.read_without_year(found["stamp"]), found["program"], text, found.end())
        return None

    def _read_journal(self, text: str) -> Header | None:
        """A record of `journalctl -o json`; a message that is no UTF-8 comes as a list of its bytes."""
        if len(text) > _MOST_JSON:
            return None
        try:
            record = JOURNAL.decode(text)
            at = int(record.at) // 1000
        except (msgspec.DecodeError, ValueError):
            return None
        message = LEFT_OUT_RECORD if record.message is None else record.message
        if not isinstance(message, str):
            message = bytes(byte & 0xFF for byte in message).decode("utf-8", "backslashreplace")
        process = _number(record.claimed_process) or _number(record.process)
        return Header(at, record.program, message.replace("\n", "\\n"), 0, process) if record.program else None
