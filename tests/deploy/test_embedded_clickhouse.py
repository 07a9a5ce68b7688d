"""The embedded engine keeps ClickHouse's promise about inserts: all the rows are in, or an exception says why not."""

from __future__ import annotations

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from postwatch.deploy.embedded.chdb_engine import SERVER_SETTINGS
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

pytestmark = pytest.mark.stack


@pytest.fixture
def client(database: ClickHouseSettings) -> Client:
    client = connect(database)
    client.command(
        "CREATE TABLE numbers (n UInt64, text String, CONSTRAINT sane CHECK n != 13) ENGINE MergeTree ORDER BY n"
    )
    return client


def rows(first: int, count: int) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + count), pa.uint64()), "text": ["x" * 100] * count})


def count(client: Client) -> int:
    return int(client.query("SELECT count() FROM numbers").result_rows[0][0])


def test_rows_that_the_table_refuses_are_an_exception_with_its_code(client: Client) -> None:
    with pytest.raises(DatabaseError, match="Constraint `sane`") as caught:
        client.insert_arrow("numbers", rows(10, 5))
    assert caught.value.code == 469
    assert count(client) == 0


def test_an_insert_of_many_megabytes_is_whole(client: Client) -> None:
    client.insert_arrow("numbers", rows(100, 100_000))
    assert count(client) == 100_000


def test_rows_in_the_clients_own_format(client: Client) -> None:
    client.insert("numbers", [[1, "größe"], [2, "\n\t\\'"]], column_names=["n", "text"])
    assert client.query("SELECT * FROM numbers ORDER BY n").result_rows == [(1, "größe"), (2, "\n\t\\'")]
    with pytest.raises(DatabaseError, match="Constraint `sane`"):
        client.insert("numbers", [[13, ""]], column_names=["n", "text"])


def test_rows_that_are_cut_off_are_an_exception(client: Client) -> None:
    sink = pa.BufferOutputStream()
    with pa.RecordBatchFileWriter(sink, rows(1, 5).schema) as writer:
        writer.write(rows(1, 5))
    with pytest.raises(DatabaseError):
        client.raw_insert("numbers", ["n", "text"], sink.getvalue().to_pybytes()[:-20], fmt="Arrow")
    assert count(client) == 0


def test_parameters_too_long_for_an_address_come_as_a_form(client: Client) -> None:
    words = {"long": "größe\n\t\\'\r\n--" * 2000, "short": ""}
    found = client.query("SELECT {long:String}, {short:String}", parameters=words).result_rows
    assert found == [tuple(words.values())]


def test_the_engine_bounds_its_memory_and_its_caches(client: Client) -> None:
    query = "SELECT name, toUInt64(value) FROM system.server_settings WHERE name IN ({names:Array(String)})"
    rows = client.query(query, parameters={"names": list(SERVER_SETTINGS)}).result_rows
    assert {str(name): int(value) for name, value in rows} == SERVER_SETTINGS


def test_the_engine_soon_gives_back_what_is_free(client: Client) -> None:
    told = str(client.command("SELECT * FROM system.jemalloc_stats"))
    assert "opt.dirty_decay_ms: 1000 " in told
    assert "opt.tcache_max: 4096" in told
