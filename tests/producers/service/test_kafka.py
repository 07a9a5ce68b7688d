"""What librdkafka says becomes health and lag; topics that are missing are named."""

from __future__ import annotations

import json
import logging
from typing import ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka import KafkaWatch, check_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.outages import OutageLog
from prometheus_client import CollectorRegistry, Gauge
from structlog.testing import capture_logs

KAFKA = KafkaSettings(brokers="kafka:9092")


class Bench:
    def __init__(self) -> None:
        self.health = Health()
        self.registry = CollectorRegistry()
        self.now = 0.0
        lag = Gauge("lag_records", "Lag.", ["topic", "partition"], registry=self.registry)
        self.watch = KafkaWatch(KAFKA, OutageLog("kafka", self.health, lambda: self.now), lag, lambda: self.now)

    def lag(self, partition: str) -> float | None:
        return self.registry.get_sample_value("lag_records", {"topic": "mail.outcomes", "partition": partition})

    def fail(self, node: int = 1, code: int = KafkaError._TRANSPORT) -> None:
        reason = f"kafka{node}:9092/{node}: Connect to ipv4#192.0.2.{node}:9092 failed: Connection refused"
        self.watch.on_error(KafkaError(code, f"{reason} (after 1ms in state CONNECT, 7 identical error(s) suppressed)"))

    def all_down(self) -> None:
        self.watch.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))


def statistics(state: str = "UP", **lags: int) -> str:
    partitions = {name.removeprefix("p"): {"consumer_lag_stored": lag} for name, lag in lags.items()}
    return json.dumps({"brokers": {"1": {"state": state}}, "topics": {"mail.outcomes": {"partitions": partitions}}})


AWAY = (
    "Kafka does not answer at kafka:9092 (Connect to ipv4#192.0.2.1:9092 failed: Connection refused); "
    "start it, or set POSTWATCH_KAFKA_BROKERS"
)


@pytest.mark.parametrize("failure_comes_first", [True, False])
def test_brokers_that_are_away_are_complained_of_until_one_is_back(failure_comes_first: bool) -> None:
    bench = Bench()
    steps = [bench.fail, bench.all_down]
    for step in steps if failure_comes_first else reversed(steps):
        assert bench.health.complaints() == {}
        step()
    assert bench.health.complaints() == {"kafka": AWAY}
    bench.watch.on_statistics(statistics("DOWN"))
    assert "kafka" in bench.health.complaints()
    bench.watch.on_statistics(statistics("UP"))
    assert bench.health.complaints() == {}


def test_an_outage_is_three_kinds_of_lines_however_often_the_client_fails() -> None:
    bench = Bench()
    with capture_logs() as lines:
        for second in range(150):
            bench.now = float(second)
            for _ in range(20):
                bench.fail()
                bench.watch.logger.log(logging.ERROR, "%s [%s] %s", "FAIL", "client", "Connect failed")
                bench.watch.logger.log(logging.WARNING, "%s [%s] %s", "SESSTMOUT", "client", "timed out")
            bench.all_down()
            if second % 5 == 0:
                bench.watch.on_statistics(statistics("DOWN"))
        bench.watch.on_statistics(statistics("UP"))
    assert [line["event"] for line in lines if line["event"] != "kafka_client"] == [
        "kafka_away",
        "kafka_still_away",
        "kafka_still_away",
        "kafka_back",
    ]
    assert [line.get("away_seconds") for line in lines[-3:]] == [60, 120, 149]
    assert {line["reason"] for line in lines if "reason" in line} == {AWAY}
    assert len(lines) <= 5


def test_idle_connections_that_are_closed_are_no_outage() -> None:
    bench = Bench()
    with capture_logs() as lines:
        bench.all_down()
        bench.watch.on_statistics(statistics("UP"))
    assert (lines, bench.health.complaints()) == ([], {})


def test_a_broker_among_others_that_goes_away_is_a_line_a_minute_and_no_complaint() -> None:
    bench = Bench()
    with capture_logs() as lines:
        for second in range(0, 119, 5):
            bench.now = float(second)
            bench.fail(node=3)
            bench.watch.on_statistics(statistics("UP"))
    assert bench.health.complaints() == {}
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("kafka_broker_failed", "Connect to ipv4#192.0.2.3:9092 failed: Connection refused")
    ] * 2


def test_a_wrong_password_is_complained_of_with_the_remedy() -> None:
    bench = Bench()
    bench.watch.on_error(KafkaError(KafkaError._AUTHENTICATION, "SASL authentication error"))
    assert bench.health.complaints()["kafka"] == (
        "Kafka at kafka:9092 refuses the user '' (SASL authentication error); check POSTWATCH_KAFKA_SASL_USERNAME, "
        "POSTWATCH_KAFKA_SASL_PASSWORD and POSTWATCH_KAFKA_SASL_MECHANISM"
    )


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

    def poll(self, timeout: float) -> None:
        pass


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
