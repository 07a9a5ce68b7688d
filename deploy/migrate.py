"""Schema migrations: the numbered files of `deploy/clickhouse`, each applied once, in order.

Every statement may run twice without harm (IF NOT EXISTS), so two migrations at the same time end in the same schema.
The number of days is no migration: where the table's TTL differs from the setting it is altered.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from postwatch.deploy.backfill import Backfill, find_backfill, wait_for_old_inserts
from postwatch.deploy.cluster import UnknownStatementError, spread
from postwatch.deploy.cluster_ddl import run_everywhere
from postwatch.deploy.old_indexes import OldIndexes, find_old_indexes
from postwatch.producers.service.errors import PostwatchError, SettingsError, UnavailableError
from postwatch.streams.clickhouse.error_codes import explain
from postwatch.streams.settings import ClickHouseSettings

_NAME = re.compile(r"\d{4}_\w+\.sql")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLUSTER = re.compile(r"[A-Za-z0-9_.-]+")
_LEDGER = """
CREATE TABLE IF NOT EXISTS {database}.migrations{on_cluster}
(name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = {engine} ORDER BY name
"""
# Every server of a cluster is a replica of the one table of migrations, whatever its shard.
_CLUSTER_LEDGER = (
    "ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/migrations', '{shard}-{replica}', applied_at)"
)
_TTL = {
    "deliveries": "updated_at",
    "delivery_states": "updated_at",
    "delivery_events": "at",
    "delivery_hops": "updated_at",
}
"""The tables that are kept for the days set, and the time from which these count."""
_ROW_KEY_BYTES = 32
_TTL_DAYS = re.compile(r"TTL toDateTime\(\w+\).*?toIntervalDay\((\d+)\)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tables are: a database, on one server or on all of a cluster. Raises SettingsError for odd names."""

    database: str
    retention_days: int
    cluster: str = ""

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.database):
            raise SettingsError(
                f"POSTWATCH_CLICKHOUSE_DATABASE={self.database!r} is not a database name: use letters, digits and _"
            )
        if self.cluster and not _CLUSTER.fullmatch(self.cluster):
            raise SettingsError(
                f"--cluster {self.cluster!r} is not the name of a cluster: use letters, digits, _, . and -"
            )

    @property
    def on_cluster(self) -> str:
        return f" ON CLUSTER '{self.cluster}'" if self.cluster else ""

    def stored(self, table: str) -> str:
        """The table that has the rows of this one, and their TTL."""
        return f"{table}_local" if self.cluster else table

    def preparations(self) -> list[str]:
        engine = _CLUSTER_LEDGER if self.cluster else "ReplacingMergeTree(applied_at)"
        ledger = _LEDGER.replace("{engine}", engine).replace("{on_cluster}", self.on_cluster)
        return [
            f"CREATE DATABASE IF NOT EXISTS {self.database}{self.on_cluster}",
            ledger.replace("{database}", self.database),
        ]


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, place: Place) -> list[str]:
        """The statements with the place filled in. Raises UnknownStatementError that names file and statement."""
        found: list[str] = []
        for number, statement in self._numbered(place):
            try:
                found += spread(statement, place.cluster) if place.cluster else [statement]
            except UnknownStatementError as error:
                raise UnknownStatementError(f"{self.name}, statement {number}: {error}") from error
        return found

    def backfills(self, place: Place) -> list[Backfill]:
        """What is to be copied when the statements are through."""
        return [found for _, statement in self._numbered(place) if (found := find_backfill(statement))]

    def old_indexes(self, place: Place) -> list[OldIndexes]:
        """What is to be made for older rows then."""
        return [
            found for _, statement in self._numbered(place) if (found := find_old_indexes(statement, place.cluster))
        ]

    def _numbered(self, place: Place) -> Iterator[tuple[int, str]]:
        text = self.text.replace("{database}", place.database).replace("{retention_days}", str(place.retention_days))
        whole = [
            statement.strip().rstrip(";")
            for statement in text.split(";\n")
            if any(line.strip() and not line.startswith("--") for line in statement.splitlines())
        ]
        yield from enumerate(whole, 1)


def read_migrations() -> list[Migration]:
    """All numbered files, in order."""
    folder = files("postwatch.deploy.clickhouse")
    found = [entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name)]
    return [Migration(entry.name, entry.read_text()) for entry in sorted(found, key=lambda entry: entry.name)]


def migrate(client: Client, settings: ClickHouseSettings, cluster: str = "") -> list[str]:
    """Bring the schema up to date; returns a line for each thing done. The client needs no database."""
    place = Place(settings.database, settings.retention_days, cluster)
    for statement in place.preparations():
        run_everywhere(client, statement)
    done = [*_apply(client, place), *_retain(client, place)]
    _make_key(client, place)
    return done


def _apply(client: Client, place: Place) -> Iterator[str]:
    rows = client.query(f"SELECT name, checksum FROM {place.database}.migrations FINAL").result_rows
    applied = {str(name): str(checksum) for name, checksum in rows}
    missing = [migration for migration in read_migrations() if applied.get(migration.name) != migration.checksum]
    for migration in missing:
        if migration.name in applied:
            raise PostwatchError(
                f"{migration.name} was applied to {place.database} with another text: "
                "a migration is never edited, add a new one instead"
            )
        migration.statements(place)  # what can't be applied is found before the first one is
    for migration in missing:
        for number, statement in enumerate(migration.statements(place), 1):
            _run(client, statement, f"{migration.name} stopped at statement {number}")
        _backfill(client, place, migration, applied)
        _note(client, place, migration.name, migration.checksum)
        yield f"applied {migration.name}"


def _run(client: Client, statement: str, stopped: str) -> None:
    """On all servers; `stopped` begins the sentence of what went wrong."""
    try:
        run_everywhere(client, statement)
    except UnavailableError as error:
        raise UnavailableError(f"{stopped}: {error}") from error
    except (PostwatchError, DatabaseError) as error:
        why = explain(0, str(error)) if isinstance(error, DatabaseError) else error
        raise PostwatchError(f"{stopped}: {why}; mend the cause, then run `postwatch migrate` again") from error


def _backfill(client: Client, place: Place, migration: Migration, applied: Mapping[str, str]) -> None:
    """Each finished week is noted under the name of the migration and the table, for a run that goes on."""
    backfills = migration.backfills(place)
    if backfills:
        wait_for_old_inserts(client, place.cluster, time.monotonic())
    works: list[Backfill | OldIndexes] = [*backfills, *migration.old_indexes(place)]
    for work in works:
        prefix = f"{migration.name} {work.target} "
        done = frozenset(name.removeprefix(prefix) for name in applied if name.startswith(prefix))
        for week in work.run(client, done):
            _note(client, place, f"{prefix}{week}", migration.checksum)


def _note(client: Client, place: Place, name: str, checksum: str) -> None:
    client.insert("migrations", [[name, checksum]], column_names=["name", "checksum"], database=place.database)


def _make_key(client: Client, place: Place) -> None:
    """The secret of the ids of deliveries. Of two that are made at once, both are used."""
    [[keys]] = client.query(f"SELECT count() FROM {place.database}.row_id_keys").result_rows
    if not keys:
        client.insert(
            place.stored("row_id_keys"),  # at once, where the other would send it on later
            [[secrets.token_hex(_ROW_KEY_BYTES)]],
            column_names=["secret"],
            database=place.database,
        )


def _retain(client: Client, place: Place) -> Iterator[str]:
    query = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"
    days, former = place.retention_days, ""
    for table, column in _TTL.items():
        stored = place.stored(table)
        rows = client.query(query, parameters={"database": place.database, "table": stored}).result_rows
        found = _TTL_DAYS.search(str(rows[0][0])) if rows else None
        if found is None or int(found[1]) == days:
            continue
        run_everywhere(
            client,
            f"ALTER TABLE {place.database}.{stored}{place.on_cluster} "
            f"MODIFY TTL toDateTime({column}) + INTERVAL {days} DAY DELETE",
        )
        former = former or found[1]
    if former:
        yield f"rows are now kept for {days} days instead of {former}"
