"""Tables that a view feeds get the rows that were there before it, on the real engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from postwatch.deploy import backfill
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import Place, migrate, read_migrations
from postwatch.producers.service.errors import PostwatchError
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.deploy.old_schema import schema_before

pytestmark = pytest.mark.stack

TABLES = ("delivery_states", "delivery_events", "delivery_hops")
ROWS = """
INSERT INTO deliveries (account_domain, account, server, queue_id, recipient, queued_at, updated_at, status, result,
    reason, attempts.at, attempts.status, attempts.smtp_code, attempts.response, attempts.remote_host,
    attempts.remote_ip, version, is_deleted)
SELECT
    'd' || toString(number % 7) AS account_domain, 'anna@' || account_domain, 'web1', toString({first} + number),
    'bob@far.example', now64(3) - INTERVAL number % 20 DAY AS queued_at, queued_at + INTERVAL 9 SECOND,
    number % 3 = 0 ? 'expired' : 'delivered' AS status, status, number % 3 = 0 ? 'expired' : '',
    [queued_at + INTERVAL 3 SECOND, updated_at], ['deferred', number % 3 = 0 ? 'deferred' : status], [451, 250],
    ['', ''], ['mx.far.example', ''], ['', ''], number, number % 11 = 0
FROM numbers({rows})
"""


@pytest.fixture
def old_database(clickhouse: EmbeddedClickHouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickHouseSettings]:
    """A database of before the tables, with rows."""
    with schema_before("0009", clickhouse, monkeypatch) as settings:
        insert(settings, 0, 500)
        yield settings


def insert(settings: ClickHouseSettings, first: int, rows: int) -> None:
    connect(settings).command(ROWS.format(first=first, rows=rows).replace("updated_at]", "queued_at]"))


def contents(settings: ClickHouseSettings, table: str, made: bool = False) -> list[tuple[object, ...]]:
    """What the table has, or what its view makes of all rows, replaced ones too."""
    view = {one.target.partition(".")[2]: one for one in backfills(settings)}[table]
    source = f"({view.select})" if made else table
    columns = ", ".join(str(name) for name, *_ in connect(settings).query(f"DESCRIBE TABLE {table}").result_rows)
    rows = connect(settings).query(f"SELECT DISTINCT {columns} FROM {source} ORDER BY ALL").result_rows
    return [tuple(row) for row in rows]


def backfills(settings: ClickHouseSettings) -> list[backfill.Backfill]:
    place = Place(settings.database, settings.retention_days)
    return [one for migration in read_migrations() for one in migration.backfills(place)]


def test_the_select_has_the_columns_of_its_table_in_order(database: ClickHouseSettings) -> None:
    client = connect(database)
    for one in backfills(database):
        wanted = [(row[0], row[1]) for row in client.query(f"DESCRIBE TABLE {one.target}").result_rows]
        found = [(row[0], row[1]) for row in client.query(f"DESCRIBE ({one.select})").result_rows]
        assert [name for name, _ in found] == [name for name, _ in wanted]


def test_rows_of_before_are_in_the_tables(old_database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "SLICE_ROWS", 40)
    migrate(connect(old_database, database=""), old_database)
    insert(old_database, 1000, 50)
    for table in TABLES:
        assert contents(old_database, table) == contents(old_database, table, made=True)
    assert len(contents(old_database, "delivery_states")) == 550


def test_a_backfill_that_was_cut_off_goes_on(old_database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails in the middle of each week once; weeks that were finished are not copied again."""
    monkeypatch.setattr(backfill, "SLICE_ROWS", 40)
    client = connect(old_database, database="")
    real, seen = client.command, []

    def failing(statement: str, **options: object) -> object:
        if statement.startswith("INSERT"):
            seen.append(statement)
            if len(seen) % 7 == 0:
                raise PostwatchError("cut off")
        return real(statement, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "command", failing)
    for _ in range(100):
        try:
            migrate(client, old_database)
            break
        except PostwatchError:
            insert(old_database, 2000, 10)
    else:
        raise AssertionError("it never ends")
    for table in TABLES:
        assert contents(old_database, table) == contents(old_database, table, made=True)
    assert len(set(seen)) < len(seen) < 3 * len(set(seen))
    assert migrate(client, old_database) == []


def test_an_insert_that_began_before_the_view_is_waited_for(old_database: ClickHouseSettings) -> None:
    """It writes without the view, and ends after the backfill would have read."""
    slow = (
        ROWS.format(first=5000, rows=4)
        .replace("number % 11 = 0", "sleepEachRow(0.7)")
        .replace("updated_at]", "queued_at]")
    )
    writer = threading.Thread(target=lambda: connect(old_database).command(slow, settings={"max_block_size": 1}))
    writer.start()
    time.sleep(0.5)
    migrate(connect(old_database, database=""), old_database)
    writer.join()
    for table in TABLES:
        assert contents(old_database, table) == contents(old_database, table, made=True)
    assert len(contents(old_database, "delivery_states")) == 504


def test_on_a_cluster_all_shards_are_read_and_written() -> None:
    place = Place("mail", 30, "all")
    for migration in read_migrations():
        for one in migration.backfills(place):
            assert one.source == "mail.deliveries"
            assert one.target in {"mail.delivery_states", "mail.delivery_events", "mail.delivery_hops"}
            assert "_local" not in one.statement("2026-11-23", 0, 1)
