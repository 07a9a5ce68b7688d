"""Faust glue of the join: partitions come and go, fetches come in, offsets are acknowledged.

Invariant: each partition is joined without an offset gap. The worker keeps the next offset itself, beginning with the
committed one: around a rebalance Faust may drop fetched records (an offset gap: seek back) or read some again (they are
skipped). An error that can't be retried ends the process; the supervisor starts it again, and it reads what was not
acknowledged.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from typing import Any

import structlog
from faust.types import TP
from postwatch.producers.service.health import Health
from postwatch.producers.service.lifecycle import now_ms
from postwatch.streams.errors import EXIT_FAILED
from postwatch.streams.faust_glue.lease import Lease
from postwatch.streams.faust_glue.standstill import STANDSTILL_MS, Progress
from postwatch.streams.faust_glue.table import FaustTable
from postwatch.streams.faust_glue.transport import Span
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.outlet import KafkaOutlet
from postwatch.streams.partition.partition_join import JoinRules, PartitionJoin

log = structlog.get_logger()

TEND_EVERY_SECONDS = 0.25
_LOOK_SECONDS = 0.02
_MOST_BYTES_IN_FLIGHT = 16 * 1024 * 1024
_COLLECT_EVERY_SECONDS = 30.0
_STUCK_AFTER_SECONDS = 30
_EXIT_CRASHED = 1


class JoinWorker:
    """The partitions that this process has now."""

    def __init__(self, app: Any, table: Any, raw_topic: str, rules: JoinRules, health: Health, lease: Lease) -> None:
        self.counts = JoinCounts()
        self.offset_gaps = 0
        self.lost_records = 0
        self.rebalances = 0
        self.waits = 0
        """How often reading waited because enough was in flight to Kafka."""
        self.partitions: dict[int, PartitionJoin] = {}
        self.progress: dict[int, Progress] = {}
        """Of each partition that is assigned, whether a record of it came or not."""
        self._app = app
        self._table = table
        self._raw_topic = raw_topic
        self._rules = rules
        self._health = health
        self._lease = lease
        self._passed: dict[int, Callable[[], None]] = {}
        """Partition → acknowledges offsets without records that came behind all fetches."""
        self._tables: list[FaustTable] = []
        self._outlet: KafkaOutlet | None = None
        self._make_outlet: Callable[[asyncio.AbstractEventLoop], KafkaOutlet] | None = None
        self._next_collection = 0.0

    def use_outlet(self, make: Callable[[asyncio.AbstractEventLoop], KafkaOutlet]) -> None:
        """How to make the outlet once the loop runs."""
        self._make_outlet = make

    @property
    def bytes_in_flight(self) -> int:
        return self._outlet.bytes_in_flight if self._outlet is not None else 0

    async def consume(self, stream: Any) -> None:
        """The agent's body. Nothing escapes: Faust would acknowledge what an exception was raised on."""
        try:
            async for event in stream.noack().events():
                await self._take(event)
                del event
        except asyncio.CancelledError:
            raise
        except BaseException:
            log.exception("join_crashed")
            os._exit(_EXIT_CRASHED)

    async def _take(self, event: Any) -> None:
        message = event.message
        span: Span = message.value
        partition = message.partition
        while self._app.rebalancing:
            # Whose partition it is, and from where, is known at the end. Faust lets the first fetches through before,
            # and of a partition that has no committed offset it would not read them again.
            await asyncio.sleep(_LOOK_SECONDS)
        join = self.partitions.get(partition) or await self._begin(message.tp)
        if join is None:
            return  # fetched before a rebalance, and the partition is not ours now: its owner reads it
        if span.begin > join.next_offset and not await self._handle_gap(join, message.tp, span.begin):
            return
        while self._must_wait(join):
            self.waits += 1
            await asyncio.sleep(_LOOK_SECONDS)
        if not self._has(join):
            return  # revoked while we waited: the new owner reads these records
        message.value = None  # the records; the message itself waits for its acknowledgement

        def acknowledge() -> None:
            if self._has(join):
                message.ack(self._app.consumer)

        if span.end <= join.next_offset:
            self.counts.repeated_records += len(span.records)
            return
        if span.records and span.records[-1].offset >= join.next_offset:
            self._passed.pop(partition, None)
            join.take(span.records, now_ms(), acknowledge)
            if progress := self.progress.get(partition):
                progress.read_ms = span.records[-1].timestamp or now_ms()
        else:  # markers of transactions, and what was joined before
            self.counts.repeated_records += len(span.records)
            self._passed[partition] = acknowledge
        join.next_offset = span.end
        await asyncio.sleep(0)

    def _has(self, join: PartitionJoin) -> bool:
        """Whether its partition was not revoked meanwhile."""
        return self.partitions.get(join.partition) is join

    def _must_wait(self, join: PartitionJoin) -> bool:
        """Whether enough is in flight, or an entry sent now may come behind those of a new owner."""
        if not self._has(join):
            return False
        assert self._outlet is not None
        is_full = join.is_full or self._outlet.bytes_in_flight > _MOST_BYTES_IN_FLIGHT
        return is_full or self._app.rebalancing or not self._lease.is_held()

    async def _begin(self, tp: TP) -> PartitionJoin | None:
        if self._outlet is None:
            assert self._make_outlet is not None
            self._outlet = self._make_outlet(asyncio.get_running_loop())
        committed = await self._committed(tp)
        if committed is None:
            return None
        table = FaustTable(self._table, tp.partition, fail)
        self._tables.append(table)
        join = PartitionJoin(tp.partition, self._rules, self.counts, self._outlet, table, committed)
        self.partitions[tp.partition] = join
        log.info("partition_begun", partition=tp.partition, kafka_offset=committed)
        return join

    async def _committed(self, tp: TP) -> int | None:
        """The next offset to read: the committed one, or where the log begins for a new group. None: not ours."""
        consumer = self._app.consumer
        known = consumer.committed
        missing = [one for one, offset in known.items() if one.topic == tp.topic and offset is None]
        if missing:
            known.update(await consumer.earliest_offsets(*missing))
        if consumer.committed is not known or tp not in consumer.assignment():
            return None  # revoked while we asked; or Faust had asked once more for what was to be revoked
        committed: int | None = known.get(tp)
        return committed

    async def _handle_gap(self, join: PartitionJoin, tp: TP, first: int) -> bool:
        """Records between the next offset and `first` are missing: seek back, or accept what Kafka no longer has."""
        earliest = (await self._app.consumer.earliest_offsets(tp))[tp]
        if not self._has(join):
            return False  # revoked while we asked
        if earliest >= first:
            self.lost_records += first - join.next_offset
            log.error(
                "records_expired_unread",
                partition=tp.partition,
                records=first - join.next_offset,
                remedy="raise the retention of the raw topic, or add join workers",
            )
            join.next_offset = first
            return True
        self.offset_gaps += 1
        wanted = max(join.next_offset, earliest)
        join.next_offset = wanted
        log.warning("offset_gap_seen", partition=tp.partition, expected=wanted, got=first)
        await self._app.consumer.seek(tp, wanted)
        return False

    async def revoke_all(self) -> None:
        """Faust revokes every partition at each rebalance: all memory of them goes, and is read again.

        The group waits for this. What is on its way to the changelog arrives first, or the process ends: a successor
        recovers the table as it is then. Faust's own flush gives up when nothing was sent for a tenth of a second.
        """
        self.rebalances += 1
        if self.partitions:
            log.info("partitions_revoked", partitions=sorted(self.partitions))
        self.partitions.clear()
        self._passed.clear()
        self._app.consumer.committed = {}
        while any(table.has_sends_in_flight for table in self._tables):
            if not self._lease.is_held():
                fail("its lease ended while entries of its table were in flight: the partitions may have a new owner")
            await asyncio.sleep(_LOOK_SECONDS)
        for table in self._tables:
            table.close()
        self._tables.clear()

    def tend(self) -> None:
        """Call four times a second, from a timer of the app."""
        self._watch(now_ms())
        if self._app.rebalancing or self._app.in_recovery or not self._lease.is_held():
            return
        now = now_ms()
        committed = self._app.consumer.committed
        oldest = now
        try:
            for partition, join in self.partitions.items():
                join.tend(now, committed.get(TP(self._raw_topic, partition)) or 0)
                oldest = min(oldest, join.unconfirmed_since or now)
                if not join.retained_fetches and partition in self._passed:
                    self._passed.pop(partition)()
        except Exception:
            log.exception("join_crashed")
            os._exit(_EXIT_CRASHED)
        if now - oldest > _STUCK_AFTER_SECONDS * 1000:
            self._health.complain("outcomes", f"Kafka has acknowledged no outcome for {(now - oldest) // 1000} s")
        else:
            self._health.settle("outcomes")
        self._collect_garbage()

    def _watch(self, now: int) -> None:
        """Complain of partitions that stand still."""
        consumer = self._app.consumer
        committed = {tp.partition: offset for tp, offset in consumer.committed.items() if tp.topic == self._raw_topic}
        if not committed:
            return  # in a rebalance, or without a partition
        self.progress = {partition: self.progress.get(partition) or Progress(now) for partition in committed}
        limit = max(STANDSTILL_MS, 2 * self._rules.park_after_ms)
        complaints = []
        for partition, progress in sorted(self.progress.items()):
            join = self.partitions.get(partition)
            reading = consumer.reading(TP(self._raw_topic, partition))
            progress.see(committed[partition], reading, now, join.next_offset if join else None)
            complaints.append(progress.complaint(partition, now, limit, is_recovering=self._app.in_recovery))
        if complaints := [words for words in complaints if words]:
            more = f" (and {len(complaints) - 1} more partitions)" if len(complaints) > 1 else ""
            self._health.complain("standstill", complaints[0] + more)
        else:
            self._health.settle("standstill")

    def _collect_garbage(self) -> None:
        """The cyclic collector is off, for it halves the speed; what little garbage is cyclic goes here."""
        now = time.monotonic()
        if now >= self._next_collection:
            self._next_collection = now + _COLLECT_EVERY_SECONDS
            gc.collect(1)

    def close(self) -> None:
        if self._outlet is not None:
            remaining = self._outlet.close(timeout_seconds=5.0)
            if remaining:
                log.warning("outcomes_unconfirmed_at_exit", records=remaining)


def fail(reason: str, remedy: str = "the supervisor starts it again; it reads on from the last commit") -> None:
    """End the process at once; nothing of what failed was acknowledged."""
    log.error("join_failed", reason=reason, remedy=remedy)
    os._exit(EXIT_FAILED)
