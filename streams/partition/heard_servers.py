"""Servers that send no heartbeats: now and then a record of their lines stands for one.

What rsyslog, Vector or Fluent Bit sends has no headers, so only lines tell that such a server lives.
"""

from __future__ import annotations

from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.heartbeat import HEARD_EVERY_MS
from postwatch.streams.parsers.lines import MOST_SOURCES


class HeardServers:
    """When each server was heard last, for at most MOST_SOURCES servers."""

    def __init__(self) -> None:
        self._next_due_ms: dict[bytes, int] = {}

    def heartbeat(self, server: bytes, at_ms: int) -> Heartbeat | None:
        """The heartbeat that a record of lines stands for; None: the last one is young enough."""
        due_ms = self._next_due_ms.get(server)
        if due_ms is None and len(self._next_due_ms) >= MOST_SOURCES:
            return None
        if due_ms is not None and at_ms < due_ms:
            return None
        self._next_due_ms[server] = at_ms + HEARD_EVERY_MS
        return Heartbeat(sent_ms=at_ms, last_line_ms=at_ms, lag_bytes=0, files=0, shipper_version="")
