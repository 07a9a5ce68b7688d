"""Kafka and the ClickHouse engine as parts: what they took before SIGTERM or kill -9 is there afterwards."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from jgo.constants import default_maven_repo
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.kafka import EmbeddedKafka, broker_command, class_path, has_jars
from postwatch.deploy.embedded.part import Part
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect

from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.stack


def produce(brokers: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "message.max.bytes": 8_300_000})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(PATIENCE) == 0


def values(brokers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = consumer.consume(count, timeout=30)
    consumer.close()
    return [message.value() or b"" for message in found]


def test_kept_classes_that_do_not_fit_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "classes"
    kept.write_bytes(b"of another Java" * 1000)
    monkeypatch.setattr("postwatch.deploy.embedded.kafka.kept_classes", lambda: kept)
    command = broker_command(tmp_path / "data", 1, 2)  # Java formats the folder
    assert f"-XX:AOTCache={kept}" in command
    assert (tmp_path / "data" / "logs" / "meta.properties").exists()


def test_a_download_that_was_cut_off_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_path()
    if (known := default_maven_repo()).exists():  # of what the machine has, only what is cut off comes once more
        shutil.copytree(known, tmp_path / "m2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    whole = class_path().split(os.pathsep)
    for half in (whole[3], next((tmp_path / "m2").rglob(Path(whole[3]).name))):
        os.truncate(half, 1000)
    os.unlink(whole[5])
    for listed in (tmp_path / "postwatch" / "kafka").glob("*.jars"):
        listed.unlink()
    assert not has_jars()
    assert class_path().split(os.pathsep) == whole
    assert all(zipfile.is_zipfile(jar) for jar in whole)
    assert has_jars()
    os.unlink(whole[0])
    assert not has_jars()


def test_kafka_keeps_topics_and_records(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path / "kafka")
    settings = KafkaSettings(brokers=broker.brokers)
    broker.start()
    try:
        assert set(create_topics(settings, 2).values()) == {"created"}
        produce(broker.brokers, "mail.raw", b"before")
        broker.restart()
        produce(broker.brokers, "mail.raw", b"between")
        broker.kill()
        assert not broker.is_ready()
        broker.start()
        produce(broker.brokers, "mail.raw", b"after", b"x" * 8_000_000)
        assert set(create_topics(settings, 2).values()) == {"exists"}
        assert values(broker.brokers, "mail.raw", 3) == [b"before", b"between", b"after"]
    finally:
        broker.kill()


def test_clickhouse_keeps_rows(tmp_path: Path) -> None:
    engine = EmbeddedClickHouse(tmp_path / "clickhouse")
    engine.start()
    try:
        client = connect(engine.settings, database="")
        client.command("CREATE TABLE t (n UInt64) ENGINE MergeTree ORDER BY n")
        client.insert("t", [[0]], column_names=["n"])
        engine.terminate()
        wait_until(lambda: engine.exit_status() is not None, "it ends")
        assert engine.exit_status() == 0
        engine.start()
        client.insert("t", [[1]], column_names=["n"])
        engine.kill()
        engine.start()
        assert connect(engine.settings, database="").query("SELECT n FROM t ORDER BY n").result_rows == [(0,), (1,)]
    finally:
        engine.kill()
    with pytest.raises(UnavailableError, match=rf"{engine.url}.*POSTWATCH_CLICKHOUSE_URL"):
        connect(engine.settings)


def test_a_folder_of_another_engine_is_an_error_with_its_name(clickhouse: EmbeddedClickHouse) -> None:
    second = EmbeddedClickHouse(clickhouse.data_dir)
    with pytest.raises(UnavailableError, match=r"(?s)clickhouse ended while starting.*is another process using it"):
        second.start()


def test_a_taken_port_is_an_error_and_never_another_ones_answer(
    clickhouse: EmbeddedClickHouse, kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    engine = EmbeddedClickHouse(tmp_path / "clickhouse", clickhouse.port)
    broker = EmbeddedKafka(tmp_path / "kafka", kafka.port)
    for second, complaint in ((engine, f"127.0.0.1:{engine.port} can't be listened on"), (broker, "BindException")):
        second.launch()
        ready: list[bool] = []

        def has_ended(second: Part = second, ready: list[bool] = ready) -> bool:
            ready.append(second.is_ready())
            return second.exit_status() is not None

        wait_until(has_ended, "it gives up")
        assert not any(ready)
        assert complaint in second.log_tail(200)
    assert clickhouse.is_ready()
    assert kafka.is_ready()


@pytest.mark.parametrize("make", [EmbeddedKafka, EmbeddedClickHouse])
def test_ending_what_never_ran_is_no_error(make: Callable[[Path], Part], tmp_path: Path) -> None:
    part = make(tmp_path / "data")
    part.stop()
    part.kill()
    assert part.pid == 0
