"""What is logged while a server is away: one line when it goes, one a minute meanwhile, one when it is back.

Clients report each failed attempt, many a second. A person needs the server's name, the remedy and the duration.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import structlog
from postwatch.producers.service.health import Health

log = structlog.get_logger()

REMIND_SECONDS = 60.0
_MOST_KEYS = 1_000


class Outage:
    """Since when one server is away, and when to say so. Touches no clock: `now` is in seconds, of any steady clock."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = 0.0

    @property
    def is_on(self) -> bool:
        return self._since is not None

    def away(self, now: float) -> float | None:
        """The server is (still) away: for how many seconds, where a line is due; None: nothing new to say."""
        if self._since is None:
            self._since = self._said = now
            return 0.0
        if now - self._said < REMIND_SECONDS:
            return None
        self._said = now
        return now - self._since

    def back(self, now: float) -> float | None:
        """The server answers: for how many seconds it was away; None: it was not."""
        since, self._since = self._since, None
        return None if since is None else now - since


class Repeats:
    """Lets the same message through once a minute. Touches no clock, as above."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def is_due(self, message: str, now: float) -> bool:
        said = self._said.get(message)
        if said is not None and now - said < REMIND_SECONDS:
            return False
        if len(self._said) >= _MOST_KEYS:
            self._said.clear()
        self._said[message] = now
        return True


class OutageLog:
    """Tells the log and /health that one server is away. Threads may share it.

    `name` (kafka, clickhouse) begins the events: kafka_away, kafka_still_away, kafka_back. `say` gets sentences for a
    terminal instead of the log.
    """

    def __init__(
        self,
        name: str,
        health: Health,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._name = name
        self._health = health
        self._clock = clock
        self._say = say
        self._outage = Outage()
        self._ended_at = -math.inf
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        return self._outage.is_on

    def was_on_within(self, seconds: float) -> bool:
        """Whether it is on, or ended less than `seconds` ago."""
        with self._lock:
            return self._outage.is_on or self._clock() - self._ended_at < seconds

    def away(self, reason: str) -> None:
        """Call as often as you like. `reason` names the server and the remedy."""
        self._health.complain(self._name, reason)
        with self._lock:
            seconds = self._outage.away(self._clock())
        if seconds is None:
            return
        if self._say is not None:
            self._say(f"{reason} (away for {seconds:.0f} s)" if seconds else reason)
        elif seconds:
            log.warning(f"{self._name}_still_away", away_seconds=round(seconds), reason=reason)
        else:
            log.warning(f"{self._name}_away", reason=reason)

    def back(self) -> None:
        """Call as often as you like."""
        self._health.settle(self._name)
        with self._lock:
            now = self._clock()
            seconds = self._outage.back(now)
            if seconds is not None:
                self._ended_at = now
        if seconds is None:
            return
        if self._say is not None:
            self._say(f"{self._name} is back after {seconds:.0f} s")
        else:
            log.info(f"{self._name}_back", away_seconds=round(seconds))
