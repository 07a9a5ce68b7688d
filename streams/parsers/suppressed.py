"""What the loggers themselves say: how many lines they threw away, because a program wrote too many at once.

Invariant: only the loggers' own programs say so, and only in a whole line of one of their forms. No mail is lost with
such lines, but what became of it is not known.
"""

from __future__ import annotations

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import Ignored, Parsed
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.syslog import Header
from postwatch.streams.parsers.timestamps import StampReader

SUPPRESSED = "suppressed"
_COUNT = r"(\d{1,9})"
_LIMITED = "due to rate-limiting"
_LOST = compiled(
    rf"Suppressed {_COUNT} messages from \S++$"
    rf"|im\w++ lost {_COUNT} messages from pid \d++ {_LIMITED}(?=[ .]|$)"
    rf"|im\w++(?:\[[^\[\]]{{1,200}}+\])?+: {_COUNT} messages (?:from [^:]{{1,200}}? )?lost {_LIMITED}(?=[ .]|$)"
)
"""journald's form, and those of rsyslog's inputs imuxsock and imjournal, before version 7.5 and since."""
_OTHER = Ignored("other-program")


def read_suppressed(header: Header, line: str, stamps: StampReader) -> Parsed:
    """A logger's own message → the number of lines that it threw away."""
    found = _LOST.match(header.text, header.start)
    if found is None:
        return _OTHER
    return Ignored(SUPPRESSED, int(found[found.lastindex or 0]))


LOGGERS = LogFormat(
    "loggers",
    programs=("systemd-journald", "systemd-journal", "journal", "rsyslogd", "rsyslogd-*"),
    read_message=read_suppressed,
)
"""Not a format of its own: its lines stand among those of each format that syslog writes."""
