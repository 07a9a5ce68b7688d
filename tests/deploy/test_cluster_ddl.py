"""DDL on a cluster that takes longer than ClickHouse waits for it: the real engine behind a front that answers 159."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from postwatch.deploy.cluster_ddl import Patience, run_everywhere
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.erase import SLIM_TABLES, erase, read_address
from postwatch.deploy.migrate import Place, migrate, read_migrations
from postwatch.producers.service.errors import PostwatchError, UnavailableError
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.deploy.cluster_front import ClusterFront

pytestmark = pytest.mark.stack
MakeFront = Callable[..., ClusterFront]
_CREATE = "CREATE TABLE IF NOT EXISTS {}.late ON CLUSTER 'mail' (a Int8) ENGINE = MergeTree ORDER BY a"


@pytest.fixture
def make_front(database: ClickHouseSettings) -> Iterator[MakeFront]:
    made: list[ClusterFront] = []

    def make(*, has_queue: bool = True, **how: Any) -> ClusterFront:
        made.append(ClusterFront(database, f"{database.database}.queue" if has_queue else "", **how))
        return made[-1]

    yield make
    for front in made:
        front.close()


def through(front: ClusterFront, name: str) -> ClickHouseSettings:
    return replace(front.engine, url=front.url, database=name)


def tables(settings: ClickHouseSettings) -> set[str]:
    rows = connect(settings, database="").query(f"SHOW TABLES FROM {settings.database}").result_rows
    return {str(row[0]) for row in rows}


@pytest.mark.parametrize("has_queue", [True, False])
def test_a_migration_whose_statements_take_too_long_is_applied_once_and_wholly(
    make_front: MakeFront, database: ClickHouseSettings, has_queue: bool
) -> None:
    front = make_front(has_queue=has_queue)
    settings = through(front, f"{database.database}_cluster{has_queue:d}")
    client = connect(settings, database="")
    assert migrate(client, settings, "mail") == [f"applied {one.name}" for one in read_migrations()]
    assert {"CREATE DATABASE", "CREATE TABLE", "ALTER TABLE", "CREATE MATERIALIZED"} <= set(front.put_off)
    again = len(front.given) - len(set(front.given))
    assert again == (0 if has_queue else len(front.put_off))
    assert tables(database) - {"queue"} < tables(settings)
    columns = (
        "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String} ORDER BY position"
    )
    for table in ("deliveries", "delivery_states"):
        alone, stored = (
            client.query(columns, parameters={"d": one, "t": name}).result_rows
            for one, name in ((database.database, table), (settings.database, f"{table}_local"))
        )
        assert alone == stored
    assert migrate(client, settings, "mail") == []


def test_erasing_on_a_cluster_waits_for_the_servers_too(make_front: MakeFront, database: ClickHouseSettings) -> None:
    front = make_front()
    client = connect(through(front, database.database))
    client.command(
        "INSERT INTO deliveries (account, account_domain, queued_at, updated_at) VALUES "
        "('anna@bakery.example', 'bakery.example', now(), now()), "
        "('otto@bakery.example', 'bakery.example', now(), now())"
    )
    for table in (*SLIM_TABLES, "deliveries"):
        client.command(f"RENAME TABLE {table} TO {table}_local")
    said: list[str] = []
    anna = read_address("anna@bakery.example")
    erase(client, Place(database.database, 30, "mail"), anna, everywhere=True, say=said.append)
    assert front.put_off == ["ALTER TABLE"]
    assert said[-1] == "deliveries: gone"
    left = client.query("SELECT account FROM deliveries_local").result_rows
    assert left == [("otto@bakery.example",)]


def test_a_server_that_could_not_run_it_is_named(make_front: MakeFront, database: ClickHouseSettings) -> None:
    front = make_front(fails="Code: 60. DB::Exception: no such table")
    with pytest.raises(PostwatchError, match=r"clickhouse2:9000 could not run it: Code: 60\. DB::Exception: no such"):
        run_everywhere(connect(through(front, database.database)), _CREATE.format(database.database))


@pytest.mark.parametrize("has_queue", [True, False])
def test_a_server_that_never_runs_it_is_late_and_named(
    make_front: MakeFront, database: ClickHouseSettings, has_queue: bool
) -> None:
    front = make_front(has_queue=has_queue, looks=10_000)
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        front.put_off.clear()  # the next try takes as long

    late = (
        r"clickhouse2:9000 has not run .* entry query-\d+ of" if has_queue else r"a server of the cluster has not run"
    )
    with pytest.raises(UnavailableError, match=late):
        run_everywhere(
            connect(through(front, database.database)),
            _CREATE.format(database.database),
            patience=Patience(60.0, lambda: now, sleep),
        )
    assert now >= 60
    assert "late" not in tables(database)


def test_a_statement_of_one_server_that_takes_too_long_is_not_repeated(clickhouse: EmbeddedClickHouse) -> None:
    client = connect(clickhouse.settings, database="")
    slow = "SELECT sleepEachRow(0.1) FROM numbers(20) SETTINGS max_execution_time = 0.1, max_block_size = 1"
    with pytest.raises(DatabaseError, match="TIMEOUT_EXCEEDED"):
        run_everywhere(client, slow)
