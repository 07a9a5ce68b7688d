"""A running `postwatch sink` and what a test asks of Kafka and ClickHouse around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import httpx
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.settings import ClickHouseSettings

from tests.waiting import PATIENCE, wait_until

POSTWATCH = Path(sys.executable).with_name("postwatch")


def kafka_environment(kafka: KafkaSettings) -> dict[str, str]:
    """The variables that make a part of its own process use this broker and these topics."""
    names = ("brokers", "raw_topic", "outcomes_topic", "heartbeats_topic", "dead_letters_topic")
    return {f"POSTWATCH_KAFKA_{name.upper()}": getattr(kafka, name) for name in names}


class SinkProcess:
    """`postwatch sink` as a process; ended, whatever happens, with the `with` block."""

    def __init__(self, kafka: KafkaSettings, clickhouse: ClickHouseSettings, log: Path, **settings: str) -> None:
        self._log = log
        self._port = choose_port()
        self._environment = {
            **os.environ,
            **kafka_environment(kafka),
            "POSTWATCH_CLICKHOUSE_URL": clickhouse.url,
            "POSTWATCH_CLICKHOUSE_DATABASE": clickhouse.database,
            "POSTWATCH_CLICKHOUSE_USER": clickhouse.user,
            "POSTWATCH_CLICKHOUSE_PASSWORD": clickhouse.password,
            "POSTWATCH_SINK_GROUP": f"sink.{kafka.outcomes_topic}",
            "POSTWATCH_SINK_METRICS_ADDRESS": f"127.0.0.1:{self._port}",
            **{f"POSTWATCH_SINK_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SinkProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([POSTWATCH, "sink"], env=self._environment, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(60)
        self._process = None
        return status

    def events(self) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if line]

    def complaints(self) -> dict[str, str] | None:
        """What /health complains of; None while it does not answer."""
        try:
            response = httpx.get(f"http://127.0.0.1:{self._port}/health")
        except httpx.TransportError:
            return None
        complaints: dict[str, str] = response.json()["complaints"]
        assert response.status_code == (503 if complaints else 200)
        return complaints

    def metric(self, sample: str) -> float:
        """The value of a sample, named as in the exposition; 0 where there is none yet."""
        text = httpx.get(f"http://127.0.0.1:{self._port}/metrics").text
        found = [line for line in text.splitlines() if line.startswith(sample + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


def send(kafka: KafkaSettings, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
    """Produce records and wait until the broker has them."""
    producer = Producer(kafka.client_config(), logger=None)
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(PATIENCE) == 0


def committed(kafka: KafkaSettings) -> dict[tuple[str, int], int]:
    """(topic, partition) → what the sink's group has committed."""
    group = f"sink.{kafka.outcomes_topic}"
    admin = AdminClient(kafka.client_config(), logger=None)
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(PATIENCE)
    return {(each.topic, each.partition): each.offset for each in found.topic_partitions if each.offset >= 0}


def members(kafka: KafkaSettings) -> list[str]:
    """The ids of the group's members; a member that was thrown out comes back with another id."""
    group = f"sink.{kafka.outcomes_topic}"
    admin = AdminClient(kafka.client_config(), logger=None)
    return sorted(each.member_id for each in admin.describe_consumer_groups([group])[group].result(PATIENCE).members)


def groups(kafka: KafkaSettings) -> list[str]:
    """The groups that the broker knows."""
    admin = AdminClient(kafka.client_config(), logger=None)  # its answers never come once it is collected
    return [group.group_id for group in admin.list_consumer_groups().result(PATIENCE).valid or []]


def read_all(kafka: KafkaSettings, topic: str, count: int) -> list[tuple[bytes, dict[str, bytes]]]:
    """The first so many records of a topic's partitions: value and headers."""
    consumer = Consumer({**kafka.client_config(), "group.id": "none"}, logger=None)
    places = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
    consumer.assign([TopicPartition(topic, place, 0) for place in places])
    found: list[tuple[bytes, dict[str, bytes]]] = []

    def poll() -> bool:
        message = consumer.poll(0.1)
        if message is not None and not message.error():
            found.append((message.value() or b"", dict(message.headers() or [])))  # type: ignore[arg-type]
        return len(found) >= count

    wait_until(poll, f"{topic} holds {count} records")
    consumer.close()
    return found
