"""What a join worker has done so far; `metrics.py` publishes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from postwatch.streams.parsers.lines import MOST_SOURCES, LineTally
from postwatch.streams.partition.failures import FailureLog


@dataclass(slots=True)
class JoinCounts:
    """Running totals of one worker, all partitions."""

    tally: LineTally = field(default_factory=LineTally)
    records: int = 0
    repeated_records: int = 0
    repeated_lines: int = 0
    rows: int = 0
    heartbeats: int = 0
    heard_ms: dict[str, int] = field(default_factory=dict)
    """Server → when its newest heartbeat was sent, for at most MOST_SOURCES servers."""
    parked: int = 0
    loaded: int = 0
    given_up: int = 0
    failures: FailureLog = field(default_factory=FailureLog)

    def heard(self, server: str, sent_ms: int) -> None:
        self.heartbeats += 1
        if server in self.heard_ms or len(self.heard_ms) < MOST_SOURCES:
            self.heard_ms[server] = max(sent_ms, self.heard_ms.get(server, 0))
