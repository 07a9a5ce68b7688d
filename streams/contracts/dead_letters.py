"""The contract of `mail.dead-letters`, and a thin sender: bytes that could not be used, and where they came from.

Whoever sends a letter awaits its delivery before acknowledging the record that it came from; so bad input is either
still to be read, or in this topic. Headers: `reason` (a constant word, good for counting), `detail` (what was said
against it), `v`, and the origin: server, file and offset of a line, or topic, partition and offset of a record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from postwatch.producers.record import Headers
from prometheus_client import Counter

LETTER_VERSION = 1
"""In the header `v`; letters without it are of version 1 too."""
MAX_VALUE_BYTES = 900_000
"""A longer value is cut and marked by a header `cut` with its whole length: brokers take about a million bytes."""

SENT = Counter("postwatch_dead_letter_records_total", "Dead letters acknowledged by Kafka.", ["reason"])
LINE, RECORD, JOINER_ERROR = "line", "record", "joiner-error"
"""Reasons of the join, beside PARSER_ERROR: the lines of a message on which the joiner failed have the last one."""
UNDECODABLE_RECORD, REFUSED_ROW = "undecodable-record", "refused-row"
"""Reasons of the sink."""
RETRIES = Counter("postwatch_dead_letter_retries_total", "Dead letters that were sent again after a failure.")


def count_from_zero(*reasons: str) -> None:
    """Prometheus takes the first value of a series that begins late for no increase: so each has a 0 before."""
    for reason in reasons:
        SENT.labels(reason)


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
    headers: Headers = [("v", b"%d" % LETTER_VERSION), ("reason", letter.reason.encode()), *letter.origin.encode()]
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
        self._waiting: list[DeadLetter] = []
        self._in_flight = 0
        self.last_error = ""
        """What Kafka said against the letters that are not acknowledged."""

    @property
    def unacknowledged(self) -> int:
        return self._in_flight + len(self._waiting)

    def send(self, letter: DeadLetter) -> None:
        """Take a letter, without waiting; `poll` delivers it."""
        try:
            self._producer.produce(
                self._topic,
                value=letter.value[:MAX_VALUE_BYTES],
                headers=[*dead_letter_headers(letter)],
                on_delivery=self._on_delivery(letter),
            )
        except (BufferError, KafkaException) as error:  # a full queue, or a topic known to be missing
            self._keep(letter, error)
        else:
            self._in_flight += 1

    def poll(self, timeout_seconds: float) -> None:
        """Send again what waits, and let deliveries be reported. The caller sets the pace."""
        waiting, self._waiting = self._waiting, []
        for letter in waiting:
            RETRIES.inc()
            self.send(letter)
        self._producer.poll(timeout_seconds)
        if not self.unacknowledged:
            self.last_error = ""

    def forget(self) -> None:
        """Send no letter again: the records that they came from will be read again, by whoever has them now."""
        self._waiting.clear()

    def _keep(self, letter: DeadLetter, error: object) -> None:
        self.last_error = str(error)
        self._waiting.append(letter)

    def _on_delivery(self, letter: DeadLetter) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, _message: Message) -> None:
            self._in_flight -= 1
            if error is None:
                SENT.labels(letter.reason).inc()
            else:
                self._keep(letter, error)

        return report
