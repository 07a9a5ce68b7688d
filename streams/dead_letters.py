"""The contract of `mail.dead-letters`, and a thin sender: bytes that could not be used, and where they came from.

Whoever sends a letter awaits its delivery before acknowledging the record that it came from; so bad input is either
still to be read, or in this topic. Headers: `reason` (a constant word, good for counting), `detail` (what was said
against it), and the origin: server, file and offset of a line, or topic, partition and offset of a record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from postwatch.producers.record import Headers
from prometheus_client import Counter

log = structlog.get_logger()

MAX_VALUE_BYTES = 900_000
"""A longer value is cut and marked by a header `cut` with its whole length: brokers take about a million bytes."""

SENT = Counter("postwatch_dead_letter_records_total", "Dead letters acknowledged by Kafka.", ["reason"])
RESENT = Counter("postwatch_dead_letter_retries_total", "Dead letters that Kafka did not take at first.")


@dataclass(frozen=True, slots=True)
class LineOrigin:
    """Where a line stood."""

    server: str
    file: str
    byte_offset: int
    """-1 where the record did not tell."""

    def encode(self) -> Headers:
        return [("server", self.server.encode()), ("file", self.file.encode()), ("offset", b"%d" % self.byte_offset)]


@dataclass(frozen=True, slots=True)
class RecordOrigin:
    """Which record of Kafka it was."""

    topic: str
    partition: int
    kafka_offset: int

    def encode(self) -> Headers:
        return [
            ("topic", self.topic.encode()),
            ("partition", b"%d" % self.partition),
            ("offset", b"%d" % self.kafka_offset),
        ]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One line, row or record that can't be used."""

    value: bytes
    reason: str
    origin: LineOrigin | RecordOrigin
    detail: str = ""


def dead_letter_headers(letter: DeadLetter) -> Headers:
    """The headers of a letter's record."""
    headers: Headers = [("reason", letter.reason.encode()), *letter.origin.encode()]
    if letter.detail:
        headers.append(("detail", letter.detail.encode("utf-8", "replace")))
    if len(letter.value) > MAX_VALUE_BYTES:
        headers.append(("cut", b"%d" % len(letter.value)))
    return headers


class DeadLetterSender:
    """Sends letters and knows how many of them no broker has acknowledged yet; what fails is sent again, for ever."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._failed: list[DeadLetter] = []
        self._in_flight = 0

    @property
    def unacknowledged(self) -> int:
        return self._in_flight + len(self._failed)

    def send(self, letter: DeadLetter) -> None:
        """Queue a letter; `poll` delivers it. Blocks while the producer's queue is full."""
        while not self._queue(letter):
            self._producer.poll(0.1)

    def _queue(self, letter: DeadLetter) -> bool:
        try:
            self._producer.produce(
                self._topic,
                value=letter.value[:MAX_VALUE_BYTES],
                headers=[*dead_letter_headers(letter)],
                on_delivery=self._on_delivery(letter),
            )
        except BufferError:
            return False
        except KafkaException as error:  # a topic known to be missing fails here, not in the report
            self._fail(letter, error)
            return True
        self._in_flight += 1
        return True

    def _fail(self, letter: DeadLetter, error: object) -> None:
        log.error("dead_letter_not_delivered", reason=letter.reason, topic=self._topic, error=str(error))
        self._failed.append(letter)

    def poll(self, timeout_seconds: float) -> None:
        """Send again what has failed, and let deliveries be reported. The caller sets the pace."""
        failed, self._failed = self._failed, []
        for letter in failed:
            RESENT.inc()
            self.send(letter)
        self._producer.poll(timeout_seconds)

    def _on_delivery(self, letter: DeadLetter) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, _message: Message) -> None:
            self._in_flight -= 1
            if error is None:
                SENT.labels(letter.reason).inc()
            else:
                self._fail(letter, error)

        return report
