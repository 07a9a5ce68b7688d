"""The tables against the contracts, on the real engine."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from postwatch.deploy.migrate import migrate
from postwatch.producers.errors import SettingsError
from postwatch.streams import heartbeat, outcome
from postwatch.streams.clickhouse import connect
from postwatch.streams.settings import ClickHouseSettings

pytestmark = pytest.mark.stack


def _plain(kind: str) -> str:
    return kind.replace("LowCardinality(String)", "String").replace("DateTime64(3, 'UTC')", "Time")


def _expected(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"Array({_expected(kind.value_type)})"
    if pa.types.is_timestamp(kind):
        return "Time"
    return {"string": "String"}.get(str(kind), str(kind).replace("uint", "UInt"))


@pytest.mark.parametrize(("table", "schema"), [("deliveries", outcome.SCHEMA), ("servers", heartbeat.SCHEMA)])
def test_columns_are_those_of_the_contract(database: ClickHouseSettings, table: str, schema: pa.Schema) -> None:
    rows = connect(database).query(f"DESCRIBE TABLE {table}").result_rows
    assert [(row[0], _plain(row[1])) for row in rows] == [(field.name, _expected(field.type)) for field in schema]


def test_sort_key_is_the_key_of_an_outcome(database: ClickHouseSettings) -> None:
    query = "SELECT sorting_key FROM system.tables WHERE database = {d:String} AND name = 'deliveries'"
    rows = connect(database).query(query, parameters={"d": database.database}).result_rows
    assert tuple(rows[0][0].split(", ")) == outcome.KEY


def test_second_migration_does_nothing(database: ClickHouseSettings) -> None:
    assert migrate(connect(database, database=""), database) == []


def test_days_can_be_changed_later(database: ClickHouseSettings) -> None:
    longer = replace(database, retention_days=90)
    assert migrate(connect(longer, database=""), longer) == ["rows are now kept for 90 days instead of 30"]
    assert migrate(connect(longer, database=""), longer) == []


def test_odd_database_name_is_refused(database: ClickHouseSettings) -> None:
    odd = replace(database, database="a; DROP")
    with pytest.raises(SettingsError, match="POSTWATCH_CLICKHOUSE_DATABASE"):
        migrate(connect(database, database=""), odd)
