"""The formats by name: what `--format` and the `format` header may say.

A line is read as what its head says that it is: Exim's own stamp, or a syslog head with the name of a program. So files
that many daemons share, and records without a header, need no setting; what a message says never changes its format.
"""

from __future__ import annotations

import datetime
import re
from typing import Protocol

from postwatch.producers.record import FORMATS
from postwatch.producers.service.errors import BadInputError
from postwatch.streams.parsers import kumomta, opensmtpd, sendmail
from postwatch.streams.parsers.events import Ignored, Parsed, Unreadable
from postwatch.streams.parsers.exim.main_log import HEADERS, NO_STAMP, EximMainParser
from postwatch.streams.parsers.kumomta import KumoMtaParser
from postwatch.streams.parsers.postfix import daemons, filters
from postwatch.streams.parsers.postfix.fast_path import FAST_FORMS, FastForm
from postwatch.streams.parsers.postfix.grammar import HEAD, ID
from postwatch.streams.parsers.syslog import DOCKER_JSON, Header, HeaderReader, unwrap
from postwatch.streams.parsers.timestamps import StampReader

_NO_STAMP = Ignored("no-stamp")
_STAMP_LOST = Unreadable("a stamp that makes no sense")
_WITHOUT_STAMP = re.compile(rf".{{0,60}}? postfix[\w.+-]*+/[\w./+-]++\[\d++\]:? {ID}:? ")
_MOST_HEAD = 200
_OTHER_PROGRAM = Ignored("other-program")
_EXIM_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:")
_PIECE = re.compile(r"\[(\d++)(?:(\\)|/)\d++\] ")
_CONTINUED = Ignored("continued")
_REPEATED = Ignored("repeated")
_REPETITIONS = ("message repeated ", "last message repeated ")
_MOST_AGENTS = 1000
_MOST_HEADS = 10_000
_STAMP_LENGTH = len("Nov 23 13:42:18")
EXIM_PROGRAMS = frozenset(("exim", "exim4", "exim5"))


class LineParser(Protocol):
    stamps: StampReader
    """To be told when the lines that follow were shipped."""

    def parse(self, line: str) -> Parsed: ...


class SyslogParser:
    """Lines behind syslog's head, of all programs that are known or of those of one format; and JSON records."""

    def __init__(self, stamps: StampReader, only: str = "") -> None:
        self.stamps = stamps
        self._headers = HeaderReader(stamps)
        self._exim = EximMainParser(stamps)
        self._only = only
        self._has_postfix = only in ("", "postfix")
        self._agents: dict[str, str] = {}
        self._usual: dict[str, FastForm] = {}
        """By the head behind the stamp, `]: ` included, as lines had it before."""
        self._seconds = stamps.seconds

    def parse(self, line: str) -> Parsed:
        """One line without its newline → what it means. Never raises."""
        return self.parse_usual(line) or self.parse_any(line)

    def parse_usual(self, line: str) -> Parsed | None:
        """A usual line of a Postfix daemon that was heard of before; None: another one, for `parse_any`."""
        start = line.find("]: ", _STAMP_LENGTH) + 3
        usual = self._usual.get(line[_STAMP_LENGTH:start])
        at = self._seconds.get(line[:_STAMP_LENGTH])
        if usual is None or at is None:
            return None
        found = usual.expression.match(line, start)
        return usual.read(usual.agent, found.groups(""), at, line) if found is not None else None

    def parse_any(self, line: str) -> Parsed:
        """As `parse`, without the short way; what a line comes to is the same."""
        if self._has_postfix:
            found = HEAD.match(line)
            if found is not None:
                return self._parse_postfix(line, found)
        if line[:1] == "{" and not self._only and kumomta.JOURNAL_MARK not in line:
            return _NO_STAMP if line.startswith(DOCKER_JSON) else kumomta.parse_record(line)
        return self._parse_headed(line)

    def _parse_headed(self, line: str) -> Parsed:
        header = self._headers.read(line)
        if header is None:
            return _STAMP_LOST if _WITHOUT_STAMP.match(line, 0, _MOST_HEAD) else _NO_STAMP
        at, program, text, start = header
        if text.startswith(_REPETITIONS, start) or (program == "last" and text.startswith("message repeated ", start)):
            return _REPEATED
        if self._has_postfix and program.startswith("postfix"):
            if not daemons.is_postfix(program):
                return _OTHER_PROGRAM
            return daemons.parse_message(program, text, start, at, line)
        if self._has_postfix and program in filters.AMAVIS_PROGRAMS:
            return filters.read_amavis(text, start, at, line)
        if program in EXIM_PROGRAMS and self._only in ("", "exim"):
            return self._parse_exim(header)
        if program in sendmail.PROGRAMS and self._only in ("", "sendmail"):
            return sendmail.parse_message(text, start, at, line)
        if program == opensmtpd.PROGRAM and self._only in ("", "opensmtpd"):
            return opensmtpd.parse_message(text, start, at, line)
        return _OTHER_PROGRAM

    def _parse_postfix(self, line: str, head: re.Match[str]) -> Parsed:
        stamp, program, queue_id = head.groups()
        try:
            at = self.stamps.read_without_year(stamp)
        except ValueError:
            return _STAMP_LOST
        if queue_id is None and line.startswith("[ID ", head.end()):
            return self._parse_headed(line)
        agent = self._agents.get(program)
        if agent is None:
            agent = daemons.agent_of(program)
            if len(self._agents) < _MOST_AGENTS:
                self._agents[program] = agent
        if agent in FAST_FORMS:
            if len(self._usual) >= _MOST_HEADS:
                self._usual.clear()
            end = head.end() if queue_id is None else head.start(3)
            self._usual[line[_STAMP_LENGTH:end]] = FAST_FORMS[agent]
        if queue_id is None:
            return daemons.parse_without_id(line, head.end(), at, line)
        return daemons.parse_with_id(agent, line, head.end(), at, line, queue_id)

    def _parse_exim(self, header: Header) -> Parsed:
        """Exim may put its own stamp behind syslog's, and counts the pieces of a long entry, `[1\\2] ` to `[2/2] `."""
        text = header.text[header.start :]
        piece = _PIECE.match(text)
        if piece is not None:
            if piece[1] != "1":
                return _CONTINUED
            text = text[piece.end() :]
        if not _EXIM_STAMP.match(text):
            moment = datetime.datetime.fromtimestamp(header.at / 1000, datetime.UTC)
            text = f"{moment:%Y-%m-%d %H:%M:%S} +0000 {text}"
        return self._exim.parse_cut(text) if piece is not None and piece[2] else self._exim.parse(text)


class AutoParser:
    """Lines of any known format, each told by its head."""

    def __init__(self, stamps: StampReader) -> None:
        self.stamps = stamps
        self._parse_exim = EximMainParser(stamps).parse
        syslog = SyslogParser(stamps)
        self._parse_usual, self._parse_syslog = syslog.parse_usual, syslog.parse_any

    def parse(self, line: str) -> Parsed:
        if line[10:11] == " ":
            parsed = self._parse_exim(line)
            if (parsed is not NO_STAMP and parsed is not HEADERS) or _EXIM_STAMP.match(line):
                return parsed
        return self._parse_usual(line) or self._parse_any(line)

    def _parse_any(self, line: str) -> Parsed:
        while True:
            if line[:1] == "\ufeff" and _EXIM_STAMP.match(line, 1):
                return self._parse_exim(line[1:])
            if _EXIM_STAMP.match(line):
                return self._parse_exim(line)
            parsed = self._parse_syslog(line)
            if parsed is not _NO_STAMP and parsed is not _STAMP_LOST:
                return parsed
            inner = unwrap(line)
            if inner == line:
                break
            line = inner
        without_head = self._parse_exim(line)  # a header in the reject log may hold anything
        return parsed if without_head == _NO_STAMP else without_head


def make_parser(name: str, stamps: StampReader) -> LineParser:
    """A parser of the named format. Raises BadInputError for a name that is not known."""
    if name == "auto":
        return AutoParser(stamps)
    if name in ("exim-main", "exim-reject"):
        return EximMainParser(stamps)
    if name in ("exim-syslog", "postfix", "sendmail", "opensmtpd"):
        return SyslogParser(stamps, only=name.removesuffix("-syslog"))
    if name == "kumomta":
        return KumoMtaParser(stamps)
    raise BadInputError(f"unknown log format {name!r}; known are {', '.join(FORMATS)}")
