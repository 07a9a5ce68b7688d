"""What the join sends to a real broker is counted once it is there."""

from __future__ import annotations

import asyncio

import pytest
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka import KafkaWatch
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.outages import OutageLog
from postwatch.streams.contracts.dead_letters import JOINER_ERROR, LINE, RECORD, DeadLetter, LineOrigin
from postwatch.streams.parsers.lines import PARSER_ERROR
from postwatch.streams.partition.failures import JOINER, PARSER, FailureLog
from postwatch.streams.partition.outlet import KafkaOutlet
from prometheus_client import REGISTRY


def _count(reason: str) -> float | None:
    return REGISTRY.get_sample_value("postwatch_dead_letter_records_total", {"reason": reason})


@pytest.mark.stack
def test_dead_letters_are_counted_from_zero(topics: KafkaSettings) -> None:
    create_topics(topics, 1)

    async def send() -> tuple[list[float | None], float | None]:
        loop = asyncio.get_running_loop()
        failures: list[str] = []
        outlet = KafkaOutlet(topics, loop, failures.append, KafkaWatch(topics, OutageLog("kafka", Health())))
        before = [_count(reason) for reason in (LINE, RECORD, PARSER_ERROR, JOINER_ERROR)]
        sent = asyncio.Event()
        outlet.send_dead_letter(DeadLetter(b"x", LINE, LineOrigin("web1", "", 0)), sent.set)
        await asyncio.wait_for(sent.wait(), 60)
        assert not failures
        assert outlet.close(10) == 0
        return before, _count(LINE)

    before, after = asyncio.run(send())
    assert None not in before
    assert after == (before[0] or 0) + 1


def test_failures_are_counted_from_zero() -> None:
    assert dict(FailureLog().counts) == {PARSER: 0, JOINER: 0}
