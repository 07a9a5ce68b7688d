"""What libraries log of a connection that is gone does not fill the log; what else they say stays."""

from __future__ import annotations

import logging
import sys

from postwatch.producers.service.health import Health
from postwatch.producers.service.outages import OutageLog
from postwatch.streams.faust_glue.library_logs import LibraryLogs


def record(name: str, text: str, *values: object, is_exception: bool = False) -> logging.LogRecord:
    error = None
    if is_exception:
        try:
            raise RuntimeError("broken")
        except RuntimeError:
            error = sys.exc_info()
    return logging.LogRecord(name, logging.ERROR, "file", 1, text, values, error)


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.outage = OutageLog("kafka", Health(), lambda: self.now)
        self.keeps = LibraryLogs(self.outage, lambda: self.now)


def test_connections_are_told_by_the_outage_alone() -> None:
    bench = Bench()
    for text in (
        "Unable connect to node with id %s: %s",
        "Unable to update metadata from %s",
        "Heartbeat send request failed: %s. Will retry.",
        "LeaveGroup request failed: %s",
        "Cannot send %r to %s: %r",
    ):
        assert not bench.keeps(record("aiokafka.client", text, 1, 2))


def test_the_same_line_is_kept_once_a_minute() -> None:
    bench = Bench()
    line = "Timer %s is overlapping (interval=%s runtime=%s)"
    assert bench.keeps(record("mode.timers", line, "commit", 1, 33))
    assert not bench.keeps(record("mode.timers", line, "commit", 1, 34))
    assert bench.keeps(record("mode.timers", "another", 1))
    bench.now = 60.0
    assert bench.keeps(record("mode.timers", line, "commit", 1, 35))


def test_while_kafka_is_away_only_exceptions_are_kept() -> None:
    bench = Bench()
    bench.outage.away("nobody there")
    assert not bench.keeps(record("faust.transport.consumer", "anything"))
    assert bench.keeps(record("faust.transport.consumer", "crashed", is_exception=True))


def test_a_commit_that_waited_for_kafka_is_told_by_the_outage_alone() -> None:
    bench = Bench()
    bench.outage.away("nobody there")
    bench.now = 50.0
    bench.outage.back()
    overlap = "Timer %s is overlapping (interval=%r runtime=%r)"
    bench.now = 54.0
    assert not bench.keeps(record("mode.timers", overlap, "commit", 1.0, 52.4))
    assert bench.keeps(record("mode.timers", "another", 1))
    bench.now = 80.0
    assert bench.keeps(record("mode.timers", overlap, "commit", 1.0, 2.0))


def test_our_own_lines_are_all_kept() -> None:
    bench = Bench()
    bench.outage.away("nobody there")
    for _ in range(3):
        assert bench.keeps(record("postwatch.streams.faust_glue.worker", "partition_begun"))
