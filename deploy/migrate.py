"""Schema migrations: the numbered files of `deploy/clickhouse`, each applied once, in order.

Every statement may run twice without harm (IF NOT EXISTS), so two migrations at the same time end in the same schema.
The number of days is no migration: where the table's TTL differs from the setting it is altered.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from clickhouse_connect.driver.client import Client
from postwatch.producers.errors import PostwatchError, SettingsError
from postwatch.streams.settings import ClickHouseSettings

_NAME = re.compile(r"\d{4}_\w+\.sql")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEDGER = """
CREATE TABLE IF NOT EXISTS {database}.migrations
(name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = ReplacingMergeTree(applied_at) ORDER BY name
"""
_TTL_DAYS = re.compile(r"TTL .*?toIntervalDay\((\d+)\)")


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, settings: ClickHouseSettings) -> Iterator[str]:
        """The statements with the settings filled in."""
        text = self.text.replace("{database}", settings.database)
        text = text.replace("{retention_days}", str(settings.retention_days))
        for statement in text.split(";\n"):
            if any(line.strip() and not line.startswith("--") for line in statement.splitlines()):
                yield statement.strip().rstrip(";")


def read_migrations() -> list[Migration]:
    """All numbered files, in order."""
    folder = files("postwatch.deploy.clickhouse")
    found = [entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name)]
    return [Migration(entry.name, entry.read_text()) for entry in sorted(found, key=lambda entry: entry.name)]


def migrate(client: Client, settings: ClickHouseSettings) -> list[str]:
    """Bring the schema up to date; returns a line for each thing done. The client needs no database."""
    database = settings.database
    if not _IDENTIFIER.fullmatch(database):
        raise SettingsError(
            f"POSTWATCH_CLICKHOUSE_DATABASE={database!r} is not a database name: use letters, digits and _"
        )
    done: list[str] = []
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.command(_LEDGER.format(database=database))
    rows = client.query(f"SELECT name, checksum FROM {database}.migrations FINAL").result_rows
    applied = {str(name): str(checksum) for name, checksum in rows}
    for migration in read_migrations():
        known = applied.get(migration.name)
        if known == migration.checksum:
            continue
        if known is not None:
            raise PostwatchError(
                f"{migration.name} was applied to {database} with another text: "
                "a migration is never edited, add a new one instead"
            )
        for statement in migration.statements(settings):
            client.command(statement)
        client.insert(
            "migrations", [[migration.name, migration.checksum]], column_names=["name", "checksum"], database=database
        )
        done.append(f"applied {migration.name}")
    done += _retain(client, settings)
    return done


def _retain(client: Client, settings: ClickHouseSettings) -> list[str]:
    query = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = 'deliveries'"
    rows = client.query(query, parameters={"database": settings.database}).result_rows
    found = _TTL_DAYS.search(str(rows[0][0])) if rows else None
    days = settings.retention_days
    if found is None or int(found[1]) == days:
        return []
    client.command(
        f"ALTER TABLE {settings.database}.deliveries MODIFY TTL toDateTime(queued_at) + INTERVAL {days} DAY DELETE"
    )
    return [f"rows are now kept for {days} days instead of {found[1]}"]
