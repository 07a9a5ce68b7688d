"""What the app changes in Faust: bounds, and on which thread its consumer seeks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.protocol.fetch import FetchRequest
from faust.types import TP
from mode.threads import QueueServiceThread
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.systemd import Systemd
from postwatch.streams.faust_glue.app import create_app
from postwatch.streams.faust_glue.transport import FETCH_WAIT_MS, METADATA_PAUSE_SECONDS, pace
from postwatch.streams.faust_glue.worker import JoinWorker
from postwatch.streams.settings import JoinSettings

from tests.streams.sink.sink_process import send
from tests.waiting import PATIENCE


def make_app(folder: Path, kafka: KafkaSettings | None = None) -> tuple[Any, JoinWorker]:
    health = Health()
    return create_app(
        JoinSettings(data_dir=str(folder)),
        kafka or KafkaSettings(),
        4,
        health,
        OutageLog("kafka", health),
        Systemd(health),
    )


def test_few_fetches_wait_for_the_join_and_then_whoever_reads_on(tmp_path: Path) -> None:
    async def fill() -> None:
        app, _ = make_app(tmp_path)
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


class ConsumerThread(QueueServiceThread):
    """A thread as Faust's consumer has one, and aiokafka's consumer on it."""

    def __init__(self, is_rebalancing: bool = False) -> None:
        super().__init__()
        self.is_rebalancing = is_rebalancing
        self.sought: list[tuple[TP, int, threading.Thread]] = []

    def _ensure_consumer(self) -> ConsumerThread:
        return self

    def seek(self, place: TP, offset: int) -> None:
        self.sought.append((place, offset, threading.current_thread()))

    async def seek_wait(self, places: dict[TP, int]) -> None:
        for place, offset in places.items():
            self.seek(place, offset)

    async def commit(self, offsets: dict[TP, int]) -> bool:
        return not self.is_rebalancing


def test_the_consumer_seeks_on_the_thread_that_reads(tmp_path: Path) -> None:
    """Elsewhere a seek takes away what that thread is about to hand over, and the worker crashes."""

    async def seek() -> None:
        app, _ = make_app(tmp_path)
        app.consumer._thread = thread = ConsumerThread()
        await thread.start()
        await app.consumer.seek(TP("mail.raw", 0), 3)
        [(place, offset, where)] = thread.sought
        await thread.stop()
        assert (place, offset) == (TP("mail.raw", 0), 3)
        assert where is not threading.current_thread()

    asyncio.run(seek())


def test_a_changelog_whose_offset_is_odd_is_read_from_its_beginning(tmp_path: Path) -> None:
    """aiokafka refuses such an offset, and the worker would end. Where it comes from: test_recovery.py."""

    async def sought() -> list[int]:
        app, _ = make_app(tmp_path)
        app.consumer._thread = thread = ConsumerThread()
        await app.consumer.seek_wait({TP("changelog", number): offset for number, offset in enumerate((5, -2, None))})
        return [offset for _, offset, _ in thread.sought]

    assert asyncio.run(sought()) == [5, 0, 0]


@pytest.mark.parametrize(("is_rebalancing", "committed"), [(False, 7), (True, 3)])
def test_a_commit_that_the_group_refused_is_none(tmp_path: Path, is_rebalancing: bool, committed: int) -> None:
    """What is behind it is read again, so nothing of it may be deleted from the table. Faust's own account has 7."""

    async def commit() -> None:
        app, _ = make_app(tmp_path)
        consumer, ours, revoked = app.consumer, TP("mail.raw", 0), TP("mail.raw", 1)
        consumer._thread = ConsumerThread(is_rebalancing)
        consumer.committed = {ours: 3}
        await consumer._commit({ours: 7, revoked: 9})
        assert consumer.committed == {ours: committed}

    asyncio.run(commit())


def test_a_join_whose_kafka_goes_away_while_it_starts_ends_as_one_that_could_not_go_on(tmp_path: Path) -> None:
    """Its supervisor starts it again. Here Kafka is gone as soon as the changelog is seen to be there."""
    join = (
        "import sys; from postwatch.streams.commands import join; from postwatch.deploy import cli; "
        "join._prepare = lambda *_: 3; sys.exit(cli.main(['join']))"
    )
    settings = {
        "POSTWATCH_KAFKA_BROKERS": f"127.0.0.1:{choose_port()}",
        "POSTWATCH_JOIN_DATA_DIR": str(tmp_path),
        "POSTWATCH_JOIN_METRICS_ADDRESS": "",
    }
    ended = subprocess.run(
        [sys.executable, "-c", join], env={**os.environ, **settings}, capture_output=True, timeout=60, check=False
    )
    assert b"Unable to bootstrap" in ended.stdout + ended.stderr
    assert ended.returncode == 70


def test_metadata_that_can_not_be_updated_are_asked_for_a_few_times_a_second() -> None:
    """As long as Kafka is away: aiokafka's sender pauses nowhere else."""
    asked = 0

    async def fail() -> bool:
        nonlocal asked
        asked += 1
        return False

    async def send() -> None:
        update, until = pace(fail), time.monotonic() + 3 * METADATA_PAUSE_SECONDS
        while time.monotonic() < until:
            done, _ = await asyncio.wait({update()}, return_when=asyncio.FIRST_COMPLETED)
            assert [each.result() for each in done] == [False]

    asyncio.run(send())
    assert 1 <= asked <= 4


def test_an_update_that_asks_for_the_next_one_itself_comes_at_that_pace_too() -> None:
    """As aiokafka's does where it can't connect: nobody waits for those."""
    asked = 0

    async def ask() -> None:
        async def fail() -> bool:
            nonlocal asked
            asked += 1
            update()
            return False

        update = pace(fail)
        await update()
        await asyncio.sleep(3 * METADATA_PAUSE_SECONDS)

    asyncio.run(ask())
    assert 2 <= asked <= 5


def test_the_app_s_consumer_asks_for_metadata_at_that_pace(tmp_path: Path) -> None:
    async def ask() -> None:
        app, _ = make_app(tmp_path)
        consumer = app.consumer._new_consumer_thread()._create_worker_consumer(app.consumer.transport)
        client = consumer._client
        client._md_update_fut = asyncio.get_running_loop().create_future()
        client._md_update_fut.set_result(False)
        asked_at = time.monotonic()
        assert await client.force_metadata_update() is False
        assert time.monotonic() - asked_at >= METADATA_PAUSE_SECONDS
        await consumer.stop()

    asyncio.run(ask())


def test_a_start_waits_for_no_tables_that_others_make(tmp_path: Path) -> None:
    """Faust's own does, for a second."""

    async def start() -> None:
        tables = make_app(tmp_path)[0].tables
        done: list[str] = []

        async def note(what: str) -> None:
            done.append(what)

        tables.sleep = lambda seconds: note("wait")
        tables._update_channels = lambda: note("channels")
        tables.recovery.start = lambda: note("recovery")
        await tables.on_start()
        assert done == ["channels", "recovery"]

    asyncio.run(start())


@pytest.mark.stack
def test_a_quiet_partition_holds_up_one_that_is_behind_for_a_moment_only(topics: KafkaSettings, tmp_path: Path) -> None:
    """With the consumer as Faust makes it, for 1.5 s: its requests leave out what has unread records, and wait."""
    create_topics(topics, 2)
    send(topics, topics.raw_topic, [b"line"])

    async def look() -> None:
        app, _ = make_app(tmp_path, topics)
        consumer = app.consumer._new_consumer_thread()._create_worker_consumer(app.consumer.transport)
        consumer.assign([TopicPartition(topics.raw_topic, number) for number in range(2)])
        sent: list[Any] = []
        send_request = consumer._client.send

        async def note(node: int, request: Any, **options: Any) -> Any:
            if isinstance(request, FetchRequest):
                sent.append(request)
            return await send_request(node, request, **options)

        consumer._client.send = note
        await consumer.start()
        try:
            await consumer.seek_to_beginning()
            deadline = time.monotonic() + PATIENCE
            while not sent or [len(places) for _, places in sent[-1].topics] != [1]:  # nobody takes the record of 0
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert {request._max_wait_ms for request in sent} == {FETCH_WAIT_MS}
        finally:
            await consumer.stop()

    asyncio.run(look())


def test_the_app_s_producer_asks_for_metadata_at_that_pace(tmp_path: Path) -> None:
    async def ask() -> None:
        app, _ = make_app(tmp_path)
        producer = app.producer._new_producer(None)
        client = producer._sender.client
        client._md_update_fut = asyncio.get_running_loop().create_future()
        client._md_update_fut.set_result(False)
        asked_at = time.monotonic()
        assert await client.force_metadata_update() is False
        assert time.monotonic() - asked_at >= METADATA_PAUSE_SECONDS
        await producer.stop()

    asyncio.run(ask())
