"""What a join worker knows of the lines of each server: number, formats, losses, how its clock goes.

Heartbeats carry it to the table `servers`. It is for at most MOST_SOURCES servers, and begins anew when a worker takes
a partition: nothing of it is a row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from postwatch.streams.contracts.heartbeat import NOTHING_JOINED, JoinedLines
from postwatch.streams.parsers.lines import MOST_SOURCES

RECENT_MS = 60_000
"""What is recent is the lines of the current window of this length, and of the one before."""
MOST_FORMATS = 16
_MOST_REASONS = 16
_MOST_RECENT_MS = (1 << 32) - 1
_MOST_SKEW_MS = (1 << 63) - 1


@dataclass(slots=True)
class _Window:
    """The lines since a time."""

    since_ms: int
    lines: int = 0
    least_skew_ms: int = _MOST_SKEW_MS


@dataclass(slots=True)
class ServerLines:
    """Of one server. Times are those at which Kafka got the lines."""

    since_ms: int
    lines: int = 0
    suppressed_lines: int = 0
    formats: dict[str, None] = field(default_factory=dict)
    letters: Counter[str] = field(default_factory=Counter)
    next_look_ms: int = 0
    """When the format of a line is asked for again."""
    _window: _Window = field(init=False)
    _before: _Window | None = None

    def __post_init__(self) -> None:
        self._window = _Window(self.since_ms)

    def add(self, at_ms: int, lines: int, suppressed_lines: int) -> None:
        """So many lines came at this time."""
        self._turn(at_ms)
        self.lines += lines
        self._window.lines += lines
        self.suppressed_lines += suppressed_lines

    def stamped(self, at_ms: int, stamp_ms: int) -> None:
        """What came at this time has this stamp."""
        self._window.least_skew_ms = min(self._window.least_skew_ms, at_ms - stamp_ms)

    def seen_format(self, name: str) -> None:
        if name and (name in self.formats or len(self.formats) < MOST_FORMATS):
            self.formats[name] = None

    def joined(self, at_ms: int) -> JoinedLines:
        """All of it, as of this time."""
        self._turn(at_ms)
        windows = [self._before, self._window] if self._before else [self._window]
        skews = [one.least_skew_ms for one in windows if one.least_skew_ms != _MOST_SKEW_MS]
        return JoinedLines(
            since_ms=self.since_ms,
            lines=self.lines,
            recent_lines=sum(one.lines for one in windows),
            recent_ms=min(max(at_ms - windows[0].since_ms, 0), _MOST_RECENT_MS),
            formats=tuple(sorted(self.formats)),
            letters=tuple(self.letters.most_common(_MOST_REASONS)),
            suppressed_lines=self.suppressed_lines,
            clock_skew_ms=min(skews, default=0),
        )

    def _turn(self, at_ms: int) -> None:
        """Begin a new window where the last is full. A clock that was set back begins one too."""
        age_ms = at_ms - self._window.since_ms
        if 0 <= age_ms < RECENT_MS:
            return
        self._before = self._window if RECENT_MS <= age_ms < 2 * RECENT_MS else None
        self._window = _Window(self._window.since_ms + RECENT_MS if self._before else at_ms)


class ServersLines:
    """Of all servers of a partition."""

    def __init__(self) -> None:
        self._servers: dict[str, ServerLines] = {}

    def of(self, server: str, at_ms: int) -> ServerLines | None:
        """None: there are too many."""
        found = self._servers.get(server)
        if found is None and len(self._servers) < MOST_SOURCES:
            found = self._servers[server] = ServerLines(at_ms)
        return found

    def count_letter(self, server: str, reason: str) -> None:
        if found := self._servers.get(server):
            found.letters[reason] += 1

    def joined(self, server: str, at_ms: int) -> JoinedLines:
        found = self._servers.get(server)
        return found.joined(at_ms) if found else NOTHING_JOINED
