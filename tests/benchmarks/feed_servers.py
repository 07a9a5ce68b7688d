"""Many servers at work: `python -m tests.benchmarks.feed_servers SERVERS LINES_A_SECOND SECONDS SINK_GROUP RESULT`.

A process of its own; where Kafka is stands in POSTWATCH_KAFKA_*. It waits while more than MOST_BEHIND_SECONDS of
heartbeats are on their way to the table, so the rate that it reaches is what join and sink carry. RESULT is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import load

from tests.benchmarks.many_servers import HEARTBEAT_EVERY_MS, ManyServers, Sent
from tests.benchmarks.produce import shipper_producer

MOST_BEHIND_SECONDS = 20.0
_EVERY_SECONDS = 0.05
_LOOK_EVERY_SECONDS = 1.0
_FLUSH_SECONDS = 60.0


@dataclass
class Fed:
    """What was sent, and how far behind the table `servers` was, once a second."""

    messages: int = 0
    lines: int = 0
    records: int = 0
    heartbeats: int = 0
    seconds: float = 0.0
    behind_seconds: list[float] = field(default_factory=list)


class WrittenHeartbeats:
    """How many heartbeats the sink has written, as its offsets tell."""

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        self._consumer = Consumer({**kafka.client_config(), "group.id": group, "enable.auto.commit": False})
        topic = kafka.heartbeats_topic
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._places = [TopicPartition(topic, number) for number in partitions]

    def count(self) -> int:
        return sum(max(place.offset, 0) for place in self._consumer.committed(self._places, timeout=10))


def feed(kafka: KafkaSettings, servers: int, lines_a_second: float, seconds: float, group: str) -> Fed:
    """Raises RuntimeError where Kafka did not take a record."""
    producer = shipper_producer(kafka)
    written = WrittenHeartbeats(kafka, group)
    written_before = written.count()
    fleet = ManyServers(servers, lines_a_second, _now_ms())
    fed = Fed()
    started = sent_at = time.monotonic()
    look_at = started
    behind_seconds = 0.0
    while (now := time.monotonic()) < started + seconds:
        if now >= look_at:
            look_at = now + _LOOK_EVERY_SECONDS
            on_their_way = fleet.heartbeats - (written.count() - written_before)
            behind_seconds = max(on_their_way, 0) * HEARTBEAT_EVERY_MS / 1000 / servers
            fed.behind_seconds.append(round(behind_seconds, 2))
        if behind_seconds <= MOST_BEHIND_SECONDS:
            _produce(producer, kafka.raw_topic, fleet.send(_now_ms(), (now - sent_at) * 1000))
        sent_at = now
        producer.poll(_EVERY_SECONDS)
    fed.seconds = time.monotonic() - started
    _produce(producer, kafka.raw_topic, fleet.rest(_now_ms()))
    if left := producer.flush(_FLUSH_SECONDS):
        raise RuntimeError(f"{left} records were not taken")
    fed.messages, fed.lines, fed.records, fed.heartbeats = fleet.messages, fleet.lines, fleet.records, fleet.heartbeats
    return fed


def _produce(producer: Producer, topic: str, records: Iterable[Sent]) -> None:
    for record in records:
        while True:
            try:
                producer.produce(topic, record.value, record.server, headers=[*record.headers])
                break
            except BufferError:
                producer.poll(0.05)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    _servers, _rate, _seconds, _group, _result = sys.argv[1:]
    _fed = feed(load(KafkaSettings), int(_servers), float(_rate), float(_seconds), _group)
    Path(_result).write_text(json.dumps(asdict(_fed)))
