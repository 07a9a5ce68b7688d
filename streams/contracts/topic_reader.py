"""Reads a topic without leaving a trace: partitions are assigned, no group is joined, no offset is committed.

Records of aborted transactions do not come. The last offset may be the marker of a transaction, which no record tells
of: what has been read to its end is known by the end that librdkafka reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka import KafkaWatch, check_topics
from postwatch.producers.service.kafka_admin import SILENT
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import concerns_reader, unavailable, with_remedy
from postwatch.producers.service.outages import OutageLog

_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.2


def read_topic(
    kafka: KafkaSettings, topic: str, *, from_beginning: bool, follow: bool, warn: Callable[[str], None]
) -> Iterator[Message]:
    """Records of every partition; ends, unless it follows, at what was the end when it began.

    Raises UnavailableError, with the remedy, when no broker answers at the start or the topic is missing; a broker that
    goes away later is waited for, with a warning a minute.
    """
    watch = KafkaWatch(kafka, OutageLog("kafka", Health(), say=lambda words: warn(words) if started else None))
    started = False
    config = {
        **kafka.client_config(),
        "group.id": "postwatch-outcomes",  # librdkafka wants a name; without subscribing no group comes of it
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        **watch.config(),
    }
    consumer = Consumer(config, logger=SILENT)
    try:
        check_topics(consumer, kafka, [topic], watch.logger)
        ends = _ends(consumer, kafka, topic, from_beginning)
        consumer.assign([TopicPartition(topic, place, start) for place, (start, _) in ends.items()])
        started = True
        left = {place for place, (start, end) in ends.items() if start < end}
        while follow or left:
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            place, next_offset = int(message.partition() or 0), int(message.offset() or 0)
            if error := message.error():
                if concerns_reader(error):
                    raise UnavailableError(f"the topic {topic} can't be read: {with_remedy(error)}")
                if error.code() != KafkaError._PARTITION_EOF:
                    continue
            else:
                next_offset += 1
                if follow or place in left:
                    yield message
            if next_offset >= ends[place][1]:
                left.discard(place)
    finally:
        consumer.close()


def _ends(consumer: Consumer, kafka: KafkaSettings, topic: str, from_beginning: bool) -> dict[int, tuple[int, int]]:
    """Partition → where to start, and its end as of now."""
    try:
        places = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
        ends = {
            place: consumer.get_watermark_offsets(TopicPartition(topic, place), _TIMEOUT_SECONDS) for place in places
        }
    except KafkaException as error:
        raise unavailable(kafka, error.args[0].str()) from error
    return {place: (first if from_beginning else end, end) for place, (first, end) in ends.items()}
