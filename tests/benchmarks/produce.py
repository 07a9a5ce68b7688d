"""Puts prepared records on the raw topic as fast as one client can: `python -m tests.benchmarks.produce FILE`.

A process of its own, with the shipper's settings of the client; where Kafka is stands in POSTWATCH_KAFKA_*.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer
from postwatch.producers.record import RawHeaders
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import load

from tests.benchmarks.workload import read_records

_FLUSH_SECONDS = 60.0


def shipper_producer(kafka: KafkaSettings) -> Producer:
    """With what shippers set."""
    return Producer(
        {
            **kafka.client_config(),
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "queue.buffering.max.kbytes": 65_536,
        }
    )


def produce(path: Path, kafka: KafkaSettings) -> int:
    """Returns how many records Kafka did not take."""
    producer = shipper_producer(kafka)
    refused = 0

    def delivered(error: KafkaError | None, message: Message) -> None:
        nonlocal refused
        refused += error is not None

    for server, byte_offset, value in read_records(path):
        end_offset = byte_offset + len(value)
        now_ms = time.time_ns() // 1_000_000
        headers = RawHeaders("exim-main", "UTC", f"{server}-mainlog", byte_offset, end_offset, now_ms).encode()
        while True:
            try:
                producer.produce(kafka.raw_topic, value, server, headers=[*headers], on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    return refused + int(producer.flush(_FLUSH_SECONDS))


if __name__ == "__main__":
    if lost := produce(Path(sys.argv[1]), load(KafkaSettings)):
        sys.exit(f"{lost} records were not taken")
