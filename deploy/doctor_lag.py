"""The doctor's judgement on how far a consumer group is: whether it works, and whether Kafka deletes unread records.

Pure. The join acknowledges a record when its messages are closed or, a minute later, parked: until then a record is
unread here, and nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postwatch.deploy.findings import OK, TROUBLE, WARNING, Finding
from postwatch.query.wording import time_span

RETENTION_WARNING, RETENTION_TROUBLE = 0.5, 0.8
"""The age of a consumer's oldest unread record, as a share of its topic's retention."""
LATE_MS = 180_000
"""Of the oldest unread record: less than this is usual."""
WATCH_SECONDS = 5.0
"""Between two looks at a partition whose oldest unread record is older than STANDSTILL_MS. A group that works commits
within a second or two."""


@dataclass(frozen=True, slots=True)
class LagFacts:
    """How far a consumer group is in one topic."""

    group: str
    topic: str
    has_committed: bool
    unread_records: int
    """An upper bound: control markers of transactions between records count too. Where only markers wait it is 0."""
    oldest_unread_ms: int
    """When Kafka got the oldest record that the group has not finished; 0: it has finished all."""
    workers: int | None = None
    """Members of the group; None: Kafka does not say."""
    unmoved_partitions: Sequence[int] = ()
    """Partitions that a worker has, whose old records wait, and of which nothing was acknowledged between two looks."""
    unknown_partitions: Sequence[int] = ()
    """Partitions whose first unread record was not to be had in time."""


def judge_lag(lag: LagFacts, retention_ms: int, now_ms: int) -> Finding:
    """One finding: the worst that is true."""
    check = f"lag of {lag.group}"
    if not lag.unread_records:
        said = (
            f"It has finished all of {lag.topic}." if lag.has_committed else f"There is nothing to read in {lag.topic}."
        )
        return Finding(check, OK, said)
    if lag.unknown_partitions and not lag.oldest_unread_ms:
        return Finding(
            check,
            WARNING,
            f"{lag.unread_records} records of {lag.topic} wait, but the oldest could not be read within 5 s.",
            "Run `postwatch doctor` again; if this stays, check that all brokers are up.",
        )
    age_ms = max(0, now_ms - lag.oldest_unread_ms)
    waits = f"{lag.unread_records} records of {lag.topic} are not finished, the oldest is {time_span(age_ms)} old"
    share = age_ms / retention_ms if retention_ms > 0 else 0.0
    if share >= RETENTION_WARNING:
        return Finding(
            check,
            TROUBLE if share >= RETENTION_TROUBLE else WARNING,
            f"{waits}; Kafka deletes them after {time_span(retention_ms)}.",
            f"Raise retention.ms of {lag.topic} now; then start the workers of the group, or add some.",
        )
    if lag.workers == 0:
        return Finding(
            check,
            WARNING,
            f"No worker is in the group: {waits}.",
            "Start one. If one runs, give doctor the same POSTWATCH_JOIN_GROUP and POSTWATCH_SINK_GROUP.",
        )
    if lag.unmoved_partitions:
        numbers = ", ".join(map(str, lag.unmoved_partitions[:10]))
        return Finding(
            check,
            WARNING,
            f"{waits}. It stands still: nothing of partition {numbers} was acknowledged in {WATCH_SECONDS:g} s.",
            "Look again if its worker was started a minute ago; else read its /health and its log, and restart it.",
        )
    if not lag.has_committed:
        if lag.workers:
            return Finding(check, OK, f"It has just started: {waits}.")
        return Finding(
            check,
            WARNING,
            f"It has acknowledged nothing yet: {waits}.",
            "Start it. If it runs, give doctor the same POSTWATCH_JOIN_GROUP and POSTWATCH_SINK_GROUP.",
        )
    if age_ms > LATE_MS:
        remedy = (
            "It is catching up; add workers if that takes too long." if lag.workers else "Check that its workers run."
        )
        return Finding(check, WARNING, f"{waits}.", remedy)
    return Finding(check, OK, f"{waits}.")
