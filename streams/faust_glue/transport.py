"""Faust's Kafka transport, changed: all records of one fetch of a partition are one event, and sends need the lease.

Faust spends 100 µs and more on each event, whatever is in it; with one event for a fetch the join is limited by lines,
and a table of a million entries is restored in a moment (`table.unpack_fetches` writes them). The value of such an
event is a `Span`: the records, and the offsets between which there are no others. Three things of Faust's own
bookkeeping must then give way for the raw topic:

- acknowledgement is strictly in order, so the offset to commit is the newest acknowledged plus one;
- offsets between two events are no gaps;
- records that were read before are not dropped: after a seek they come again on purpose, and the agent skips them.

Offsets without a record are no loss: the markers of transactional producers take one each, and the records of an
aborted transaction are not handed over. Only aiokafka's position tells them from records that Faust dropped, so each
span says from where to where the position went.

What the group took is kept beside Faust's account of it; seeks run on the thread that reads, and aiokafka's sender
asks for metadata at a pace.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from postwatch.streams.faust_glue import internals
from postwatch.streams.faust_glue.lease import Lease, guard_sends
from postwatch.streams.faust_glue.standstill import Reading

log = structlog.get_logger()

METADATA_PAUSE_SECONDS = 0.1
FETCH_WAIT_MS = 100
"""How long a broker holds an answer back while the partitions that were asked for have nothing new; with Faust it is
1,500. aiokafka has one request under way with each broker, and leaves out of it what it has unread records of. So while
a partition is behind and another one is quiet, the one behind waits for the quiet one, time and again."""


@dataclass(frozen=True, slots=True)
class Span:
    """All records that a partition has between two offsets; there may be none."""

    records: Sequence[Any]
    begin: int
    """Of the first record, or of markers and aborted records before it."""
    end: int
    """Behind the last record, and behind markers and aborted records that follow it."""


class Fetch:
    """Looks like a record to Faust, the last one before the end of the span; acknowledging it commits that end."""

    __slots__ = ("checksum", "headers", "key", "offset", "partition", "timestamp", "timestamp_type", "topic", "value")
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, tp: Any, span: Span) -> None:
        last = span.records[-1] if span.records else None
        self.topic = tp.topic
        self.partition = tp.partition
        self.offset = span.end - 1
        self.timestamp = last.timestamp if last else None
        self.timestamp_type = last.timestamp_type if last else None
        self.headers = ()
        self.key = None
        self.value = span
        self.checksum = None


class FetchThread(driver.AIOKafkaConsumerThread):
    """Hands over what aiokafka read as spans, without the records of aborted transactions."""

    consumer: FetchConsumer

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        internals.read_committed(consumer)
        internals.bound_fetch_wait(consumer, FETCH_WAIT_MS)
        internals.pace_metadata(consumer, pace)
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> dict[TP, list[Any]]:
        """What is there, or comes in time. Nothing else runs between the two looks at the positions."""
        raw_topic = self.consumer.raw_topic
        give_up_at = time.monotonic() + (timeout or 0.0)
        while True:
            assignment, before = self._positions(consumer)
            records = await super()._fetch_records(consumer, active_partitions, timeout=0, max_records=max_records)
            is_same, after = self._positions(consumer)
            if is_same is not assignment:
                before = {}  # it waited for a rebalance
            fetched = {
                tp: [Fetch(tp, Span(found, found[0].offset, found[-1].offset + 1))]
                for tp, found in records.items()
                if found and tp.topic != raw_topic
            }
            for tp, end in after.items():
                found = records.get(tp, [])
                begin = before.get(tp, found[0].offset if found else end)
                if begin < end:
                    fetched[tp] = [Fetch(tp, Span(found, begin, end))]
            left = give_up_at - time.monotonic()
            if fetched or left <= 0 or not self.consumer.flow_active:
                return fetched
            answer = internals.next_answer(consumer)
            await asyncio.wait([answer], timeout=left)
            if answer.done():
                answer.result()  # raises what can't be retried, such as a topic that may not be read
            else:
                answer.cancel()

    def _positions(self, consumer: Any) -> tuple[Any, dict[TP, int]]:
        """The assignment, and the next offset of each partition of the raw topic that has one."""
        assignment = internals.assignment_of(consumer)
        return assignment, internals.positions_of(assignment, self.consumer.raw_topic) if assignment else {}


class _ReadOffsets(defaultdict[TP, Any]):
    """Faust's positions, which say nothing of the raw topic."""

    def __init__(self, raw_topic: str) -> None:
        super().__init__(lambda: None)
        self._raw_topic = raw_topic

    def __getitem__(self, tp: TP) -> Any:
        return None if tp.topic == self._raw_topic else super().__getitem__(tp)


class FetchConsumer(driver.Consumer):
    """One event for each fetch of a partition."""

    raw_topic = ""
    lease: Lease

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        internals.replace_read_offsets(self, _ReadOffsets(self.raw_topic))
        self.committed: dict[TP, int | None] = {}
        """Committed offset of each assigned partition; None: nothing is committed yet."""
        self._heard_coordinator: Any = None

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Any:
        self._renew_lease_by_heartbeats()
        offsets = await super().seek_to_committed()
        self.committed = {TP(tp.topic, tp.partition): offset for tp, offset in offsets.items()}
        for tp, offset in self.committed.items():
            if tp.topic == self.raw_topic and offset == 0:  # aiokafka goes back to what is more than 0
                await self._seek(tp, 0)
        return offsets

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """A rebalance just before Faust's recovery seeks gives it partitions whose offsets it has not asked for yet:
        None, which aiokafka refuses, so that the worker would end. The recovery that follows asks and seeks again. What
        is sought meanwhile is the beginning, which is always right: entries would only be read once more."""
        odd = {tp: offset for tp, offset in partitions.items() if not isinstance(offset, int) or offset < 0}
        if odd:
            named = {f"{tp.topic}:{tp.partition}": repr(offset) for tp, offset in odd.items()}
            log.info("rebalance_overtook_recovery", offsets=named)
        await super().seek_wait({**partitions, **dict.fromkeys(odd, 0)})

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Faust also counts commits that a rebalance has refused; this keeps those that the group accepted."""
        is_committed: bool = await super()._commit(offsets)
        if is_committed:
            self.committed.update({tp: offset for tp, offset in offsets.items() if tp in self.committed})
        return is_committed

    async def _seek(self, partition: TP, offset: int) -> None:
        """On the consumer's thread. Faust seeks on the loop's thread, which crashes a read that is in progress."""
        await self._thread.call_thread(internals.aiokafka_consumer(self).seek, partition, offset)

    def reading(self, tp: TP) -> Reading:
        """How far it is with a partition, as aiokafka knows; from any thread."""
        return internals.reading_of(internals.aiokafka_consumer(self), tp)

    def _renew_lease_by_heartbeats(self) -> None:
        coordinator = internals.group_coordinator(internals.aiokafka_consumer(self))
        if coordinator is not self._heard_coordinator:
            self._heard_coordinator = coordinator
            internals.wrap_heartbeat(coordinator, self.lease.renewed_by)

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic != self.raw_topic:
            newest: int | None = super()._new_offset(tp)
            return newest
        acked, index = internals.acknowledged(self, tp)
        if not acked:
            return None
        newest = max(acked) + 1
        acked.clear()
        index.clear()
        return newest

    def on_buffer_full(self, tp: TP) -> None:
        """A full buffer holds the fetcher up. Faust would leave the partition out, and sleep where none is left."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic != self.raw_topic:
            await super()._add_gap(tp, offset_from, offset_to)


class LeasedProducer(driver.Producer):
    """Writes changelogs while the lease is held."""

    lease: Lease
    fail: Callable[[str], None]

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)

        def guard(send: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
            return guard_sends(send, self.lease, lambda: bool(self.app.rebalancing), type(self).fail)

        internals.wrap_sends(producer, guard, pace)
        return producer


def pace(update: Callable[[], Awaitable[bool]]) -> Callable[[], asyncio.Future[bool]]:
    """An update of aiokafka's metadata that takes a moment, also where it fails at once.

    While a partition has no leader, sender and fetcher ask for the next one without a pause: thousands of times a
    second, as long as the broker is away, each with lines in the log. An update that can't connect asks for the next
    one itself, and waits for none: so an update also begins no sooner than a moment after the last one.
    """
    next_at = 0.0

    async def paced() -> bool:
        nonlocal next_at
        if (wait := next_at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        next_at = time.monotonic() + METADATA_PAUSE_SECONDS
        is_updated = await update()
        await asyncio.sleep(METADATA_PAUSE_SECONDS)
        return is_updated

    return lambda: asyncio.ensure_future(paced())


def use_transport(app: Any, raw_topic: str, lease: Lease, fail: Callable[[str], None]) -> None:
    """Give the app this consumer and this producer. Call before it starts."""
    consumer = type(
        "RawFetchConsumer", (FetchConsumer,), {"raw_topic": raw_topic, "lease": lease, "__module__": __name__}
    )
    producer = type(
        "ChangelogProducer", (LeasedProducer,), {"lease": lease, "fail": staticmethod(fail), "__module__": __name__}
    )
    transport = type("JoinTransport", (driver.Transport,), {"Consumer": consumer, "Producer": producer})
    app.transport = transport(app.conf.broker_consumer, app, loop=app.loop)
    app.producer_transport = transport(app.conf.broker_producer, app, loop=app.loop)
