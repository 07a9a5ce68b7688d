"""Postfix's lines behind syslog's head: the usual head in one go, any other one by the program that it names.

Invariant: a line comes to the same whichever way it goes. A head (host, program, process) comes again in hundreds of
lines, so each is read once; a line behind a known one may take the fast path.
"""

from __future__ import annotations

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import Parsed, Unreadable
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.postfix import daemons
from postwatch.streams.parsers.postfix.fast_path import FAST_FORMS, SERVER_FORM, FastForm
from postwatch.streams.parsers.postfix.filters import FILTERS
from postwatch.streams.parsers.postfix.grammar import HEAD, ID
from postwatch.streams.parsers.syslog import Header
from postwatch.streams.parsers.timestamps import StampReader

_STAMP_LOST = Unreadable("a stamp that makes no sense")
_WITHOUT_STAMP = compiled(rf".{{0,60}}? postfix[\w.+-]*+/[\w./+-]++\[\d++\]:? {ID}:? ")
_MOST_HEAD = 200
_MOST_AGENTS = 1000
_MOST_HEADS = 10_000
_STAMP_LENGTH = len("Nov 23 13:42:18")
_BRACKET = "["
"""Of Solaris's message id, or of what journalctl prints in place of a text."""


class PostfixLines:
    """Reads lines of one zone that have the usual head."""

    def __init__(self, stamps: StampReader) -> None:
        self.stamps = stamps
        self._agents: dict[str, str] = {}
        self._heads: dict[str, FastForm] = {}
        """By the head behind the stamp, `]: ` included, as lines had it before."""

    def read(self, line: str) -> Parsed | None:
        """None: the line has another head, or is no line of a Postfix daemon."""
        start = line.find("]: ", _STAMP_LENGTH) + 3
        usual = self._heads.get(line[_STAMP_LENGTH:start])
        if usual is not None:
            at = self.stamps.find(line[:_STAMP_LENGTH])
            if at >= 0:
                if usual is SERVER_FORM and line.startswith("connect from ", start):
                    return daemons.CONNECT
                agent, match, read = usual
                found = match(line, start)
                if found is not None:
                    return read(agent, found.groups(""), at, line)
        return self.read_any(line)

    def read_any(self, line: str) -> Parsed | None:
        """As `read`, without the fast path; what a line comes to is the same."""
        head = HEAD.match(line)
        if head is None:
            return None
        stamp, program, queue_id = head.groups()
        try:
            at = self.stamps.read_without_year(stamp)
        except ValueError:
            return _STAMP_LOST
        if queue_id is None and line.startswith(_BRACKET, head.end()):
            return None
        agent = self._agents.get(program)
        if agent is None:
            agent = daemons.agent_of(program)
            if len(self._agents) < _MOST_AGENTS:
                self._agents[program] = agent
        if agent in FAST_FORMS:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            end = head.end() if queue_id is None else head.start(3)
            self._heads[line[_STAMP_LENGTH:end]] = FAST_FORMS[agent]
        if queue_id is None:
            return daemons.parse_without_id(line, head.end(), at, line, "", agent)
        return daemons.parse_with_id(agent, line, head.end(), at, line, queue_id)


def read_message(header: Header, line: str, stamps: StampReader) -> Parsed:
    """What a daemon of Postfix says, or a filter beside it."""
    at, program, text, start, process = header
    read_filter = FILTERS.get(program)
    if read_filter is not None:
        return read_filter(text, start, at, line)
    return daemons.parse_message(program, text, start, at, line, process)


def read_without_stamp(line: str) -> Parsed | None:
    """A line of a daemon about a message, whose stamp is cut or was never one."""
    return _STAMP_LOST if _WITHOUT_STAMP.match(line, 0, _MOST_HEAD) else None


FORMAT: LogFormat = LogFormat(
    "postfix",
    programs=("postfix*/*", *sorted(FILTERS)),
    read_message=read_message,
    line_reader=lambda stamps: PostfixLines(stamps).read,
    read_rest=read_without_stamp,
)
