"""The bounds that the app sets for Faust."""

from __future__ import annotations

import asyncio
from pathlib import Path

from faust.types import TP
from postwatch.producers.metrics import Health
from postwatch.producers.settings import KafkaSettings
from postwatch.streams.app import create_app
from postwatch.streams.settings import JoinSettings


def test_few_fetches_wait_for_the_join_and_then_whoever_reads_on(tmp_path: Path) -> None:
    async def fill() -> None:
        app, _ = create_app(JoinSettings(data_dir=str(tmp_path)), KafkaSettings(), 4, Health())
        [agent] = app.agents.values()
        app.flow_control.resume()
        waiting = agent.channel.clone(is_iterator=True).queue
        for number in range(8):
            waiting.put_nowait(number)
        assert waiting.full()
        consumer, place = app.consumer, TP("mail.raw", 0)
        consumer.on_buffer_full(place)
        assert place not in consumer._buffered_partitions  # Faust would read no more of it for a second

    asyncio.run(fill())
