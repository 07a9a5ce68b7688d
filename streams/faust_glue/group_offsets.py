"""What the join's group has committed, put right before a worker starts.

Kafka forgets a group's offsets with a topic, but a worker that still ran may have committed again. Offsets of a former
topic would let the new one's records pass for read. And where nothing is committed, aiokafka does not go back to what
Faust dropped while a table was restored: a partition that was added begins with its first offset committed.
"""

from __future__ import annotations

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_admin import SILENT
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import with_remedy

log = structlog.get_logger()

_TIMEOUT_SECONDS = 10.0


def open_group(kafka: KafkaSettings, group: str) -> Consumer:
    """Reads and commits for the group without joining it."""
    own = {"group.id": group, "enable.auto.commit": False, "enable.partition.eof": True}
    return Consumer({**kafka.client_config(), "auto.offset.reset": "earliest", **own}, logger=SILENT)


def correct_offsets(kafka: KafkaSettings, group: str, topic: str, partitions: int, *, begin: bool = False) -> None:
    """Let partitions that end before what is committed be read from their beginning. Raises UnavailableError.

    `begin`: also commit the first offset where nothing was ever committed. A group that has members takes no commit
    from outside: these must end first.
    """
    consumer = open_group(kafka, group)
    try:
        wrong = []
        places = [TopicPartition(topic, number) for number in range(partitions)]
        for place in consumer.committed(places, timeout=_TIMEOUT_SECONDS):
            first, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)
            if place.offset > end:
                log.error("topic_ends_before_the_commit", partition=place.partition, committed=place.offset, end=end)
            if place.offset > end or (begin and place.offset < 0):
                wrong.append(TopicPartition(topic, place.partition, first))
        if wrong:
            consumer.commit(offsets=wrong, asynchronous=False)
    except KafkaException as error:
        raise UnavailableError(
            f"the offsets of the group {group} can't be read: {with_remedy(error.args[0])}"
        ) from error
    finally:
        consumer.close()
