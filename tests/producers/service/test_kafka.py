"""What librdkafka says becomes health and lag; topics that are missing are named."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka import KafkaWatch, check_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from prometheus_client import CollectorRegistry, Gauge

KAFKA = KafkaSettings(brokers="kafka:9092")


class Bench:
    def __init__(self) -> None:
        self.health = Health()
        self.registry = CollectorRegistry()
        lag = Gauge("lag_records", "Lag.", ["topic", "partition"], registry=self.registry)
        self.watch = KafkaWatch(KAFKA, self.health, lag)

    def lag(self, partition: str) -> float | None:
        return self.registry.get_sample_value("lag_records", {"topic": "mail.outcomes", "partition": partition})


def statistics(state: str = "UP", **lags: int) -> str:
    partitions = {name.removeprefix("p"): {"consumer_lag_stored": lag} for name, lag in lags.items()}
    return json.dumps({"brokers": {"1": {"state": state}}, "topics": {"mail.outcomes": {"partitions": partitions}}})


def test_brokers_that_are_away_are_complained_of_until_one_is_back() -> None:
    bench = Bench()
    bench.watch.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert "Kafka does not answer at kafka:9092" in bench.health.complaints()["kafka"]
    bench.watch.on_statistics(statistics("DOWN"))
    assert "kafka" in bench.health.complaints()
    bench.watch.on_statistics(statistics("UP"))
    assert bench.health.complaints() == {}


def test_a_wrong_password_is_complained_of_with_the_remedy() -> None:
    bench = Bench()
    bench.watch.on_error(KafkaError(KafkaError._AUTHENTICATION))
    assert bench.health.complaints()["kafka"].endswith("check POSTWATCH_KAFKA_SASL_* and _SSL_CA_FILE")


def test_a_broker_among_others_that_goes_away_is_no_complaint() -> None:
    bench = Bench()
    bench.watch.on_error(KafkaError(KafkaError._TRANSPORT))
    assert bench.health.complaints() == {}


def test_lag_is_that_of_the_partitions_that_are_ours_now() -> None:
    bench = Bench()
    bench.watch.on_statistics(statistics(p0=5, p1=7))
    assert (bench.lag("0"), bench.lag("1")) == (5, 7)
    bench.watch.on_statistics(statistics(p0=3, p1=-1))
    assert (bench.lag("0"), bench.lag("1")) == (3, None)


class FakeTopic:
    partitions = (0, 1)


class FakeTopicInCreation:
    partitions = ()


class FakeMetadata:
    topics: ClassVar = {"mail.outcomes": FakeTopic, "mail.heartbeats": FakeTopicInCreation}


class FakeSource:
    def __init__(self, error: KafkaError | None = None) -> None:
        self._error = error

    def list_topics(self, *, timeout: float) -> FakeMetadata:
        if self._error:
            raise KafkaException(self._error)
        return FakeMetadata()


def test_topics_that_are_there_are_no_trouble() -> None:
    check_topics(FakeSource(), KAFKA, ["mail.outcomes"])  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["mail.raw", "mail.heartbeats"])
def test_a_missing_topic_is_named_with_the_remedy(missing: str) -> None:
    with pytest.raises(UnavailableError, match=rf"{missing} does not exist at kafka:9092; create it with `postwatch"):
        check_topics(FakeSource(), KAFKA, ["mail.outcomes", missing])  # type: ignore[arg-type]


def test_no_broker_is_named_with_the_remedy() -> None:
    source = FakeSource(KafkaError(KafkaError._TRANSPORT))
    with pytest.raises(UnavailableError, match=r"at kafka:9092 .*; start it, or set POSTWATCH_KAFKA_BROKERS"):
        check_topics(source, KAFKA, [])  # type: ignore[arg-type]
