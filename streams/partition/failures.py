"""Faults of Postwatch that cost a line or a message: counted, and logged once for each place in the code."""

from __future__ import annotations

import traceback
from collections import Counter

import structlog

log = structlog.get_logger()

PARSER, JOINER = "parser", "joiner"
MAX_PLACES = 1_000
"""Places whose tracebacks were logged; beyond, no further one is."""


class FailureLog:
    """Of one worker. `counts` tells how often each stage failed."""

    def __init__(self) -> None:
        self.counts = Counter({PARSER: 0, JOINER: 0})  # a metric that begins with its first failure shows no increase
        self._places: set[str] = set()

    def report(self, stage: str, server: str, error: Exception) -> str:
        """Count a failure, and log the traceback of a place that is new; returns the place, for the dead letter."""
        place = place_of(error)
        self.counts[stage] += 1
        if place not in self._places and len(self._places) < MAX_PLACES:
            self._places.add(place)
            log.error(
                "line_failed",
                stage=stage,
                server=server,
                place=place,
                remedy="report it with the dead letter; after an upgrade `postwatch join --from TIME` reads it again",
                exc_info=error,
            )
        return place


def place_of(error: Exception) -> str:
    """The kind of error and the line of code that raised it, such as `KeyError at rows.py:57`."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
