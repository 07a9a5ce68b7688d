"""Turns what librdkafka says, by itself and every few seconds, into health and lag; and asks for topics."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka_settings import KafkaSettings
from prometheus_client import Gauge

log = structlog.get_logger()

STATISTICS_MS = 5_000
_TIMEOUT_SECONDS = 5.0


class KafkaWatch:
    """The callbacks of one consumer."""

    def __init__(self, kafka: KafkaSettings, health: Health, lag: Gauge) -> None:
        self._kafka = kafka
        self._health = health
        self._lag = lag

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's error_cb: all of these heal by themselves, or by a person."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._health.complain("kafka", str(unavailable(self._kafka, error)))
        elif error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._health.complain("kafka", f"{error.str()}; check POSTWATCH_KAFKA_SASL_* and _SSL_CA_FILE")
        log.warning("kafka_error", error=error.str())

    def on_statistics(self, text: str) -> None:
        """librdkafka's stats_cb."""
        statistics = json.loads(text)
        if any(broker["state"] == "UP" for broker in statistics["brokers"].values()):
            self._health.settle("kafka")
        self._lag.clear()
        for topic, of_topic in statistics["topics"].items():
            for partition, of_partition in of_topic["partitions"].items():
                if of_partition["consumer_lag_stored"] >= 0:
                    self._lag.labels(topic, partition).set(of_partition["consumer_lag_stored"])


class Metadata(Protocol):
    """What the brokers say of themselves; the values are confluent_kafka's."""

    @property
    def topics(self) -> Mapping[str, Any]: ...
    @property
    def brokers(self) -> Mapping[int, Any]: ...


class MetadataSource(Protocol):
    """What the check below needs of a Consumer, a Producer or an AdminClient of confluent_kafka."""

    def list_topics(self, *, timeout: float) -> Metadata: ...


def check_topics(source: MetadataSource, kafka: KafkaSettings, topics: Collection[str]) -> Metadata:
    """What the brokers say of themselves. Raises UnavailableError, with the remedy, unless they have the topics."""
    try:
        metadata = source.list_topics(timeout=_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise unavailable(kafka, error.args[0]) from error
    for topic in topics:
        if topic not in metadata.topics or not metadata.topics[topic].partitions:
            raise UnavailableError(
                f"the topic {topic} does not exist at {kafka.brokers}; create it with `postwatch migrate --topics`"
            )
    return metadata


def unavailable(kafka: KafkaSettings, error: KafkaError) -> UnavailableError:
    return UnavailableError(
        f"Kafka does not answer at {kafka.brokers} ({error.str()}); start it, or set POSTWATCH_KAFKA_BROKERS"
    )
