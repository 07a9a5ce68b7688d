"""Turns what librdkafka says, by itself and every few seconds, into health, lag and few log lines; asks for topics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import missing_topic, shorten, unavailable
from postwatch.producers.service.outages import OutageLog, Repeats

log = structlog.get_logger()

STATISTICS_MS = 5_000
_TIMEOUT_SECONDS = 5.0
_UNREACHABLE = {
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
}
"""Errors of a broker that is away; the client tries again by itself."""
_CREDENTIALS = {KafkaError._AUTHENTICATION, KafkaError._SSL}
_TOLD_BY_ERRORS = ("FAIL", "ERROR")
"""Facilities of librdkafka's log that repeat what its error callback is given."""


class ClientErrors:
    """What librdkafka reports of one client: the latest failure for people, and few lines in the log."""

    def __init__(self, outage: OutageLog, clock: Callable[[], float] = time.monotonic) -> None:
        self.latest = ""
        """Why a broker could not be reached, empty: nothing failed yet."""
        self._outage = outage
        self._clock = clock
        self._repeats = Repeats()

    def config(self) -> dict[str, Any]:
        """The properties of the client; this object is its `logger` too."""
        return {"error_cb": self.take}

    def take(self, error: KafkaError) -> None:
        """librdkafka's error_cb. Errors of connections are not logged here: see OutageLog."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.latest = self.latest or error.str()  # what is wrong with one broker tells more
            return
        self.latest = shorten(error.str())
        if error.code() not in _UNREACHABLE and self._repeats.is_due(self.latest, self._clock()):
            log.warning("kafka_error", reason=error.str(), fatal=error.fatal())

    def log(self, level: int, template: str, *values: Any) -> None:
        """librdkafka's own log."""
        facility = str(values[0]) if values else ""
        if facility in _TOLD_BY_ERRORS or self._outage.is_on:
            return
        text = template % values if values else template
        if self._repeats.is_due(facility or text, self._clock()):
            log.log(level, "kafka_client", said=text)


class OneLag(Protocol):
    def set(self, value: float) -> None: ...


class LagGauge(Protocol):
    """What the watch needs of prometheus_client's Gauge, by topic and partition."""

    def clear(self) -> None: ...
    def labels(self, *labels: str) -> OneLag: ...


class KafkaWatch:
    """The callbacks of one client: whether brokers answer, and how far a consumer lags."""

    def __init__(
        self,
        kafka: KafkaSettings,
        outage: OutageLog,
        lag: LagGauge | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._outage = outage
        self._lag = lag
        self._errors = ClientErrors(outage, clock)
        self._repeats = Repeats()
        self._clock = clock
        self._are_all_down = False
        self._broker_failed = False

    @property
    def logger(self) -> ClientErrors:
        return self._errors

    def config(self) -> dict[str, Any]:
        """The properties of the client; `logger` is its logger."""
        return {
            "error_cb": self.on_error,
            "stats_cb": self.on_statistics,
            "statistics.interval.ms": STATISTICS_MS,
        }

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's error_cb: all of these heal by themselves, or by a person.

        That all brokers are down is said too when idle connections are closed; so it counts once a failure follows.
        """
        self._errors.take(error)
        if error.code() in _CREDENTIALS:
            self._complain()
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._are_all_down = True
            if self._broker_failed:
                self._complain()
        elif error.code() in _UNREACHABLE:
            self._broker_failed = True
            if self._are_all_down:
                self._complain()

    def on_statistics(self, text: str) -> None:
        """librdkafka's stats_cb."""
        statistics = json.loads(text)
        if any(broker["state"] == "UP" for broker in statistics["brokers"].values()):
            if self._outage.is_on:
                self._outage.back()
            elif self._broker_failed and self._repeats.is_due(self._errors.latest, self._clock()):
                log.warning("kafka_broker_failed", reason=self._errors.latest)
            self._are_all_down = self._broker_failed = False
        elif self._outage.is_on:
            self._complain()
        if self._lag is not None:
            self._tell_lag(self._lag, statistics["topics"])

    def _complain(self) -> None:
        self._outage.away(str(unavailable(self._kafka, self._errors.latest)))

    def _tell_lag(self, lag: LagGauge, topics: dict[str, Any]) -> None:
        lag.clear()
        for topic, of_topic in topics.items():
            for partition, of_partition in of_topic["partitions"].items():
                if of_partition["consumer_lag_stored"] >= 0:
                    lag.labels(topic, partition).set(of_partition["consumer_lag_stored"])


class Failure(Protocol):
    """What is known of a client's connections."""

    @property
    def latest(self) -> str: ...


class Metadata(Protocol):
    """What the brokers say of themselves; the values are confluent_kafka's."""

    @property
    def topics(self) -> Mapping[str, Any]: ...
    @property
    def brokers(self) -> Mapping[int, Any]: ...


class MetadataSource(Protocol):
    """What the check below needs of a Consumer, a Producer or an AdminClient of confluent_kafka."""

    def list_topics(self, *, timeout: float) -> Metadata: ...
    def poll(self, timeout: float) -> Any: ...


def check_topics(
    source: MetadataSource, kafka: KafkaSettings, topics: Collection[str], failure: Failure | None = None
) -> Metadata:
    """What the brokers say of themselves. Raises UnavailableError, with the remedy, unless they have the topics."""
    try:
        metadata = source.list_topics(timeout=_TIMEOUT_SECONDS)
    except KafkaException as error:
        source.poll(0)  # the client's error callback knows more than the time-out
        known = failure.latest if failure else ""
        raise unavailable(kafka, known or error.args[0].str()) from error
    for topic in topics:
        if topic not in metadata.topics or not metadata.topics[topic].partitions:
            raise missing_topic(kafka, topic)
    return metadata
