"""The log formats that are known, and the parser that reads each line as what its head says that it is.

Files that many daemons share, and records without a header, need no setting. What a message says never changes its
format. To add a format, write its parser with a `LogFormat` and name it in FORMATS; `docs/add-a-log-format.md` has
the steps.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from postwatch.producers.service.errors import BadInputError
from postwatch.streams.parsers import dma, kumomta, opensmtpd, sendmail
from postwatch.streams.parsers.events import Ignored, Parsed
from postwatch.streams.parsers.exim import main_log, over_syslog
from postwatch.streams.parsers.log_format import LineParser, LogFormat, ReadLine, ReadMessage
from postwatch.streams.parsers.postfix import lines as postfix
from postwatch.streams.parsers.suppressed import LOGGERS
from postwatch.streams.parsers.syslog import Header, HeaderReader, unwrap
from postwatch.streams.parsers.timestamps import StampReader

FORMATS: tuple[LogFormat, ...] = (
    main_log.MAIN,
    main_log.REJECT,
    over_syslog.FORMAT,
    postfix.FORMAT,
    sendmail.FORMAT,
    opensmtpd.FORMAT,
    dma.FORMAT,
    kumomta.FORMAT,
)
AUTO = "auto"
"""In place of a format's name: each line is read as what it is."""
FORMAT_NAMES = (AUTO, *(log_format.name for log_format in FORMATS))

_NO_STAMP = Ignored("no-stamp")
_OTHER_PROGRAM = Ignored("other-program")
_REPEATED = Ignored("repeated")
_REPETITIONS = ("message repeated ", "last message repeated ")
_MOST_PROGRAMS = 10_000


class FormatsParser:
    """Lines of several formats, or of one that syslog writes: told by their form, else by syslog's head."""

    def __init__(self, stamps: StampReader, formats: Sequence[LogFormat]) -> None:
        self.stamps = stamps
        self._headers = HeaderReader(stamps)
        self._line_readers = [each.line_reader(stamps) for each in formats if each.line_reader is not None]
        self._usual: dict[str, ReadLine] = {}
        """By the first character of a line: who claimed such a line last, and nearly always claims the next one too."""
        self._rest_readers = [each.read_rest for each in formats if each.read_rest is not None]
        self._programs = [
            (re.compile("|".join(map(fnmatch.translate, each.programs))), each.read_message)
            for each in (*formats, LOGGERS)
            if each.read_message is not None
        ]
        self._known_programs: dict[str, ReadMessage] = {}

    def parse(self, line: str) -> Parsed:
        """One line without its newline → what it means. Never raises."""
        read = self._usual.get(line[:1])
        return (read(line) if read is not None else None) or self._parse_any(line, read)

    def _parse_any(self, line: str, tried: ReadLine | None) -> Parsed:
        while True:
            for read in self._line_readers:
                parsed = read(line) if read is not tried else None
                if parsed is not None:
                    self._usual[line[:1]] = read
                    return parsed
            header = self._headers.read(line)
            if header is not None:
                return self._parse_message(header, line)
            inner = unwrap(line)
            if inner == line:
                return self._parse_rest(line)
            line, tried = inner, None

    def _parse_message(self, header: Header, line: str) -> Parsed:
        program, text, start = header.program, header.text, header.start
        if text.startswith(_REPETITIONS, start) or (program == "last" and text.startswith("message repeated ", start)):
            return _REPEATED
        read = self._known_programs.get(program) or self._find_program(program)
        return read(header, line, self.stamps)

    def _find_program(self, program: str) -> ReadMessage:
        found: ReadMessage = _ignore_program
        for pattern, read in self._programs:
            if pattern.match(program):
                found = read
                break
        if len(self._known_programs) < _MOST_PROGRAMS:
            self._known_programs[program] = found
        return found

    def _parse_rest(self, line: str) -> Parsed:
        for read in self._rest_readers:
            parsed = read(line)
            if parsed is not None:
                return parsed
        return _NO_STAMP


def _ignore_program(header: Header, line: str, stamps: StampReader) -> Parsed:
    return _OTHER_PROGRAM


def make_parser(name: str, stamps: StampReader) -> LineParser:
    """A parser of the named format. Raises BadInputError for a name that is not known."""
    if name == AUTO:
        return FormatsParser(stamps, FORMATS)
    for log_format in FORMATS:
        if log_format.name == name:
            return log_format.parser(stamps) if log_format.parser else FormatsParser(stamps, (log_format,))
    raise BadInputError(f"unknown log format {name!r}: use one of {', '.join(FORMAT_NAMES)}")
