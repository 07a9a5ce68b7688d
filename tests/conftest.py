"""Real servers for the tests: one Apache Kafka and one ClickHouse engine for the whole run, started when first used.

They are children of this process that end with it, however it ends; see deploy/embedded/process.py.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, so that short ones are left to fill every process to the end: tests that say that they need
    more than the usual time, then files whose tests start real parts. Within a file nothing moves.

    Each process of xdist begins with a stretch of the list, as long as the others', and takes from others what they
    have not begun. So files are dealt to as many piles, and each pile has its longest first.
    """

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker else 0

    def is_real(item: pytest.Item) -> bool:
        needs = any(item.get_closest_marker(name) for name in ("stack", "skipif"))
        return needs or bool(_REAL_PARTS & {*getattr(item, "fixturenames", ())})

    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    longest = {path: max(max(seconds(test), is_real(test)) for test in tests) for path, tests in files.items()}
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    piles: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for path in sorted(files, key=lambda path: -longest[path]):
        min(piles, key=len).extend(files[path])
    items[:] = itertools.chain.from_iterable(piles)


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


@pytest.fixture(scope="session")
def make_database(clickhouse: EmbeddedClickHouse) -> MakeDatabase:
    def make(**changes: Any) -> ClickHouseSettings:
        settings = replace(clickhouse.settings, database=f"test{next(_numbers)}", **changes)
        migrate(connect(settings, database=""), settings)
        return settings

    return make


_KEPT = ("migrations", "row_id_keys")
"""The tables that migrating fills."""


class DatabasePool:
    """Migrated databases that are emptied for the next test: to make one takes a second, longer than most tests."""

    def __init__(self, engine: ClickHouseSettings, make: MakeDatabase) -> None:
        self._client = connect(engine, database="")
        self._make = make
        self._free: dict[int, list[ClickHouseSettings]] = {}

    @contextmanager
    def database(self, retention_days: int) -> Iterator[ClickHouseSettings]:
        """An empty one, as a new one is."""
        free = self._free.setdefault(retention_days, [])
        settings = free.pop() if free else self._make(retention_days=retention_days)
        tables = self._tables(settings.database)
        yield settings
        with suppress(ClickHouseError, HTTPError):  # the test may have ended the engine
            if self._tables(settings.database) == tables:  # it has not changed them
                for name, engine, _, _ in tables:
                    if engine.endswith("MergeTree") and name not in _KEPT:
                        self._client.command(f"TRUNCATE TABLE {settings.database}.{name}")
                free.append(settings)

    def _tables(self, database: str) -> list[tuple[str, ...]]:
        """Name, engine and definition of each table; and the rows of those that migrating filled."""
        query = (
            f"SELECT name, engine, create_table_query, if(name IN {_KEPT}, toString(total_rows), '')"
            " FROM system.tables WHERE database = {name:String} ORDER BY 1"
        )
        return [tuple(map(str, row)) for row in self._client.query(query, {"name": database}).result_rows]


@pytest.fixture(scope="session")
def database_pool(clickhouse: EmbeddedClickHouse, make_database: MakeDatabase) -> DatabasePool:
    return DatabasePool(clickhouse.settings, make_database)


@pytest.fixture
def database(database_pool: DatabasePool, clickhouse: EmbeddedClickHouse) -> Iterator[ClickHouseSettings]:
    """The settings of an empty, migrated database."""
    with database_pool.database(clickhouse.settings.retention_days) as settings:
        yield settings


@pytest.fixture
def lasting_database(database_pool: DatabasePool) -> Iterator[ClickHouseSettings]:
    """The same for rows of a fixed day: they grow old, and ClickHouse drops at once what is older than the days set."""
    with database_pool.database(retention_days=3_650) as settings:
        yield settings


def pytest_collection_finish() -> None:
    """The switches of `make fleet-test` have been read by then. They are no settings, and no part may find them."""
    for name in ("FLEET", "UPGRADE_FROM", "BARE_DEBIAN", "PACKAGES"):
        os.environ.pop(f"POSTWATCH_{name}", None)
