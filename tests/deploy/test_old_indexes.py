"""Old rows get the indexes of the search, a week at a time, on the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import Place, migrate, read_migrations
from postwatch.deploy.old_indexes import OldIndexes
from postwatch.query.search import ADDRESS_KEYS, HOST_KEYS, IP_KEYS
from postwatch.query.statements import QUEUE_IDS
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.deploy.old_schema import schema_before

pytestmark = pytest.mark.stack

NAME = "0015_search_indexes.sql"
SEARCHES = {
    "by_address": (ADDRESS_KEYS, "b77@far.example"),
    "by_ip": (IP_KEYS, "192.0.2.7"),
    "by_host": (HOST_KEYS, "h77.far.example"),
    "by_any_queue_id": (QUEUE_IDS, "N77"),
}
REPLACED = {"by_recipient", "by_queue_id", "by_next_queue_id", "by_parent_queue_id"}
ROWS = """
INSERT INTO deliveries (account_domain, recipient, remote_ip, remote_host, next_queue_id, queued_at, updated_at)
SELECT toString(number), 'b' || toString(number) || '@far.example', '192.0.2.' || toString(number % 100),
    'h' || toString(number) || '.far.example', 'M' || toString(number) || ' N' || toString(number),
    now64(3) - INTERVAL number % 20 DAY, now64(3)
FROM numbers(500)
"""


@pytest.fixture
def old_database(clickhouse: EmbeddedClickHouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickHouseSettings]:
    """A database of before the indexes, with rows."""
    with schema_before(NAME, clickhouse, monkeypatch) as settings:
        connect(settings).command(ROWS)
        yield settings


def parts_read(client: Client, index: str) -> tuple[int, int]:
    """How many parts a search reads by this index, of how many."""
    keys, value = SEARCHES[index]
    plan = f"EXPLAIN indexes = 1 SELECT count() FROM deliveries WHERE has({keys}, '{value}')"
    lines = [str(row[0]).strip() for row in client.query(plan).result_rows]
    parts = next(line for line in lines[lines.index(f"Name: {index}") :] if line.startswith("Parts:"))
    read, _, all_of_them = parts.removeprefix("Parts:").partition("/")
    return int(read), int(all_of_them)


@pytest.mark.parametrize("index", SEARCHES)
def test_rows_of_before_are_found_by_the_indexes(old_database: ClickHouseSettings, index: str) -> None:
    client = connect(old_database)
    applied = migrate(connect(old_database, database=""), old_database)
    assert {f"applied {NAME}", "applied 0017_one_index_of_queue_ids.sql"} <= set(applied)
    read, all_of_them = parts_read(client, index)
    assert all_of_them >= 3
    assert read == (1 if index != "by_ip" else read) < all_of_them + (index == "by_ip")
    indexes = "SELECT name FROM system.data_skipping_indices WHERE database = {d:String} AND table = 'deliveries'"
    names = {str(row[0]) for row in client.query(indexes, parameters={"d": old_database.database}).result_rows}
    assert set(SEARCHES) <= names
    assert not REPLACED & names


def test_a_run_that_was_cut_off_goes_on(old_database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    make = OldIndexes.statement

    def statement(self: OldIndexes, week: str) -> str:
        if "by_address" not in self.indexes:
            return make(self, week)
        if len(ran) == 2:
            ran.append("cut off")
            raise KeyboardInterrupt
        ran.append(week)
        return make(self, week)

    monkeypatch.setattr(OldIndexes, "statement", statement)
    with pytest.raises(KeyboardInterrupt):
        migrate(connect(old_database, database=""), old_database)
    migrate(connect(old_database, database=""), old_database)
    weeks = [one for one in ran if one != "cut off"]
    assert len(weeks) == len(set(weeks)) >= 3
    assert weeks == sorted(weeks, reverse=True)
    assert parts_read(connect(old_database), "by_address")[0] == 1


def test_on_a_cluster_every_shard_makes_them() -> None:
    [migration] = [one for one in read_migrations() if one.name == NAME]
    [found] = migration.old_indexes(Place("postwatch", 30, "mail"))
    assert found.statement("2026-11-23") == (
        "ALTER TABLE postwatch.deliveries_local ON CLUSTER 'mail'"
        " MATERIALIZE INDEX by_address IN PARTITION '2026-11-23', MATERIALIZE INDEX by_ip IN PARTITION '2026-11-23',"
        " MATERIALIZE INDEX by_host IN PARTITION '2026-11-23'"
    )
    assert migration.statements(Place("postwatch", 30, "mail"))[-1] == (
        "ALTER TABLE postwatch.deliveries_local ON CLUSTER 'mail' DROP INDEX IF EXISTS by_recipient"
    )
