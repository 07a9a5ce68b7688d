"""What is under way is bounded and its age known; without a broker nothing is dropped and the reason is told."""

from __future__ import annotations

import pytest
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.publisher import MAX_IN_FLIGHT_BYTES, KafkaPublisher
from postwatch.producers.record import MAX_RECORD_BYTES
from postwatch.producers.service.errors import UnavailableError
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


def test_a_broker_that_does_not_answer_is_named(publisher: KafkaPublisher) -> None:
    with pytest.raises(UnavailableError, match=r"^Kafka does not answer at 127\.0\.0\.1:\d+ \(.*\); start it, or set"):
        publisher.check()
    assert publisher.waiting_ms(now_ms=1) == 0

    def reason() -> bool:
        publisher.poll(0.1)
        return "failed: Connection refused); start it" in str(publisher.unavailable())

    wait_until(reason, "the reason is known")
