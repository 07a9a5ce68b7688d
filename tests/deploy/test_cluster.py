"""The schema of a cluster is generated; no cluster runs here, so its text is checked, and the real parser reads it."""

from __future__ import annotations

import re

import pytest
from postwatch.deploy.cluster import spread
from postwatch.deploy.migrate import Place, read_migrations
from postwatch.producers.service.errors import PostwatchError, SettingsError
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

PLACE = Place("postwatch", 30, "mail")


def statements() -> list[str]:
    return [statement for migration in read_migrations() for statement in migration.statements(PLACE)]


def test_each_table_is_a_replicated_one_and_a_distributed_one_over_it() -> None:
    text = "\n".join(statements())
    assert re.findall(r"CREATE TABLE IF NOT EXISTS (\S+) ON CLUSTER 'mail'", text) == [
        "postwatch.deliveries_local",
        "postwatch.deliveries",
        "postwatch.servers_local",
        "postwatch.servers",
    ]
    path = "'/clickhouse/tables/{shard}/postwatch/deliveries', '{replica}'"
    assert f"ENGINE = ReplicatedReplacingMergeTree({path}, version, is_deleted)\nPARTITION BY" in text
    assert "ENGINE = Distributed('mail', postwatch, deliveries_local, cityHash64(account_domain))" in text
    assert "ENGINE = Distributed('mail', postwatch, servers_local, cityHash64(server))" in text


def test_what_is_stored_is_indexed() -> None:
    altered = [statement for statement in statements() if "ADD INDEX" in statement]
    assert len(altered) == 2
    for statement in altered:
        assert "ALTER TABLE postwatch.deliveries_local ON CLUSTER 'mail' ADD INDEX IF NOT EXISTS by_" in statement


def test_what_is_stored_is_merged_within_the_bounds() -> None:
    altered = [statement for statement in statements() if "MODIFY SETTING" in statement]
    for statement, setting in zip(altered, ("vertical_merge_", "text_index_max_memory_"), strict=True):
        assert f"ALTER TABLE postwatch.deliveries_local ON CLUSTER 'mail' MODIFY SETTING {setting}" in statement


def columns(statement: str) -> str:
    return statement.partition("\n(")[2].partition("\nENGINE")[0]


def test_the_columns_are_those_of_one_server() -> None:
    alone = [
        s for migration in read_migrations() for s in migration.statements(Place("postwatch", 30)) if "CREATE" in s
    ]
    stored = [statement for statement in statements() if "CREATE" in statement and "Distributed" not in statement]
    assert [columns(statement) for statement in stored] == [columns(statement) for statement in alone]
    assert all(columns(statement) for statement in alone)


@pytest.mark.stack
def test_clickhouse_can_read_every_statement(database: ClickHouseSettings) -> None:
    client = connect(database)
    for statement in [*PLACE.preparations(), *statements()]:
        formatted = client.query("SELECT formatQuery({s:String})", parameters={"s": statement}).result_rows[0][0]
        assert "ON CLUSTER mail" in str(formatted)


def test_a_statement_of_another_kind_is_refused() -> None:
    with pytest.raises(PostwatchError, match="can't be applied to a cluster:\nALTER TABLE"):
        spread("ALTER TABLE postwatch.deliveries ADD COLUMN x String", "mail")


def test_odd_cluster_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="--cluster"):
        Place("postwatch", 30, "it's")
