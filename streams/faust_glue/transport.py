"""Faust's way to Kafka, changed: all records of one fetch of a partition come as one event, and sends know a lease.

Faust spends 100 µs and more on each event, whatever is in it; with one event for a fetch the join is limited by lines.
The message of such an event has the list of records as its value and the offset of the last one. Changelogs are
left as they are. Three things of Faust's own bookkeeping must then give way for the raw topic:

- acknowledgement is strictly in order, so the offset to commit is the newest acknowledged plus one;
- offsets between two events are no gaps;
- what was read before is no filter: after a seek, records come again on purpose, and the agent tells them itself.

What the group took is kept beside Faust's account of it; seeks run on the thread that reads, and aiokafka's sender
asks for metadata at a pace.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from postwatch.streams.faust_glue.lease import Lease, guard_sends

METADATA_PAUSE_SECONDS = 0.1


class Fetch:
    """Looks like a record to Faust; the value is every record of one fetch of one partition."""

    __slots__ = ("checksum", "headers", "key", "offset", "partition", "timestamp", "timestamp_type", "topic", "value")
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, records: list[Any]) -> None:
        last = records[-1]
        self.topic = last.topic
        self.partition = last.partition
        self.offset = last.offset
        self.timestamp = last.timestamp
        self.timestamp_type = last.timestamp_type
        self.headers = ()
        self.key = None
        self.value = records
        self.checksum = None


class _ReadOffsets(defaultdict[TP, Any]):
    """Faust's positions, which say nothing of the raw topic."""

    def __init__(self, raw_topic: str) -> None:
        super().__init__(lambda: None)
        self._raw_topic = raw_topic

    def __getitem__(self, tp: TP) -> Any:
        return None if tp.topic == self._raw_topic else super().__getitem__(tp)


class FetchConsumer(driver.Consumer):
    """One event for each fetch of the raw topic."""

    raw_topic = ""
    lease: Lease

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _ReadOffsets(self.raw_topic)
        self.committed: dict[TP, int | None] = {}
        """What the group knows of the partitions that are assigned; None: nothing yet."""
        self._coordinator: Any = None

    async def seek_to_committed(self) -> Any:
        self._renew_lease_by_heartbeats()
        offsets = await super().seek_to_committed()
        self.committed = {TP(tp.topic, tp.partition): offset for tp, offset in offsets.items()}
        return offsets

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Faust's own account is no good here: it takes a commit for done that a rebalance has refused."""
        is_committed: bool = await super()._commit(offsets)
        if is_committed:
            self.committed.update({tp: offset for tp, offset in offsets.items() if tp in self.committed})
        return is_committed

    async def _seek(self, partition: TP, offset: int) -> None:
        """On the consumer's thread. Faust seeks on its own, in the middle of what that thread reads: it would crash."""
        await self._thread.call_thread(self._thread._ensure_consumer().seek, partition, offset)

    def _renew_lease_by_heartbeats(self) -> None:
        coordinator = self._thread._ensure_consumer()._coordinator
        if coordinator is not self._coordinator:
            self._coordinator = coordinator
            coordinator._do_heartbeat = self.lease.renewed_by(coordinator._do_heartbeat)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        fetched = await super()._getmany(active_partitions, timeout)
        return {
            tp: [Fetch(records)] if records and tp.topic == self.raw_topic else records
            for tp, records in fetched.items()
        }

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic != self.raw_topic:
            newest: int | None = super()._new_offset(tp)
            return newest
        acked = self._acked[tp]
        if not acked:
            return None
        newest = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return newest

    def on_buffer_full(self, tp: TP) -> None:
        """A full buffer holds the fetcher up. Faust would leave the partition out, and sleep where none is left."""
        if tp.topic != self.raw_topic:
            super().on_buffer_full(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic != self.raw_topic:
            await super()._add_gap(tp, offset_from, offset_to)


class LeasedProducer(driver.Producer):
    """Writes changelogs while the lease is held."""

    lease: Lease
    fail: Callable[[str], None]

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        sender = producer._sender
        sender._send_produce_req = guard_sends(
            sender._send_produce_req, self.lease, lambda: bool(self.app.rebalancing), type(self).fail
        )
        sender.client.force_metadata_update = pace(sender.client.force_metadata_update)
        return producer


def pace(update: Callable[[], Awaitable[bool]]) -> Callable[[], asyncio.Future[bool]]:
    """An update of aiokafka's metadata that takes a moment, also where it fails at once.

    While a partition has no leader its sender asks for the next one without a pause: thousands a second, as long as the
    broker is away, each with lines in the log.
    """

    async def paced() -> bool:
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
