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
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers import dma, haraka, kumomta, nullmailer, opensmtpd, sendmail
from postwatch.streams.parsers.events import Ignored, Parsed, Unreadable
from postwatch.streams.parsers.exim import main_log, over_syslog
from postwatch.streams.parsers.exim.grammar import ID as EXIM_ID
from postwatch.streams.parsers.exim.main_log import STAMP as EXIM_STAMP
from postwatch.streams.parsers.json_envelope import around_a_line
from postwatch.streams.parsers.log_format import LineParser, LogFormat, ReadLine, ReadMessage
from postwatch.streams.parsers.postfix import lines as postfix
from postwatch.streams.parsers.suppressed import LOGGERS
from postwatch.streams.parsers.syslog import (
    LEFT_OUT,
    LEFT_OUT_END,
    Header,
    HeaderReader,
    dateless_program,
    read_inner,
    unwrap,
)
from postwatch.streams.parsers.timestamps import StampReader

FORMATS: tuple[LogFormat, ...] = (
    main_log.MAIN,
    main_log.REJECT,
    over_syslog.FORMAT,
    postfix.FORMAT,
    sendmail.FORMAT,
    opensmtpd.FORMAT,
    dma.FORMAT,
    nullmailer.FORMAT,
    haraka.FORMAT,
    kumomta.FORMAT,
)
AUTO = "auto"
"""In place of a format's name: each line is read as what it is."""
FORMAT_NAMES = (AUTO, *(log_format.name for log_format in FORMATS))

_NO_STAMP = Ignored("no-stamp")
_OTHER_PROGRAM = Ignored("other-program")
WRAPPED = "wrapped"
_WRAPPED = Ignored(WRAPPED)
"""What another program says looks like a mail server's line; a setting may name programs that pass such lines on."""
_LOOKS_WRAPPED = compiled(
    r"(?:(?:[A-Z][a-z][a-z]  ?\d\d? \d\d:|\d{4}-\d\d-\d\d[T ]\d\d:)\S{1,40}+ (?:[\w.:+\[\]-]{1,80}+ ++){0,3}?)?"
    r"(?:postfix[\w.-]*+/[\w/-]++|exim[45]?|sendmail|sm-mta|smtpd|dma|nullmailer(?:-send)?|haraka|opensmtpd)"
    r"\[[\w.]++\]: "
    rf"|\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {EXIM_ID} (?:[<=*>-]{{2}}|Completed)"
)
_NO_DATE = Unreadable("a stamp without a date: use `journalctl -o short-iso`")
_UNIT = Unreadable("the name of a unit in place of the program's: use `journalctl -o short-iso`")
_LEFT_OUT = Unreadable("a text that journalctl left out: use `journalctl --all`")
_UNIT_ENDS = ".service"
_PROGRAMS_OF_UNITS = {"opensmtpd": "smtpd"}
"""Where a unit of systemd has another name than its program."""
_REPEATED = Ignored("repeated")
_REPETITIONS = ("message repeated ", "last message repeated ")
_MOST_PROGRAMS = 10_000
_MOST_WRAPPINGS = 8
"""Docker's JSON, a name of compose, colours. Of thousands, each would cost as much as the whole line."""


class FormatsParser:
    """Lines of several formats, or of one that syslog writes: told by their form, else by syslog's head."""

    def __init__(self, stamps: StampReader, formats: Sequence[LogFormat], wrapping: Sequence[str] = ()) -> None:
        """`wrapping`: programs whose messages are lines of other programs; `*` stands for any characters."""
        self.stamps = stamps
        self._wrapping = _any_of(wrapping) if wrapping else None
        self._headers = HeaderReader(stamps)
        self._line_readers = [each.line_reader(stamps) for each in formats if each.line_reader is not None]
        self.usual: dict[str, ReadLine] = {}
        """Who claimed a line with that first character last."""
        self._rest_readers = [each.read_rest for each in formats if each.read_rest is not None]
        self._programs = [
            (_any_of(each.programs), each.read_message) for each in (*formats, LOGGERS) if each.read_message is not None
        ]
        self._known_programs: dict[str, ReadMessage] = {}
        self._formats = formats

    def parse(self, line: str, tried: ReadLine | None = None, is_inner: bool = False) -> Parsed:
        """One line without its newline → what it means. Never raises.

        `tried`: the reader that did not claim the line. `is_inner`: another program passed the line on.
        """
        for _ in range(_MOST_WRAPPINGS):
            for read in self._line_readers:
                parsed = read(line) if read is not tried else None
                if parsed is not None:
                    self.usual[line[:1]] = read
                    return parsed
            header = self._headers.read(line)
            if header is not None:
                return self._parse_message(header, line, is_inner)
            inner = unwrap(line)
            if inner == line:
                break
            line, tried = inner, None
        return self._parse_rest(line)

    def format_of(self, line: str) -> str:
        """The name of the format that reads this line; empty: none does, or one that reads what others leave."""
        with_readers = (each.name for each in self._formats if each.line_reader is not None)
        for name, read in zip(with_readers, self._line_readers, strict=True):
            if read(line) is not None:
                return name
        header = self._headers.read(line)
        with_programs = (each.name for each in self._formats if each.read_message is not None)
        for name, (pattern, _) in zip(with_programs, self._programs, strict=False):  # the loggers, the last, are none
            if header is not None and pattern.match(header.program):
                return name
        return ""

    def _parse_message(self, header: Header, line: str, is_inner: bool) -> Parsed:
        program, text, start = header.program, header.text, header.start
        if text.startswith(_REPETITIONS, start) or (program == "last" and text.startswith("message repeated ", start)):
            return _REPEATED
        read = self._known_programs.get(program) or self._find_program(program)
        if read is _ignore_program and not is_inner and self._wrapping is not None and self._wrapping.match(program):
            return self._parse_wrapped(header, line)
        if text.endswith(LEFT_OUT_END) and LEFT_OUT.match(text, start) and read not in _NOT_OF_MAIL:
            return _LEFT_OUT
        return read(header, line, self.stamps)

    def _parse_wrapped(self, header: Header, line: str) -> Parsed:
        """A line that a program passes on. Its own stamp may be of another zone, so that of the outer head counts.

        Only one wrapping is taken off: what stands in the inner message may be a stranger's.
        """
        text = unwrap(header.text[header.start :])
        if not EXIM_STAMP.match(text):
            inner = self._headers.read(text) or read_inner(text, header.at)
            if inner is not None:
                return self._parse_message(inner._replace(at=header.at), line, True)
        return self.parse(text, None, True)

    def _find_program(self, program: str) -> ReadMessage:
        unit = program.partition("/")[0]
        if unit.endswith(_UNIT_ENDS):
            unit = unit.removesuffix(_UNIT_ENDS).partition("@")[0]
            found = _refuse_unit if unit == "postfix" else self._look_up(_PROGRAMS_OF_UNITS.get(unit, unit))
        else:
            found = self._look_up(program)
        if len(self._known_programs) < _MOST_PROGRAMS:
            self._known_programs[program] = found
        return found

    def _look_up(self, program: str) -> ReadMessage:
        for pattern, read in self._programs:
            if pattern.match(program):
                return read
        return _ignore_program

    def _parse_rest(self, line: str) -> Parsed:
        program = dateless_program(line)
        if program is not None:
            return _OTHER_PROGRAM if self._look_up(program) in _NOT_OF_MAIL else _NO_DATE
        for read in self._rest_readers:
            parsed = read(line)
            if parsed is not None:
                return parsed
        return around_a_line(line) or _NO_STAMP


def _any_of(programs: Sequence[str]) -> re.Pattern[str]:
    return compiled("|".join(map(fnmatch.translate, programs)))


def _ignore_program(header: Header, line: str, stamps: StampReader) -> Parsed:
    return _WRAPPED if _LOOKS_WRAPPED.match(header.text, header.start) else _OTHER_PROGRAM


_NOT_OF_MAIL = (_ignore_program, LOGGERS.read_message)


def _refuse_unit(header: Header, line: str, stamps: StampReader) -> Parsed:
    """Which daemon of Postfix wrote a line is in the program's name alone, and the unit is that of all."""
    return _UNIT


def make_parser(name: str, stamps: StampReader, wrapping: Sequence[str] = ()) -> LineParser:
    """A parser of the named format. Raises BadInputError for a name that is not known."""
    if name == AUTO:
        return FormatsParser(stamps, FORMATS, wrapping)
    for log_format in FORMATS:
        if log_format.name == name:
            return log_format.parser(stamps) if log_format.parser else FormatsParser(stamps, (log_format,), wrapping)
    raise BadInputError(f"unknown log format {name!r}: use one of {', '.join(FORMAT_NAMES)}")
