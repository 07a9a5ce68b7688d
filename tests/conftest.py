"""Real servers for the tests: one Apache Kafka and one ClickHouse engine for the whole run, started when first used."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.embedded.ports import answers, choose_port
from postwatch.deploy.migrate import migrate
from postwatch.producers.settings import KafkaSettings
from postwatch.streams.clickhouse import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.waiting import wait_until

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker with `.brokers`; tests use topics of their own, see `topics`."""
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def topics(kafka: EmbeddedKafka) -> KafkaSettings:
    """Settings with topic names that no other test uses; the topics are not created yet."""
    prefix = f"test{next(_numbers)}."
    return KafkaSettings(
        brokers=kafka.brokers,
        raw_topic=prefix + "mail.raw",
        outcomes_topic=prefix + "mail.outcomes",
        heartbeats_topic=prefix + "mail.heartbeats",
        dead_letters_topic=prefix + "mail.dead-letters",
    )


@dataclass
class EmbeddedClickHouse:
    """The engine as a process of its own; `start` may be called again after `stop` or `kill`."""

    data_dir: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> ClickHouseSettings:
        return ClickHouseSettings(url=f"http://127.0.0.1:{self.port}")

    def start(self) -> None:
        command = [sys.executable, "-m", "postwatch.deploy.embedded.clickhouse"]
        command += ["--data-dir", str(self.data_dir), "--port", str(self.port)]
        self.process = subprocess.Popen(command)
        wait_until(lambda: answers(self.port), "ClickHouse answers", seconds=60)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """The engine with `.settings`; tests use databases of their own, see `database`."""
    engine = EmbeddedClickHouse(tmp_path_factory.mktemp("clickhouse"), choose_port())
    engine.start()
    yield engine
    engine.kill()


@pytest.fixture
def make_database(clickhouse: EmbeddedClickHouse) -> Callable[[], ClickHouseSettings]:
    """A function that makes a fresh, migrated database."""

    def make() -> ClickHouseSettings:
        settings = replace(clickhouse.settings, database=f"test{next(_numbers)}")
        migrate(connect(settings, database=""), settings)
        return settings

    return make


@pytest.fixture
def database(make_database: Callable[[], ClickHouseSettings]) -> ClickHouseSettings:
    """The settings of a fresh, migrated database."""
    return make_database()
