"""What Faust, mode and aiokafka log: warnings and errors, the same one once a minute, none while Kafka is away.

aiokafka reports each failed attempt, ten times a second and client; the outage itself has its line, see OutageLog.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from postwatch.producers.service.outages import OutageLog, Repeats

_LIBRARIES = ("faust", "mode", "aiokafka", "postwatch.streams.faust_glue.transport")
_CONNECTION = re.compile(
    r"Unable (?:to )?(?:connect to node|request metadata|update metadata)|Failed fetch (?:messages|offsets) from|"
    r"(?:Group Coordinator|FindCoordinator|LeaveGroup) [Rr]equest failed|Error sending \S+ to node|"
    r"Marking the coordinator dead|Heartbeat (?:session|failed|send request failed)|Got error produce response|"
    r"(?:Cannot|Could not) send "
)
"""aiokafka's lines about a connection that is gone: its client tries again by itself."""
_OVERLAP = re.compile(r"Timer \S+ is overlapping")
"""mode's line about a timer whose work took long. A commit that began in an outage ends some seconds after it."""
_AFTERMATH_SECONDS = 30.0


class LibraryLogs:
    """Whether a record of the log is worth a line; a filter for handlers."""

    def __init__(self, outage: OutageLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._outage = outage
        self._clock = clock
        self._repeats = Repeats()

    def __call__(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_LIBRARIES):
            return True
        text = str(record.msg)
        if not record.exc_info and (self._outage.is_on or _CONNECTION.match(text)):
            return False
        if _OVERLAP.match(text) and self._outage.was_on_within(_AFTERMATH_SECONDS):
            return False
        return self._repeats.is_due(f"{record.name} {text}", self._clock())


def quieten_libraries(outage: OutageLog) -> None:
    """Call once the logs are configured."""
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    logs = LibraryLogs(outage)
    for handler in logging.getLogger().handlers:
        handler.addFilter(logs)
