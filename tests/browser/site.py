"""`postwatch serve` as a process of its own over a filled table, as a provider runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.deploy.embedded.worker import Worker
from postwatch.deploy.migrate import migrate
from postwatch.producers.record import Heartbeat
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.heartbeat import decode_heartbeat, encode_heartbeat
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.settings import ClickHouseSettings

from tests.browser.joined_rows import golden_log_rows, hostile_rows, simulated_rows


class Filled(NamedTuple):
    """A database and the rows that were put into it."""

    settings: ClickHouseSettings
    rows: list[Outcome]
    now_ms: int


class Site(NamedTuple):
    """A server that answers, and what it is over."""

    address: str
    """Without a slash at its end."""
    table: Filled
    worker: Worker


def fill(engine: EmbeddedClickHouse, database: str) -> Filled:
    """A migrated database with all rows of joined_rows.py, and a heartbeat of each server."""
    settings = replace(engine.settings, database=database)
    migrate(connect(settings, database=""), settings)
    now_ms = time.time_ns() // 1_000_000
    rows = [*simulated_rows(now_ms), *golden_log_rows(now_ms), *hostile_rows(now_ms)]
    filled = Filled(settings, [], now_ms)
    insert(filled, rows)
    beat = Heartbeat(now_ms, now_ms - 1000, 0, 2, "0.1.0")
    beats = [decode_heartbeat(encode_heartbeat(server, beat)) for server in sorted({row.server for row in rows})]
    connect(settings).insert_arrow("servers", pa.concat_tables(beats))
    return filled


def insert(table: Filled, rows: Sequence[Outcome]) -> None:
    """Puts rows into the table, and among those that tests of a later module know."""
    connect(table.settings).insert_arrow("deliveries", pa.Table.from_batches([to_batch(rows)]))
    table.rows.extend(rows)


def open_site(table: Filled, folder: Path, settings: Mapping[str, str] | None = None) -> Site:
    """Starts the server and waits until it answers; `worker.kill()` ends it."""
    port = choose_port()
    environment = {
        "POSTWATCH_CLICKHOUSE_URL": table.settings.url,
        "POSTWATCH_CLICKHOUSE_USER": table.settings.user,
        "POSTWATCH_CLICKHOUSE_PASSWORD": table.settings.password,
        "POSTWATCH_CLICKHOUSE_DATABASE": table.settings.database,
        "POSTWATCH_QUERY_LISTEN": f"{LOOPBACK}:{port}",
        **(settings or {}),
    }
    worker = Worker("serve", environment, folder / "serve.log", health=(LOOPBACK, port))
    worker.start()
    return Site(f"http://{LOOPBACK}:{port}", table, worker)
