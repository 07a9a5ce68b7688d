"""Real servers for the tests: one Apache Kafka and one ClickHouse engine for the whole run, started when first used.

They are children of this process that end with it, however it ends; see deploy/embedded/process.py.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

os.environ.setdefault("POSTWATCH_JOIN_CORE", "interpreted")  # tests exchange functions; `test_core_build` has the other

from postwatch.deploy.embedded import ports
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.migrate import migrate
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

_numbers = itertools.count(1)

# A shared machine stalls: what must be fast is measured elsewhere. A landing tries the same examples each time; others
# are looked for with `make test ARGS="--hypothesis-profile=explore FILE"`.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Each process of a run has ports of its own: one that is chosen is free to the others until it is listened on."""
    process = getattr(config, "workerinput", None)
    if process is not None:
        number = int(process["workerid"].removeprefix("gw")) % process["workercount"]
        size = (ports._FIRST_OUTGOING_PORT - ports._FIRST_PORT) // process["workercount"]
        ports._FIRST_PORT += number * size
        ports._FIRST_OUTGOING_PORT = ports._FIRST_PORT + size


_REAL_PARTS = {"kafka", "clickhouse", "browser", "imap", "state_address"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that short ones are left to fill every process to the end: tests that say that they need
    more than the usual time, then files whose tests start real parts. Within a file nothing moves.
    """

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker else 0

    def is_real(item: pytest.Item) -> bool:
        needs = any(item.get_closest_marker(name) for name in ("stack", "skipif"))
        return needs or bool(_REAL_PARTS & {*getattr(item, "fixturenames", ())})

    longest: dict[Path, float] = {}
    for item in items:
        longest[item.path] = max(longest.get(item.path, 0), seconds(item), is_real(item))
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """A command that a test runs in this process sends all logs to what is standard error during that test only."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


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


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """The engine with `.settings`; tests use databases of their own, see `database`."""
    engine = EmbeddedClickHouse(tmp_path_factory.mktemp("clickhouse"))
    engine.start()
    yield engine
    engine.kill()


MakeDatabase = Callable[..., ClickHouseSettings]
"""Makes a fresh, migrated database, as the settings that it is given say."""


@pytest.fixture(name="make_database")
def make_database_of_test(make_module_database: MakeDatabase) -> MakeDatabase:
    return make_module_database


@pytest.fixture(scope="module")
def make_module_database(clickhouse: EmbeddedClickHouse) -> MakeDatabase:
    """The same for a whole module."""

    def make(**changes: Any) -> ClickHouseSettings:
        settings = replace(clickhouse.settings, database=f"test{next(_numbers)}", **changes)
        migrate(connect(settings, database=""), settings)
        return settings

    return make


@pytest.fixture
def database(make_database: Callable[..., ClickHouseSettings]) -> ClickHouseSettings:
    """The settings of a fresh, migrated database."""
    return make_database()


@pytest.fixture
def lasting_database(make_database: Callable[..., ClickHouseSettings]) -> ClickHouseSettings:
    """The same for rows of a fixed day: they grow old, and ClickHouse drops at once what is older than the days set."""
    return make_database(retention_days=3_650)


def pytest_collection_finish() -> None:
    """The switches of `make fleet-test` have been read by then. They are no settings, and no part may find them."""
    for name in ("FLEET", "UPGRADE_FROM", "BARE_DEBIAN", "PACKAGES"):
        os.environ.pop(f"POSTWATCH_{name}", None)
