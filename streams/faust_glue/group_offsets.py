"""What the join's group has committed, put right before a worker starts.

Kafka forgets a group's offsets with a topic, but a worker that still ran may have committed again. Offsets of a former
topic would let the new one's records pass for read. And where nothing is committed, aiokafka does not go back to what
Faust read and dropped before the worker was ready: a partition that nobody has read begins with its first offset
committed.
"""

from __future__ import annotations

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_admin import SILENT
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import with_remedy

log = structlog.get_logger()

_TIMEOUT_SECONDS = 10.0
_OF_MEMBERS = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)
"""How Kafka refuses a commit from outside of a group that has members."""


def open_group(kafka: KafkaSettings, group: str) -> Consumer:
    """Reads and commits for the group without joining it."""
    own = {"group.id": group, "enable.auto.commit": False, "enable.partition.eof": True}
    return Consumer({**kafka.client_config(), "auto.offset.reset": "earliest", **own}, logger=SILENT)


def correct_offsets(kafka: KafkaSettings, group: str, topic: str, partitions: int) -> None:
    """Let partitions that were never read, and those that end before what is committed, begin with their first record.

    A group that has members takes no commit from outside: its first worker has seen to what was never read. Raises
    UnavailableError, also where members keep offsets of a former topic: these must end first.
    """
    consumer = open_group(kafka, group)
    try:
        wrong, unread = [], []
        places = [TopicPartition(topic, number) for number in range(partitions)]
        for place in consumer.committed(places, timeout=_TIMEOUT_SECONDS):
            first, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)
            if place.offset > end:
                log.error("topic_ends_before_the_commit", partition=place.partition, committed=place.offset, end=end)
            if place.offset > end:
                wrong.append(TopicPartition(topic, place.partition, first))
            elif place.offset < 0:
                unread.append(TopicPartition(topic, place.partition, first))
        if wrong or unread:
            _commit(consumer, [*wrong, *unread], may_be_refused=not wrong)
    except KafkaException as error:
        raise UnavailableError(
            f"the offsets of the group {group} can't be read: {with_remedy(error.args[0])}"
        ) from error
    finally:
        consumer.close()


def _commit(consumer: Consumer, places: list[TopicPartition], *, may_be_refused: bool) -> None:
    try:
        consumer.commit(offsets=places, asynchronous=False)
    except KafkaException as error:
        if not may_be_refused or error.args[0].code() not in _OF_MEMBERS:
            raise
