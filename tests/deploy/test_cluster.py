"""The schema of a cluster is generated; no cluster runs here, so its text is checked, and the real parser reads it."""

from __future__ import annotations

import re

import pytest
from postwatch.deploy.cluster import UnknownStatementError, spread
from postwatch.deploy.migrate import Migration, Place, read_migrations
from postwatch.producers.service.errors import SettingsError
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
        "postwatch.arrivals_local",
        "postwatch.arrivals",
        "postwatch.delivery_states_local",
        "postwatch.delivery_states",
        "postwatch.delivery_events_local",
        "postwatch.delivery_events",
        "postwatch.delivery_hops_local",
        "postwatch.delivery_hops",
        "postwatch.row_id_keys_local",
        "postwatch.row_id_keys",
    ]
    path = "'/clickhouse/tables/{shard}/postwatch/deliveries', '{replica}'"
    assert f"ENGINE = ReplicatedReplacingMergeTree({path}, version, is_deleted)\nPARTITION BY" in text
    assert "ENGINE = Distributed('mail', postwatch, deliveries_local, cityHash64(account_domain))" in text
    assert "ENGINE = Distributed('mail', postwatch, servers_local, cityHash64(server))" in text
    path = "'/clickhouse/tables/{shard}/postwatch/arrivals', '{replica}'"
    assert f"ENGINE = ReplicatedMergeTree({path})\nPARTITION BY" in text


def test_what_is_stored_is_indexed() -> None:
    altered = [statement for statement in statements() if "ADD INDEX" in statement]
    assert len(altered) == 4
    for statement in altered:
        assert "ALTER TABLE postwatch.deliveries_local ON CLUSTER 'mail' ADD INDEX IF NOT EXISTS by_" in statement


def test_what_is_stored_is_merged_within_the_bounds() -> None:
    altered = [statement for statement in statements() if "MODIFY SETTING" in statement]
    names = ("vertical_merge_", "text_index_max_memory_", "min_age_to_force_merge_", "merge_with_ttl_timeout")
    slim = ("delivery_states", "delivery_events", "delivery_hops")
    wanted = [
        *(("deliveries", name) for name in names),
        *((table, "merge_with_ttl_timeout") for table in slim),
        ("arrivals", "merge_selector_base"),
    ]
    for statement, (table, setting) in zip(altered, wanted, strict=True):
        assert f"ALTER TABLE postwatch.{table}_local ON CLUSTER 'mail' MODIFY SETTING {setting}" in statement


def columns(statement: str) -> str:
    return statement.partition("\n(")[2].partition("\nENGINE")[0]


def test_the_columns_are_those_of_one_server() -> None:
    alone = [
        s
        for migration in read_migrations()
        for s in migration.statements(Place("postwatch", 30))
        if "CREATE TABLE" in s
    ]
    stored = [statement for statement in statements() if "CREATE TABLE" in statement and "Distributed" not in statement]
    assert [columns(statement) for statement in stored] == [columns(statement) for statement in alone]
    assert all(columns(statement) for statement in alone)


@pytest.mark.stack
def test_clickhouse_can_read_every_statement(database: ClickHouseSettings) -> None:
    client = connect(database)
    for statement in [*PLACE.preparations(), *statements()]:
        formatted = client.query("SELECT formatQuery({s:String})", parameters={"s": statement}).result_rows[0][0]
        assert "ON CLUSTER mail" in str(formatted)


ADD_COLUMNS = "ADD COLUMN IF NOT EXISTS a Nested(b String, c UInt8) AFTER status, ADD COLUMN IF NOT EXISTS d String"
ORDERS = "SELECT account, at FROM postwatch.deliveries ARRAY JOIN attempts.at AS at"


def test_a_column_is_added_to_what_is_stored_and_to_the_table_over_it() -> None:
    assert spread(f"-- Why.\nALTER TABLE postwatch.deliveries\n    {ADD_COLUMNS}", "mail") == [
        f"ALTER TABLE postwatch.deliveries_local ON CLUSTER 'mail' {ADD_COLUMNS}",
        f"ALTER TABLE postwatch.deliveries ON CLUSTER 'mail' {ADD_COLUMNS}",
    ]


@pytest.mark.parametrize("create", ["CREATE VIEW IF NOT EXISTS", "CREATE OR REPLACE VIEW"])
def test_a_view_reads_all_shards(create: str) -> None:
    query = "AS SELECT account, count() FROM postwatch.deliveries FINAL GROUP BY account"
    assert spread(f"{create} postwatch.accounts\n{query}", "mail") == [
        f"{create} postwatch.accounts ON CLUSTER 'mail' {query}"
    ]


def test_a_materialized_view_sees_what_is_stored_on_its_shard_and_writes_to_the_shard_of_the_key() -> None:
    [made] = spread(
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS postwatch.to_attempts TO postwatch.attempts AS {ORDERS}", "mail"
    )
    assert made == (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS postwatch.to_attempts ON CLUSTER 'mail' TO postwatch.attempts "
        f"AS {ORDERS.replace('deliveries', 'deliveries_local')}"
    )


UNKNOWN = [
    "DROP TABLE postwatch.deliveries",
    "ALTER TABLE postwatch.deliveries DROP COLUMN x",
    "ALTER TABLE postwatch.deliveries MODIFY COLUMN x String",
    "ALTER TABLE postwatch.deliveries ADD COLUMN x String, ADD INDEX y x TYPE bloom_filter",
    "ALTER TABLE postwatch.deliveries ADD COLUMN x String, DROP COLUMN y",
    "CREATE TABLE IF NOT EXISTS postwatch.t (a String) ENGINE = MergeTree() ORDER BY a",
    "-- Sharded by a\nCREATE TABLE IF NOT EXISTS postwatch.t (a String) ENGINE = Log",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS postwatch.v ENGINE = MergeTree ORDER BY a AS SELECT a FROM postwatch.t",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS postwatch.v TO postwatch.w AS SELECT a FROM (SELECT a FROM postwatch.t)",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS postwatch.v TO postwatch.w AS SELECT a FROM postwatch.t JOIN u USING a",
]


@pytest.mark.parametrize("statement", UNKNOWN)
def test_a_statement_of_another_kind_ends_the_migration_with_its_number(statement: str) -> None:
    migration = Migration("0042_later.sql", f"{ADD};\n-- {'x' * 30}\n{statement};\n")
    with pytest.raises(UnknownStatementError, match=r"^0042_later\.sql, statement 2: this statement can't be applied"):
        migration.statements(PLACE)
    assert len(migration.statements(Place("postwatch", 30))) == 2


ADD = f"ALTER TABLE {{database}}.deliveries {ADD_COLUMNS}"


@pytest.mark.stack
def test_clickhouse_can_read_what_is_made_of_every_kind(database: ClickHouseSettings) -> None:
    client = connect(database)
    kinds = [
        f"ALTER TABLE postwatch.deliveries {ADD_COLUMNS}",
        f"CREATE VIEW IF NOT EXISTS postwatch.v AS {ORDERS}",
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS postwatch.v TO postwatch.w AS {ORDERS}",
    ]
    for statement in [made for kind in kinds for made in spread(kind, "mail")]:
        formatted = client.query("SELECT formatQuery({s:String})", parameters={"s": statement}).result_rows[0][0]
        assert "ON CLUSTER mail" in str(formatted)


def test_odd_cluster_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="--cluster"):
        Place("postwatch", 30, "it's")
