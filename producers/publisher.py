"""Sends records to Kafka in order, without losing one: idempotent, acknowledged by all replicas, retried for ever.

Bytes in flight are bounded: while there is no room, the caller stops reading. A record that Kafka refuses for good
raises PublishError from `poll`, for going on would leave a gap. No clock: the caller tells the time.
"""

from __future__ import annotations

import contextlib
import datetime
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from postwatch.producers import ship_metrics as metrics
from postwatch.producers.record import Headers
from postwatch.producers.service.errors import ClockError, PublishError, UnavailableError
from postwatch.producers.service.kafka import ClientErrors
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import missing_topic, unavailable, with_remedy
from postwatch.producers.service.outages import OutageLog

MAX_IN_FLIGHT_BYTES = 2 * 1024 * 1024
_RECORD_BYTES = 2048
"""What a record in flight takes besides its value, headers and callbacks above all: thousands of files may have a line
each."""
_TIME_STAMPS = (KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD, KafkaError._INVALID_DIFFERENT_RECORD)
"""Of a batch with several records the client names the first as the second. Ours have a key: no other rule applies."""
_CHECK_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
_CAUSE_POLLS, _CAUSE_SECONDS = 20, 0.1
_QUEUE_KBYTES = 4 * MAX_IN_FLIGHT_BYTES // 1024


class Publisher(Protocol):
    """What the shipper needs of Kafka."""

    def has_room(self) -> bool: ...

    def publish(self, value: bytes, headers: Headers, acknowledged: Callable[[], None], now_ms: int) -> None:
        """Take a record, whatever the room; `acknowledged` is called from within `poll` or `flush`."""

    def poll(self, seconds: float) -> None:
        """Wait for acknowledgements at most so long. Raises PublishError."""

    def flush(self, seconds: float) -> bool:
        """Wait until everything is acknowledged: whether it was, in time. Raises PublishError."""

    def waiting_ms(self, now_ms: int) -> int:
        """For how long the oldest record has waited for its acknowledgement."""

    def unavailable(self) -> UnavailableError:
        """Why nothing is acknowledged, as far as it is known, with the remedy."""


class KafkaPublisher:
    """The Publisher of `mail.raw`: one key, hence one partition, hence one order."""

    def __init__(self, settings: KafkaSettings, server: str, outage: OutageLog) -> None:
        self._settings = settings
        self._topic = settings.raw_topic
        self._key = server.encode()
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0
        self._refused: PublishError | None = None
        self.has_acknowledged = False
        self._errors = ClientErrors(outage)
        self._producer = Producer(
            {
                **settings.producer_config(f"postwatch-ship-{server}"),
                "partitioner": "murmur2_random",  # as Java's clients have it
                "queue.buffering.max.kbytes": _QUEUE_KBYTES,
                "error_cb": self._on_error,
            },
            logger=self._errors,
        )

    def check(self) -> None:
        """Raises UnavailableError unless a broker answers and has the topic."""
        try:
            metadata = self._producer.list_topics(self._topic, timeout=_CHECK_SECONDS)
        except KafkaException as error:
            self._producer.poll(0)  # its error callback knows more than the time-out
            raise unavailable(self._settings, self._errors.latest or error.args[0].str()) from error
        if metadata.topics[self._topic].error is not None:
            raise missing_topic(self._settings, self._topic)

    def has_room(self) -> bool:
        return self._in_flight_bytes + len(self._in_flight) * _RECORD_BYTES < MAX_IN_FLIGHT_BYTES

    def publish(self, value: bytes, headers: Headers, acknowledged: Callable[[], None], now_ms: int) -> None:
        size = len(value)

        def delivered(error: KafkaError | None, _message: Message) -> None:
            self._in_flight_bytes -= size
            if error is None:
                self._in_flight.popleft()
                self._errors.latest = ""
                self.has_acknowledged = True
                acknowledged()
            elif self._refused is None:
                self._refused = self._refusal(error, now_ms)

        with self._fatal_errors_refuse():
            self._producer.produce(self._topic, value, self._key, on_delivery=delivered, headers=[*headers])
        self._in_flight.append((now_ms, size))
        self._in_flight_bytes += size

    def poll(self, seconds: float) -> None:
        with self._fatal_errors_refuse():
            self._producer.poll(seconds)
        metrics.IN_FLIGHT_BYTES.set(self._in_flight_bytes)
        self._check()

    def flush(self, seconds: float) -> bool:
        with self._fatal_errors_refuse():
            remaining = self._producer.flush(seconds)
        self._check()
        return not remaining

    def waiting_ms(self, now_ms: int) -> int:
        return now_ms - self._in_flight[0][0] if self._in_flight else 0

    def unavailable(self) -> UnavailableError:
        return unavailable(self._settings, self._errors.latest)

    def close(self) -> None:
        """Forget what is not acknowledged. It is read again from the files."""
        self._producer.purge()
        self._producer.flush(_CLOSE_SECONDS)

    @contextlib.contextmanager
    def _fatal_errors_refuse(self) -> Iterator[None]:
        """A client that has failed for good raises from whatever is called next."""
        try:
            yield
        except KafkaException as error:
            cause = self._cause_of(error.args[0])
            raise self._refused or self._refusal(cause, 0) from error

    def _cause_of(self, error: KafkaError) -> KafkaError:
        """What has failed for good: `produce` tells only that something did, and the cause comes a moment later."""
        for _ in range(_CAUSE_POLLS):
            if self._refused is not None or error.code() != KafkaError._FATAL:
                break
            try:
                self._producer.poll(_CAUSE_SECONDS)
            except KafkaException as told:
                error = told.args[0]
        return error

    def _check(self) -> None:
        if self._refused is not None:
            raise self._refused

    def _refusal(self, error: KafkaError, now_ms: int) -> PublishError:
        if error.code() in _TIME_STAMPS:
            clock = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC).isoformat(" ", "seconds")
            return ClockError(
                f"Kafka refuses the time stamps of this server, whose clock said {clock} (UTC), for {self._topic} "
                f"({error.str()}). "
                "Nothing is lost: set the clock of this server or of the broker right, or run "
                "`postwatch migrate --topics`, after which the topic takes the broker's time"
            )
        return PublishError(
            f"Kafka refused a record for {self._topic}: {with_remedy(error)}. Nothing is lost: correct the cause and "
            "start the shipper again; it resumes at its checkpoint"
        )

    def _on_error(self, error: KafkaError) -> None:
        metrics.KAFKA_ERRORS.inc()
        self._errors.take(error)
        if error.fatal() and self._refused is None:
            self._refused = self._refusal(error, 0)
