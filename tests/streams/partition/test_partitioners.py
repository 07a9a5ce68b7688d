"""The partition of a server's records is the one that the real clients choose."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.partition.partitioners import partition_by_crc32, partition_by_murmur2

from tests.waiting import PATIENCE

KEYS = [f"web{number}.example.net".encode() for number in range(20)] + [b"a", b"ab", b"abc", "müller".encode()]


@given(st.binary(max_size=40), st.integers(1, 100))
def test_murmur2_is_that_of_the_java_clients(key: bytes, partitions: int) -> None:
    assert partition_by_murmur2(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


@pytest.mark.stack
@pytest.mark.parametrize(
    ("more", "expected"),
    [({"partitioner": "murmur2_random"}, partition_by_murmur2), ({}, partition_by_crc32)],
    ids=["our shipper", "rsyslog, Vector, Fluent Bit"],
)
def test_records_go_where_it_is_said(topics: KafkaSettings, more: dict[str, str], expected: object) -> None:
    create_topics(topics, 7)
    found: dict[bytes, int] = {}
    producer = Producer({**topics.client_config(), **more})
    for key in KEYS:
        producer.produce(
            topics.raw_topic,
            b"x",
            key,
            on_delivery=lambda _, sent: found.update({sent.key() or b"": sent.partition() or 0}),
        )
    producer.flush(PATIENCE)
    assert callable(expected)
    assert found == {key: expected(key, 7) for key in KEYS}
