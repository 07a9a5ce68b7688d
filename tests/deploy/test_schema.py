"""The tables against the contracts, on the real engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pytest
from postwatch.deploy import cli
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.migrate import Migration, migrate, read_migrations
from postwatch.producers.service.errors import PostwatchError, SettingsError
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts import heartbeat, outcome, outcome_records
from postwatch.streams.contracts.columns import Column, stored_columns
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.settings import ClickHouseSettings

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(("table", "columns"), [("deliveries", outcome.COLUMNS), ("servers", heartbeat.COLUMNS)])
def test_columns_are_those_of_the_contract(database: ClickHouseSettings, table: str, columns: Sequence[Column]) -> None:
    rows = connect(database).query(f"DESCRIBE TABLE {table}").result_rows
    assert {row[0]: row[1] for row in rows} == {
        column.name: column.kind.clickhouse for column in stored_columns(columns)
    }


def test_the_table_gives_a_missing_column_the_default_of_the_contract(database: ClickHouseSettings) -> None:
    """Rows from before the column was added, and rows of a sink that does not know it yet."""
    client = connect(database)
    now_ms = time.time_ns() // 1_000_000
    needed = [column for column in outcome.COLUMNS if column.about.is_required]
    row = Outcome(queued_at=now_ms, updated_at=now_ms, attempts=(Attempt(),))
    sparse = pa.Table.from_batches([outcome_records.to_batch([row])])
    client.insert_arrow("deliveries", sparse.select([*(column.name for column in needed), "attempts.at"]))
    found = (
        client.query_arrow("SELECT * FROM deliveries").select(outcome_records.SCHEMA.names).cast(outcome_records.SCHEMA)
    )
    assert outcome_records.from_table(found) == [row]


def test_sort_key_is_the_key_of_an_outcome(database: ClickHouseSettings) -> None:
    query = "SELECT sorting_key FROM system.tables WHERE database = {d:String} AND name = 'deliveries'"
    rows = connect(database).query(query, parameters={"d": database.database}).result_rows
    assert tuple(rows[0][0].split(", ")) == outcome.KEY


def test_second_migration_does_nothing(database: ClickHouseSettings) -> None:
    assert migrate(connect(database, database=""), database) == []


def test_migrations_at_the_same_time_end_in_the_same_schema(clickhouse: EmbeddedClickHouse) -> None:
    settings = replace(clickhouse.settings, database="at_once")
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: migrate(connect(settings, database=""), settings), range(4)):
            pass
    tables = connect(settings).query("SELECT name FROM system.tables WHERE database = 'at_once'").result_rows
    assert {row[0] for row in tables} == {
        *("deliveries", "servers", "arrivals", "delivery_states", "delivery_events", "delivery_hops"),
        *("migrations", "row_id_keys"),
        *("to_arrivals", "to_delivery_states", "to_delivery_events", "to_delivery_hops", "deliveries_now", "events"),
    }
    assert migrate(connect(settings, database=""), settings) == []


def test_an_edited_migration_is_refused(database: ClickHouseSettings) -> None:
    client = connect(database)
    client.insert("migrations", [["0001_deliveries.sql", "edited"]], column_names=["name", "checksum"])
    with pytest.raises(PostwatchError, match=r"0001_deliveries\.sql was applied to test\d+ with another text"):
        migrate(client, database)


def test_a_migration_that_clickhouse_refuses_is_told_by_file_and_statement(
    database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Migration("9999_wrong.sql", "ALTER TABLE {database}.servers ADD COLUMN a NoSuchType;\n")
    monkeypatch.setattr("postwatch.deploy.migrate.read_migrations", lambda: [wrong])
    with pytest.raises(PostwatchError, match=r"^9999_wrong\.sql stopped at statement 1: Code: 50\."):
        migrate(connect(database, database=""), database)


def test_words_of_a_response_are_found_by_their_index(database: ClickHouseSettings) -> None:
    query = "EXPLAIN indexes = 1 SELECT count() FROM deliveries WHERE hasAllTokens(response, ['quota'])"
    connect(database).command(
        "INSERT INTO deliveries (queued_at, updated_at, response) VALUES (now(), now(), '552 Quota exceeded')"
    )
    plan = "\n".join(str(row[0]) for row in connect(database).query(query).result_rows)
    assert "by_response_word" in plan
    counting = "SELECT count() FROM deliveries WHERE hasAllTokens(response, ['quota'])"
    assert connect(database).query(counting).result_rows == [(1,)]


def test_the_command_says_what_it_did_and_what_is_missing(
    clickhouse: EmbeddedClickHouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", clickhouse.url)
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_DATABASE", "by_command")
    assert cli.main(["migrate"]) == 0
    names = [migration.name for migration in read_migrations()]
    assert names[:2] == ["0001_deliveries.sql", "0002_servers.sql"]
    assert capsys.readouterr().out == "".join(f"applied {name}\n" for name in names)
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr().out == "the tables of by_command are up to date\n"
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", f"http://127.0.0.1:{choose_port()}")
    assert cli.main(["migrate"]) == 1
    assert "POSTWATCH_CLICKHOUSE_URL" in capsys.readouterr().err


def test_days_can_be_changed_later(database: ClickHouseSettings) -> None:
    longer = replace(database, retention_days=90)
    assert migrate(connect(longer, database=""), longer) == ["rows are now kept for 90 days instead of 30"]
    assert migrate(connect(longer, database=""), longer) == []


KEPT_BY_WEEK = ("deliveries", "delivery_states", "delivery_events", "delivery_hops")


def engine_of(database: ClickHouseSettings, table: str) -> str:
    """The engine of a table, with its TTL and settings."""
    query = "SELECT engine_full FROM system.tables WHERE database = {d:String} AND name = {t:String}"
    [[engine]] = connect(database).query(query, parameters={"d": database.database, "t": table}).result_rows
    return str(engine)


def test_rows_are_kept_by_their_last_event(database: ClickHouseSettings) -> None:
    """A message that expired a minute ago is in a report though it was sent long before."""
    client = connect(database)
    assert "TTL toDateTime(updated_at) + toIntervalDay(30)" in engine_of(database, "deliveries")
    ages = {"late": (36, 29), "gone": (36, 31)}
    for name, (queued_days, updated_days) in ages.items():
        client.command(
            "INSERT INTO deliveries (queued_at, updated_at, recipient) VALUES"
            f" (now() - INTERVAL {queued_days} DAY, now() - INTERVAL {updated_days} DAY, '{name}')"
        )
    client.command("OPTIMIZE TABLE deliveries FINAL")
    assert client.query("SELECT recipient FROM deliveries").result_rows == [("late",)]


def test_odd_database_name_is_refused(database: ClickHouseSettings) -> None:
    odd = replace(database, database="a; DROP")
    with pytest.raises(SettingsError, match="POSTWATCH_CLICKHOUSE_DATABASE"):
        migrate(connect(database, database=""), odd)


def test_the_memory_of_merges_is_bounded(database: ClickHouseSettings) -> None:
    engine = engine_of(database, "deliveries")
    assert "vertical_merge_algorithm_min_rows_to_activate = 1" in engine
    assert "min_columns_to_activate_adaptive_write_buffer = 11" in engine
    assert "text_index_max_memory_usage_before_flush = 33554432" in engine


@pytest.mark.parametrize("table", KEPT_BY_WEEK)
def test_a_week_without_inserts_is_merged_to_one_part(database: ClickHouseSettings, table: str) -> None:
    engine = engine_of(database, table)
    assert "min_age_to_force_merge_seconds = 86400" in engine
    assert "min_age_to_force_merge_on_partition_only" in engine


@pytest.mark.parametrize("table", KEPT_BY_WEEK)
def test_a_week_is_not_written_anew_for_each_hour_that_expires(database: ClickHouseSettings, table: str) -> None:
    """By default ClickHouse does so every four hours."""
    engine = engine_of(database, table)
    assert "merge_with_ttl_timeout = 86400" in engine
    assert "merge_selector_base = 10" in engine


def test_days_that_are_changed_later_are_those_of_every_table(database: ClickHouseSettings) -> None:
    longer = replace(database, retention_days=90)
    migrate(connect(longer, database=""), longer)
    assert all("toIntervalDay(90)" in engine_of(database, table) for table in KEPT_BY_WEEK)
