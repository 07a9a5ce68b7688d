"""Dead letters: headers, cutting, and that no failure of Kafka loses one."""

from __future__ import annotations

from dataclasses import replace

from confluent_kafka import KafkaError, KafkaException
from postwatch.streams.contracts.dead_letters import (
    MAX_VALUE_BYTES,
    DeadLetter,
    DeadLetterSender,
    LineOrigin,
    RecordOrigin,
    dead_letter_headers,
)

from tests.streams.fakes import FakeProducer

LINE = DeadLetter(b"no sense\xff\n", "unreadable", LineOrigin("mail1", "abc", 4096))


def test_headers_of_a_line() -> None:
    assert dict(dead_letter_headers(LINE)) == {
        "v": b"1",
        "reason": b"unreadable",
        "server": b"mail1",
        "file": b"abc",
        "offset": b"4096",
    }


def test_headers_of_a_record_with_what_was_said_against_it() -> None:
    letter = DeadLetter(b"x", "refused-row", RecordOrigin("mail.outcomes", 3, 17), detail="constraint \udcff violated")
    assert dict(dead_letter_headers(letter)) == {
        "v": b"1",
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
    sender.poll(0)
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
    assert [value for _, value, _ in producer.sent] == [LINE.value]


def test_a_letter_that_the_producer_refuses_is_sent_again() -> None:
    producer = FakeProducer()
    producer.refusals = [KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))]
    sender = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    sender.send(LINE)
    assert sender.unacknowledged == 1
    sender.poll(0)
    assert sender.unacknowledged == 0
    assert [value for _, value, _ in producer.sent] == [LINE.value]


def test_a_full_queue_makes_letters_wait_and_loses_none() -> None:
    producer = FakeProducer(room=2)
    sender = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    for _ in range(5):
        sender.send(LINE)
    assert sender.unacknowledged == 5
    assert "Queue full" in sender.last_error
    for left in (3, 1, 0):
        sender.poll(0)
        assert sender.unacknowledged == left
    assert len(producer.sent) == 5


def test_forgotten_letters_are_not_sent_again() -> None:
    producer = FakeProducer(room=1)
    sender = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    sender.send(LINE)
    sender.send(LINE)
    sender.forget()
    sender.poll(0)
    assert sender.unacknowledged == 0
    assert len(producer.sent) == 1
