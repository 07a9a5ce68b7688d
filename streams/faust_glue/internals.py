"""Every private name of Faust, aiokafka and confluent-kafka that the join leans on, in one place.

None of them is promised to stay. Attributes are read and set here and nowhere else; methods that `transport.py`
overrides are listed below. `test_internals.py` holds both against the versions that are installed, so that an upgrade
fails there, with the name, and not at night. KafkaError's constants begin with an underscore and are documented.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableSequence, MutableSet
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, Subscription, SubscriptionState, TopicPartitionState
from aiokafka.producer.sender import Sender
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.cimpl import NewTopic
from faust import Topic, Worker
from faust.stores.rocksdb import Store
from faust.tables import TableManager
from faust.tables.table import Table
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from postwatch.streams.faust_glue.standstill import Reading

__all__ = ["AclOperation", "NewTopic"]  # confluent_kafka.admin has them too, but does not say so to a type checker


@dataclass(frozen=True, slots=True)
class Method:
    """What is called or overridden, with its parameters as they must be named."""

    owner: type
    name: str
    parameters: str = ""


Pace = Callable[[Callable[[], Awaitable[bool]]], Any]
"""What is put around a client's request for metadata."""

METHODS = (
    Method(driver.Consumer, "_new_consumer_thread"),
    Method(driver.Consumer, "_commit", "offsets"),
    Method(driver.Consumer, "_seek", "partition, offset"),
    Method(driver.Consumer, "seek_wait", "partitions"),
    Method(driver.Consumer, "_new_offset", "tp"),
    Method(driver.Consumer, "_add_gap", "tp, offset_from, offset_to"),
    Method(driver.Consumer, "on_buffer_full", "tp"),
    Method(driver.Consumer, "seek_to_committed"),
    Method(driver.AIOKafkaConsumerThread, "_create_worker_consumer", "transport"),
    Method(driver.AIOKafkaConsumerThread, "_fetch_records", "consumer, active_partitions, timeout, max_records"),
    Method(driver.AIOKafkaConsumerThread, "_ensure_consumer"),
    Method(driver.Producer, "_new_producer", "transactional_id"),
    Method(TableManager, "on_start"),
    Method(TableManager, "_update_channels"),
    Method(Store, "_db_for_partition", "partition"),
    Method(Store, "persisted_offset", "tp"),
    Method(Store, "set_persisted_offset", "tp, offset"),
    Method(Store, "apply_changelog_batch", "batch, to_key, to_value"),
    Method(
        Topic,
        "send_soon",
        "key, value, partition, timestamp, headers, schema, key_serializer, value_serializer, callback, force, "
        "eager_partitioning",
    ),
    Method(GroupCoordinator, "_do_heartbeat"),
    Method(Fetcher, "_create_fetch_waiter"),
    Method(Fetcher, "fetched_records", "partitions, timeout, max_records"),
    Method(Assignment, "state_value", "tp"),
    Method(Sender, "_send_produce_req", "node_id, batches"),
    Method(AIOKafkaClient, "force_metadata_update"),
)

ATTRIBUTES = (
    (driver.Consumer, "_thread"),
    (driver.Consumer, "_read_offset"),
    (driver.Consumer, "_acked"),
    (driver.Consumer, "_acked_index"),
    (driver.Consumer, "flow_active"),
    (Table, "data"),
    (Store, "offset_key"),
    (Worker, "_starting_fut"),
    (Worker, "spinner"),
    (AIOKafkaConsumer, "_isolation_level"),
    (AIOKafkaConsumer, "_fetch_max_wait_ms"),
    (AIOKafkaConsumer, "_client"),
    (AIOKafkaConsumer, "_subscription"),
    (AIOKafkaConsumer, "_coordinator"),
    (AIOKafkaConsumer, "_fetcher"),
    (SubscriptionState, "subscription"),
    (Subscription, "assignment"),
    (Assignment, "tps"),
    (TopicPartitionState, "_position"),
    (TopicPartitionState, "highwater"),
    (TopicPartitionState, "lso"),
    (TopicPartitionState, "timestamp"),
    (AIOKafkaProducer, "_sender"),
    (Sender, "client"),
)


def aiokafka_consumer(consumer: driver.Consumer) -> Any:
    """The one on the thread of Faust's consumer. Raises Faust's ConsumerNotStarted before that runs."""
    return consumer._thread._ensure_consumer()


def read_committed(consumer: Any) -> None:
    """Let a consumer that has not started pass over the records of aborted transactions.

    Faust asks for that only when it writes in transactions itself.
    """
    consumer._isolation_level = "read_committed"


def bound_fetch_wait(consumer: Any, milliseconds: int) -> None:
    """How long a broker may hold the answer back while it has no new records. For a consumer that has not started."""
    consumer._fetch_max_wait_ms = milliseconds


def pace_metadata(consumer: Any, pace: Pace) -> None:
    """Change how aiokafka's consumer asks for metadata."""
    consumer._client.force_metadata_update = pace(consumer._client.force_metadata_update)


def replace_read_offsets(consumer: driver.Consumer, offsets: Any) -> None:
    consumer._read_offset = offsets


def acknowledged(consumer: driver.Consumer, tp: TP) -> tuple[MutableSequence[int], MutableSet[int]]:
    """Offsets that wait for the next commit, as the list and the set that Faust keeps of them."""
    return consumer._acked[tp], consumer._acked_index[tp]


def assignment_of(consumer: Any) -> Any:
    """What the group gave to aiokafka's consumer: an object of its own for each rebalance; None: nothing yet."""
    subscription = consumer._subscription.subscription
    return subscription.assignment if subscription is not None else None


def positions_of(assignment: Any, topic: str) -> dict[TP, int]:
    """The next offset to hand over of each partition of the topic that has one."""
    states = {tp: assignment.state_value(tp)._position for tp in assignment.tps if tp.topic == topic}
    return {tp: position for tp, position in states.items() if position is not None}


def reading_of(consumer: Any, tp: TP) -> Reading:
    """How far it is with a partition; may be asked from any thread."""
    assignment = assignment_of(consumer)
    state = assignment.state_value(tp) if assignment is not None else None
    if state is None:
        return Reading()
    return Reading(state._position, state.highwater, state.lso, state.timestamp)


def next_answer(consumer: Any) -> asyncio.Future[None]:
    """Done when the broker has answered a fetch; it raises what can't be retried. Cancel it when it is not needed."""
    waiter: asyncio.Future[None] = consumer._fetcher._create_fetch_waiter()
    return waiter


def group_coordinator(consumer: Any) -> Any:
    return consumer._coordinator


def wrap_heartbeat(coordinator: Any, wrap: Callable[[Any], Any]) -> None:
    coordinator._do_heartbeat = wrap(coordinator._do_heartbeat)


def wrap_sends(
    producer: Any,
    wrap: Callable[[Callable[..., Awaitable[None]]], Any],
    pace: Pace,
) -> None:
    """Change how aiokafka's producer sends a request, and how it asks for metadata."""
    sender = producer._sender
    sender._send_produce_req = wrap(sender._send_produce_req)
    sender.client.force_metadata_update = pace(sender.client.force_metadata_update)


def partition_database(table: Any, partition: int) -> Any:
    """The RocksDB of one partition of a table."""
    return table.data._db_for_partition(partition)


def keys_of(table: Any, database: Any) -> set[bytes]:
    """Without the one under which Faust keeps an offset."""
    return set(database.keys()) - {table.data.offset_key}


def start_of(worker: Worker) -> asyncio.Future[None] | None:
    """Done when everything under the worker has started, or failed to."""
    return worker._starting_fut
