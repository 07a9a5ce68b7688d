"""Records live by the time at which Kafka got them: a mail server's wrong clock costs no line."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from postwatch.deploy import cli
from postwatch.deploy.topic_settings import TopicSettings
from postwatch.deploy.topics import APPEND_TIME, TIMESTAMP_TYPE, create_topics, topic_configs
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.topic_copies import in_sync_copies
from postwatch.streams.settings import ClickHouseSettings

from tests.waiting import PATIENCE, wait_until

HOUR_MS = 3_600_000


def set_topic(kafka: KafkaSettings, topic: str, **configs: str) -> None:
    """`retention_ms="1"` and the like."""
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in configs.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient(kafka.client_config())  # it must live until the answer comes
    admin.incremental_alter_configs([resource])[resource].result(PATIENCE)


def by_sender_time(kafka: KafkaSettings) -> None:
    """Topics as earlier versions created them. The broker has applied it to all when the last one goes by it."""
    for topic in topic_configs(kafka):
        set_topic(kafka, topic, message_timestamp_type="CreateTime")
    wait_until(lambda: _timestamp_kind(kafka, kafka.dead_letters_topic) == TIMESTAMP_CREATE_TIME, "it is applied")


def _timestamp_kind(kafka: KafkaSettings, topic: str) -> int:
    kinds: list[int] = []
    producer = Producer(kafka.client_config())
    producer.produce(topic, b"x", on_delivery=lambda _, message: kinds.append(message.timestamp()[0]))
    producer.flush(PATIENCE)
    return kinds[0]


def timestamp_types(kafka: KafkaSettings) -> set[str]:
    asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topic_configs(kafka)]
    admin = AdminClient(kafka.client_config())
    return {str(one.result(PATIENCE)[TIMESTAMP_TYPE].value) for one in admin.describe_configs(asked).values()}


def send(kafka: KafkaSettings, age_ms: int) -> KafkaError | None:
    """One record of a server whose clock is behind by that much; returns what Kafka had against it."""
    errors: list[KafkaError | None] = []
    producer = Producer(kafka.client_config())
    sent_ms = time.time_ns() // 1_000_000 - age_ms
    producer.produce(
        kafka.raw_topic, b"x\n", b"web1", timestamp=sent_ms, on_delivery=lambda error, _: errors.append(error)
    )
    producer.flush(PATIENCE)
    return errors[0]


def records(kafka: KafkaSettings, count: int) -> list[Message]:
    consumer = Consumer({**kafka.client_config(), "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(kafka.raw_topic, 0, 0)])
    found = consumer.consume(count, timeout=30)
    consumer.close()
    return found


@pytest.mark.stack
def test_a_clock_ahead_or_days_behind_costs_no_record(topics: KafkaSettings) -> None:
    create_topics(topics, 1)
    for age_ms in (-2 * HOUR_MS, 120 * HOUR_MS):
        assert send(topics, age_ms) is None
    now_ms = time.time_ns() // 1_000_000
    for message in records(topics, 2):
        kind, at_ms = message.timestamp()
        assert kind == TIMESTAMP_LOG_APPEND_TIME
        assert abs(now_ms - at_ms) < HOUR_MS  # so neither retention nor a replay by time goes by the sender's clock


@pytest.mark.stack
def test_topics_are_kept_and_copied_as_the_settings_say(topics: KafkaSettings) -> None:
    create_topics(topics, 1, TopicSettings(replication=1, raw_retention_hours=200))
    resource = ConfigResource(ConfigResource.Type.TOPIC, topics.raw_topic)
    admin = AdminClient(topics.client_config())
    found = admin.describe_configs([resource])[resource].result(PATIENCE)
    assert found["retention.ms"].value == str(200 * HOUR_MS)
    assert found["min.insync.replicas"].value == "1"


@pytest.mark.parametrize(
    ("brokers", "asked", "copies", "in_sync"), [(1, 0, 1, 1), (2, 0, 2, 1), (5, 0, 3, 2), (5, 4, 4, 2)]
)
def test_a_record_of_three_copies_is_acknowledged_by_two(brokers: int, asked: int, copies: int, in_sync: int) -> None:
    assert TopicSettings(replication=asked).copies(brokers) == copies
    assert in_sync_copies(copies) == in_sync


@pytest.mark.stack
def test_topics_of_an_earlier_version_are_changed_once(
    topics: KafkaSettings,
    database: ClickHouseSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    create_topics(topics, 1)
    by_sender_time(topics)
    set_topic(topics, topics.raw_topic, retention_ms="7200000")  # the operator's own
    refused = send(topics, -2 * HOUR_MS)
    assert refused is not None
    assert refused.code() == KafkaError.INVALID_TIMESTAMP

    for name in ("brokers", "raw_topic", "outcomes_topic", "heartbeats_topic", "dead_letters_topic"):
        monkeypatch.setenv(f"POSTWATCH_KAFKA_{name.upper()}", getattr(topics, name))
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", database.url)
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_DATABASE", database.database)
    assert cli.main(["migrate", "--topics"]) == 0
    assert f"topic {topics.raw_topic}: exists, {TIMESTAMP_TYPE} set to {APPEND_TIME}" in capsys.readouterr().out
    assert timestamp_types(topics) == {APPEND_TIME}
    wait_until(lambda: send(topics, -2 * HOUR_MS) is None, "the broker applies it")
    assert cli.main(["migrate", "--topics"]) == 0
    assert f"topic {topics.raw_topic}: exists\n" in capsys.readouterr().out
    resource = ConfigResource(ConfigResource.Type.TOPIC, topics.raw_topic)
    admin = AdminClient(topics.client_config())
    assert admin.describe_configs([resource])[resource].result(PATIENCE)["retention.ms"].value == "7200000"


@pytest.mark.parametrize("number", ["0", "-3", "two", "1.5"])
def test_a_number_of_partitions_is_checked_before_anything_is_reached(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["migrate", "--topics", "--partitions", number])
    assert caught.value.code == 2
    assert f"'{number}' is not a number of partitions: use 1 or more" in capsys.readouterr().err
