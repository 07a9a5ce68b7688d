"""Whether a partition stands still: records wait, and the group has taken no commit for two minutes.

A join that reads nothing more of a partition, for whatever reason, must not look well. Pure: what is known of a
partition comes in, a sentence for people goes out.
"""

from __future__ import annotations

from dataclasses import dataclass

STANDSTILL_MS = 120_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the consumer is with a partition; None: not known yet."""

    position: int | None = None
    """The next offset to fetch."""
    end: int | None = None
    stable_end: int | None = None
    """Where the oldest open transaction begins, or the end."""
    answered_ms: int | None = None
    """When the broker answered the last fetch."""

    @property
    def waits_for_a_transaction(self) -> bool:
        if self.position is None or self.end is None or self.stable_end is None:
            return False
        return self.stable_end <= self.position < self.end


class Progress:
    """Of one assigned partition; `see` is called a few times a second."""

    def __init__(self, now_ms: int) -> None:
        self.acknowledged_ms = now_ms
        """When the group took the last commit that moved; at first, when the partition came."""
        self.lag_records: int | None = None
        """Offsets that are not committed; None: not known yet."""
        self.read_ms = 0
        """When Kafka took the newest record that was read; 0: none was."""
        self.lag_seconds = 0.0
        """How old the newest record that was read is, while Kafka has newer ones."""
        self._well_ms = now_ms
        """When Kafka last said that nothing waits."""
        self._first: int | None = None
        self._committed: int | None = None
        self._reading = Reading()

    def see(self, committed: int | None, reading: Reading, now_ms: int, next_offset: int | None = None) -> None:
        """`next_offset` is the first that was not joined; None: no record came yet."""
        if self._first is None:
            self._first = self._committed = committed
        if self._first is None:
            self._first = reading.position  # a new group has committed nothing
        if committed != self._committed:
            self._committed = committed
            self.acknowledged_ms = now_ms
        self._reading = reading
        begin = self._first if committed is None else committed
        if begin is not None and reading.end is not None:
            self.lag_records = max(reading.end - begin, 0)
            is_behind = self.lag_records > 0 and (begin if next_offset is None else next_offset) < reading.end
            since_ms = self.read_ms or self.acknowledged_ms
            self.lag_seconds = max(now_ms - since_ms, 0) / 1000 if is_behind else 0.0
        if self.lag_records == 0 and reading.answered_ms is not None:
            self._well_ms = max(self._well_ms, reading.answered_ms)

    def complaint(self, partition: int, now_ms: int, limit_ms: int, *, is_recovering: bool) -> str:
        """What is wrong and what to do; empty: it moves, or has nothing to do."""
        still_ms = now_ms - max(self._well_ms, self.acknowledged_ms)
        if still_ms <= limit_ms:
            return ""
        what = f"partition {partition}: nothing acknowledged for {still_ms // 1000} s"
        if self.lag_records:
            what += f", {self.lag_records} records wait"
        reading = self._reading
        if is_recovering:
            return f"{what}; its table is being restored from the changelog: wait, or look for a slow disk"
        if not self.lag_records:
            return f"{what}; Kafka answers no fetch: check its brokers and the network, then restart this worker"
        if reading.waits_for_a_transaction:
            return (
                f"{what}; a transaction of their producer is open since offset {reading.stable_end}: "
                "end it, or abort it (`kafka-transactions.sh find-hanging` names it)"
            )
        return f"{what}; look for errors in the log of this worker, then restart it: it reads on from the last commit"
