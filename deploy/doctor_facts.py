"""Collects what the doctor judges, from Kafka and ClickHouse, leaving no trace and never waiting for long.

Raises UnavailableError, with the remedy, where nobody answers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from postwatch.deploy.doctor import MANY_LETTERS, ClickHouseFacts, KafkaFacts
from postwatch.deploy.doctor_lag import LagFacts
from postwatch.deploy.doctor_topics import TopicFacts
from postwatch.deploy.lag_facts import collect_lag
from postwatch.deploy.migrate import read_migrations
from postwatch.producers.service.kafka import check_topics
from postwatch.producers.service.kafka_admin import SILENT, open_admin
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import unavailable as kafka_unavailable
from postwatch.streams.clickhouse.client import TRANSPORT_ERRORS, connect, unavailable
from postwatch.streams.settings import ClickHouseSettings

_TIMEOUT_SECONDS = 5.0
_DAY_MS = 86_400_000
_TABLES = ("deliveries", "servers")


def collect_kafka(
    kafka: KafkaSettings, topics: Iterable[str], groups: Iterable[tuple[str, str]], now_ms: int
) -> KafkaFacts:
    """`groups`: each consumer group and a topic that it reads."""
    config = {**kafka.client_config(), "socket.timeout.ms": 5_000}
    admin, failure = open_admin(kafka, **{"socket.timeout.ms": 5_000})
    metadata = check_topics(admin, kafka, [], failure)
    try:
        settings = _topic_settings(admin, [topic for topic in topics if topic in metadata.topics])
        known: dict[str, TopicFacts | None] = dict.fromkeys(topics)
        for topic, found in settings.items():
            partitions = metadata.topics[topic].partitions
            replicas = min((len(one.replicas) for one in partitions.values()), default=0)
            known[topic] = TopicFacts(len(partitions), replicas, found)
        lags = [
            _collect_lag(admin, config, group, topic, len(metadata.topics[topic].partitions), now_ms)
            for group, topic in groups
            if topic in settings
        ]
        letters: Mapping[str, int] = {}
        if kafka.dead_letters_topic in settings:
            partitions_of_letters = len(metadata.topics[kafka.dead_letters_topic].partitions)
            letters = _count_letters(config, kafka.dead_letters_topic, partitions_of_letters, now_ms)
        return KafkaFacts(len(metadata.brokers), known, lags, letters)
    except KafkaException as error:
        raise kafka_unavailable(kafka, error.args[0].str()) from error


def _topic_settings(admin: AdminClient, topics: list[str]) -> dict[str, dict[str, str]]:
    if not topics:
        return {}
    asked = admin.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics], request_timeout=_TIMEOUT_SECONDS
    )
    return {
        resource.name: {name: str(entry.value) for name, entry in future.result(2 * _TIMEOUT_SECONDS).items()}
        for resource, future in asked.items()
    }


def _consumer(config: Mapping[str, object], group: str) -> Consumer:
    """Reads without joining the group: partitions are assigned, nothing is committed."""
    own = {
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
    }
    return Consumer({**config, **own}, logger=SILENT)


def _collect_lag(
    admin: AdminClient, config: Mapping[str, object], group: str, topic: str, partitions: int, now_ms: int
) -> LagFacts:
    consumer = _consumer(config, group)
    try:
        return collect_lag(admin, consumer, group, topic, partitions, now_ms)
    finally:
        consumer.close()


def _count_letters(config: Mapping[str, object], topic: str, partitions: int, now_ms: int) -> Counter[str]:
    """Dead letters of the last day by reason, up to MANY_LETTERS."""
    found: Counter[str] = Counter()
    consumer = _consumer(config, "postwatch-doctor")
    try:
        since = [TopicPartition(topic, number, now_ms - _DAY_MS) for number in range(partitions)]
        starts = [place for place in consumer.offsets_for_times(since, timeout=_TIMEOUT_SECONDS) if place.offset >= 0]
        ends = {place.partition: consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)[1] for place in starts}
        left = {place.partition for place in starts}
        consumer.assign(starts)
        give_up_at = time.monotonic() + _TIMEOUT_SECONDS
        while left and found.total() < MANY_LETTERS and time.monotonic() < give_up_at:
            for message in consumer.consume(500, 0.2):
                partition, next_offset = int(message.partition() or 0), int(message.offset() or 0)
                if not message.error():
                    found[_reason(message)] += 1
                    next_offset += 1
                if next_offset >= ends.get(partition, 0):
                    left.discard(partition)  # the last offset may be the marker of a transaction
    finally:
        consumer.close()
    return found


def _reason(message: Message) -> str:
    value = dict(message.headers() or []).get("reason") or "unknown"
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def collect_clickhouse(settings: ClickHouseSettings) -> ClickHouseFacts:
    try:
        client = connect(settings, timeout_seconds=_TIMEOUT_SECONDS, database="")
        version, now_ms = client.query("SELECT version(), toUnixTimestamp64Milli(now64(3))").result_rows[0]
        tables = {
            str(row[0])
            for row in client.query(
                "SELECT name FROM system.tables WHERE database = {d:String}", parameters={"d": settings.database}
            ).result_rows
        }
        rights = {
            right: bool(client.command(f"CHECK GRANT {right} ON {settings.database}.{table}"))
            for right, table in (("SELECT", "*"), ("INSERT", "deliveries"), ("CREATE TABLE", "*"))
        }
        applied: dict[str, str] = {}
        heartbeats: dict[str, int] = {}
        without_files: list[str] = []
        without_shipper: list[str] = []
        if "migrations" in tables:
            ledger = f"SELECT name, checksum FROM {settings.database}.migrations FINAL"
            applied = {str(name): str(checksum) for name, checksum in client.query(ledger).result_rows}
        if "servers" in tables:
            has_retired = "0008_retired_servers.sql" in applied
            newest = (
                "SELECT server, toUnixTimestamp64Milli(max(sent_at)), argMax(files, sent_at), "
                "argMax(shipper_version, sent_at) "
                f"FROM {settings.database}.servers GROUP BY server"
                f"{' HAVING toUnixTimestamp64Milli(argMax(retired_at, sent_at)) = 0' if has_retired else ''}"
            )
            for server, at, files, version in client.query(newest).result_rows:
                if not version:  # rsyslog or the like: its lines tell that it lives, and there may be none for a while
                    without_shipper.append(str(server))
                    continue
                heartbeats[str(server)] = int(at)
                if not files:
                    without_files.append(str(server))
    except TRANSPORT_ERRORS as error:
        raise unavailable(settings, error) from error
    known = read_migrations()
    return ClickHouseFacts(
        version=str(version),
        now_ms=int(now_ms),
        missing_tables=[name for name in _TABLES if name not in tables],
        missing_migrations=[one.name for one in known if one.name not in applied],
        edited_migrations=[one.name for one in known if applied.get(one.name, one.checksum) != one.checksum],
        heartbeats=heartbeats,
        without_files=without_files,
        without_shipper=without_shipper,
        user=settings.user,
        rights=rights,
    )
