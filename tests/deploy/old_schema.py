"""A database as it was before a migration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import migrate, read_migrations
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings


@contextmanager
def schema_before(
    name: str, clickhouse: EmbeddedClickHouse, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClickHouseSettings]:
    """Its tables are made by the migrations before the one of that name; it is dropped afterwards."""
    settings = replace(clickhouse.settings, database=f"before{time.monotonic_ns()}")
    older = [migration for migration in read_migrations() if migration.name < name]
    with monkeypatch.context() as patch:
        patch.setattr("postwatch.deploy.migrate.read_migrations", lambda: older)
        patch.setattr("postwatch.deploy.migrate._make_key", lambda *_: None)  # there was no table for one
        migrate(connect(settings, database=""), settings)
    yield settings
    connect(settings).command(f"DROP DATABASE {settings.database}")
