"""Dead letters: headers, cutting, and that no failure of Kafka loses one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from postwatch.streams.dead_letters import (
    MAX_VALUE_BYTES,
    DeadLetter,
    DeadLetterSender,
    LineOrigin,
    RecordOrigin,
    dead_letter_headers,
)

LINE = DeadLetter(b"no sense\xff\n", "unreadable", LineOrigin("mail1", "abc", 4096))


class FakeProducer:
    """Keeps what was produced; reports each delivery at the next poll, with the next error of `errors` if any."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.sent: list[tuple[str, bytes, dict[str, bytes]]] = []
        self.errors: list[KafkaError] = []
        self.refusals: list[KafkaException] = []
        self._reports: list[Callable[[KafkaError | None, Any], None]] = []

    def produce(self, topic: str, value: bytes, headers: Any, on_delivery: Any) -> None:
        if len(self._reports) >= self.room:
            raise BufferError("Local: Queue full")
        if self.refusals:
            raise self.refusals.pop()
        self.sent.append((topic, value, dict(headers)))
        self._reports.append(on_delivery)

    def poll(self, timeout: float) -> int:
        reports, self._reports = self._reports, []
        for report in reports:
            report(self.errors.pop(0) if self.errors else None, None)
        return len(reports)


def test_headers_of_a_line() -> None:
    assert dict(dead_letter_headers(LINE)) == {
        "reason": b"unreadable",
        "server": b"mail1",
        "file": b"abc",
        "offset": b"4096",
    }


def test_headers_of_a_record_with_what_was_said_against_it() -> None:
    letter = DeadLetter(b"x", "refused-row", RecordOrigin("mail.outcomes", 3, 17), detail="constraint \udcff violated")
    assert dict(dead_letter_headers(letter)) == {
        "reason": b"refused-row",
        "topic": b"mail.outcomes",
        "partition": b"3",
        "offset": b"17",
        "detail": b"constraint ? violated",
    }


def test_a_value_larger_than_brokers_take_is_cut_and_says_so() -> None:
    producer = FakeProducer()
    sender = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    sender.send(replace(LINE, value=b"x" * (MAX_VALUE_BYTES + 1)))
    [(topic, value, headers)] = producer.sent
    assert topic == "dead"
    assert value == b"x" * MAX_VALUE_BYTES
    assert headers["cut"] == b"%d" % (MAX_VALUE_BYTES + 1)


def test_a_letter_is_unacknowledged_until_its_delivery_is_reported() -> None:
    sender = DeadLetterSender(FakeProducer(), "dead")  # type: ignore[arg-type]
    sender.send(LINE)
    assert sender.unacknowledged == 1
    sender.poll(0)
    assert sender.unacknowledged == 0


def test_a_letter_that_fails_is_sent_again() -> None:
    producer = FakeProducer()
    producer.errors = [KafkaError(KafkaError._MSG_TIMED_OUT)]
    sender = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    sender.send(LINE)
    sender.poll(0)
    assert sender.unacknowledged == 1
    sender.poll(0)
    assert sender.unacknowledged == 0
    assert [value for _, value, _ in producer.sent] == [LINE.value] * 2


def test_a_letter_that_the_producer_refuses_is_sent_again() -> None:
    producer = FakeProducer()
    producer.refusals = [KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))]
    sender = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    sender.send(LINE)
    assert sender.unacknowledged == 1
    sender.poll(0)
    assert sender.unacknowledged == 0
    assert [value for _, value, _ in producer.sent] == [LINE.value]


def test_a_full_queue_is_waited_for() -> None:
    producer = FakeProducer(room=2)
    sender = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    for _ in range(5):
        sender.send(LINE)
    sender.poll(0)
    assert sender.unacknowledged == 0
    assert len(producer.sent) == 5
