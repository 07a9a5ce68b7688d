"""The dead letters that lie in Kafka, for a report: the newest of each partition since a time, and their origins.

Reads without a trace: partitions are assigned, no group is joined, no offset is committed. What one reading takes is
bounded in records, bytes and time, and whether that cut it short is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_admin import SILENT
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import concerns_reader, unavailable
from postwatch.query.errors import BusyError

MOST_RECORDS = 20_000
"""That one reading looks at, of all partitions together."""
MOST_LINE_BYTES = 4_000
"""Of a letter, that are shown; the topic has all of them."""
MOST_SECONDS = 10.0
MOST_READINGS = 2
"""At a time; each has buffers of its own."""
_ANSWER_SECONDS = 5.0
_MOVING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""A partition that is just made, or moves to another broker, answers soon."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One line, row or record that could not be used. Of a line the server and the file are known, else the record."""

    id: str
    """Its own place in the topic: partition and offset."""
    at_ms: int
    """When Kafka got it."""
    reason: str
    detail: str
    """What was said against it."""
    server: str
    file: str
    byte_offset: int
    """-1: not known."""
    topic: str
    partition: int
    """-1: it was a line."""
    kafka_offset: int
    line: str
    """Bytes that are no UTF-8 as \\xNN."""
    size_bytes: int
    """Of all of it."""


@dataclass(frozen=True, slots=True)
class LettersFound:
    letters: tuple[Letter, ...]
    """Newest first."""
    is_complete: bool = True
    """False: older ones, or some of a partition that did not answer in time, were not looked at."""


ReadLetters = Callable[[int], LettersFound]
"""The letters since a time in ms. Raises UnavailableError."""


def no_letters(_since_ms: int) -> LettersFound:
    """Of a service without Kafka."""
    raise UnavailableError("dead letters are in Kafka, which this service was not given")


Places = tuple[list[TopicPartition], dict[int, int], bool]
"""Where to start in each partition that has letters, its end, and whether that is all of them."""


class KafkaLetters:
    """Reads the letters from the topic."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._turns = threading.BoundedSemaphore(MOST_READINGS)

    def __call__(self, since_ms: int) -> LettersFound:
        if not self._turns.acquire(timeout=MOST_SECONDS):
            raise BusyError(f"{MOST_READINGS} reports of dead letters are being made already; try again soon")
        config = {
            **self._kafka.client_config(),
            "group.id": "postwatch-letters",  # librdkafka wants a name; without subscribing no group comes of it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 16_384,
        }
        consumer = Consumer(config, logger=SILENT)
        try:
            return self._read(consumer, self._places(consumer, since_ms))
        except KafkaException as error:
            raise unavailable(self._kafka, error.args[0].str()) from error
        finally:
            consumer.close()
            self._turns.release()

    def _read(self, consumer: Consumer, places: Places) -> LettersFound:
        starts, ends, is_complete = places
        left = {place.partition for place in starts}
        consumer.assign(starts)
        found: list[Letter] = []
        give_up_at = monotonic() + MOST_SECONDS
        while left and monotonic() < give_up_at:
            for message in consumer.consume(500, 0.2):
                partition, next_offset = int(message.partition() or 0), int(message.offset() or 0)
                error = message.error()
                if error is None:
                    found.append(letter_of(message))
                    next_offset += 1
                elif concerns_reader(error):
                    raise KafkaException(error)
                elif error.code() != KafkaError._PARTITION_EOF:
                    continue
                if next_offset >= ends.get(partition, 0):
                    left.discard(partition)  # the last offset may be the marker of a transaction
        found.sort(key=lambda one: (one.at_ms, one.id), reverse=True)
        return LettersFound(tuple(found), is_complete and not left)

    def _places(self, consumer: Consumer, since_ms: int) -> Places:
        give_up_at = monotonic() + _ANSWER_SECONDS
        while True:
            try:
                return self._find_places(consumer, since_ms)
            except KafkaException as error:
                if error.args[0].code() not in _MOVING or monotonic() > give_up_at:
                    raise
                sleep(0.2)

    def _find_places(self, consumer: Consumer, since_ms: int) -> Places:
        topic = self._kafka.dead_letters_topic
        known = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
        if known.error is not None or not known.partitions:
            return [], {}, True  # it is made when the first letter is sent
        asked = [TopicPartition(topic, number, max(since_ms, 0)) for number in known.partitions]
        starts = [one for one in consumer.offsets_for_times(asked, timeout=_ANSWER_SECONDS) if one.offset >= 0]
        most = MOST_RECORDS // max(len(starts), 1)
        ends: dict[int, int] = {}
        is_complete = True
        for place in starts:
            end = consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)[1]
            ends[place.partition] = end
            if end - place.offset > most:
                place.offset = end - most
                is_complete = False
        return [place for place in starts if place.offset < ends[place.partition]], ends, is_complete


def letter_of(message: Message) -> Letter:
    """A record of the topic, of any version, as a letter."""
    given: Any = message.headers() or []
    headers = {str(name): _words(value) for name, value in given}
    value = message.value() or b""
    is_line = "server" in headers
    whole = headers.get("cut", "")
    return Letter(
        id=f"{message.partition()}-{message.offset()}",
        at_ms=int(message.timestamp()[1]),
        reason=headers.get("reason", "") or "unknown",
        detail=headers.get("detail", ""),
        server=headers.get("server", ""),
        file=headers.get("file", ""),
        byte_offset=_number(headers.get("offset", "")) if is_line else -1,
        topic=headers.get("topic", ""),
        partition=_number(headers.get("partition", "")),
        kafka_offset=-1 if is_line else _number(headers.get("offset", "")),
        line=value[:MOST_LINE_BYTES].decode("utf-8", "backslashreplace").rstrip("\r\n"),
        size_bytes=max(_number(whole), len(value)),
    )


def _words(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _number(word: str) -> int:
    return int(word) if word.removeprefix("-").isdecimal() and len(word) < 20 else -1
