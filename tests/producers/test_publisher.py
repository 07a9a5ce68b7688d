"""What is under way is bounded and its age known; without a broker nothing is dropped and the reason is told."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.publisher import MAX_IN_FLIGHT_BYTES, KafkaPublisher
from postwatch.producers.record import MAX_RECORD_BYTES
from postwatch.producers.service.errors import ClockError, UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.outages import OutageLog

from tests.waiting import wait_until


@pytest.fixture
def publisher() -> KafkaPublisher:
    nowhere = KafkaSettings(brokers=f"127.0.0.1:{choose_port()}")
    return KafkaPublisher(nowhere, "mx1.example", OutageLog("kafka", Health()))


def test_it_is_full_when_enough_is_under_way(publisher: KafkaPublisher) -> None:
    records = 0
    while publisher.has_room():
        publisher.publish(b"x" * MAX_RECORD_BYTES, [], lambda: pytest.fail("acknowledged"), now_ms=1_000 + records)
        records += 1
    assert records == MAX_IN_FLIGHT_BYTES // MAX_RECORD_BYTES
    assert publisher.waiting_ms(now_ms=6_000) == 5_000
    assert not publisher.flush(0.1)
    assert not publisher.has_room()


def test_records_with_a_short_line_each_are_bounded_by_their_number(publisher: KafkaPublisher) -> None:
    """Thousands of files have one line each: what a record takes besides its value is many times as much."""
    records = 0
    while publisher.has_room():
        publisher.publish(b"line\n", [], lambda: pytest.fail("acknowledged"), now_ms=1_000)
        records += 1
    assert 500 < records < 1_100


@pytest.mark.parametrize(
    "code", [KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD, KafkaError._INVALID_DIFFERENT_RECORD]
)
def test_a_refused_time_stamp_names_the_clock_and_the_remedy(publisher: KafkaPublisher, code: int) -> None:
    refusal = publisher._refusal(KafkaError(code), 1_795_831_200_000)
    assert isinstance(refusal, ClockError)
    assert "whose clock said 2026-11-28 02:00:00+00:00 (UTC)" in str(refusal)
    assert "`postwatch migrate --topics`" in str(refusal)


def test_a_record_that_is_too_large_is_no_matter_of_the_clock(publisher: KafkaPublisher) -> None:
    assert not isinstance(publisher._refusal(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), 0), ClockError)


def test_a_broker_that_does_not_answer_is_named(publisher: KafkaPublisher) -> None:
    with pytest.raises(UnavailableError, match=r"^Kafka does not answer at 127\.0\.0\.1:\d+ \(.*\); start it, or set"):
        publisher.check()
    assert publisher.waiting_ms(now_ms=1) == 0

    def reason() -> bool:
        publisher.poll(0.1)
        return "failed: Connection refused); start it" in str(publisher.unavailable())

    wait_until(reason, "the reason is known")
