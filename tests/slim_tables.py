"""What the tables in the order of time should have: what their views make of the newest rows."""

from __future__ import annotations

from collections.abc import Iterator

from postwatch.deploy.migrate import Place, read_migrations
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings


def differences(place: ClickHouseSettings) -> Iterator[tuple[str, str, tuple[object, ...]]]:
    """Table, 'missing' or 'unexpected', and the row."""
    client = connect(place)
    schema = Place(place.database, place.retention_days)
    for one in (found for migration in read_migrations() for found in migration.backfills(schema)):
        made = one.select.replace(f"FROM {one.source}\n", f"FROM {one.source} FINAL\n")
        made = made.replace(f"FROM {one.source} AS stored", f"FROM {one.source} AS stored FINAL")
        made = f"{made} FINAL" if made.endswith(f"FROM {one.source}") else made
        stored = f"SELECT * FROM {one.target} FINAL"
        for kind, rows in (
            ("missing", f"({made}) EXCEPT DISTINCT ({stored})"),
            ("unexpected", f"({stored}) EXCEPT DISTINCT ({made})"),
        ):
            for row in client.query(f"SELECT * FROM ({rows}){_known(one.target)}").result_rows:
                yield one.target.partition(".")[2], kind, tuple(row)


def _known(target: str) -> str:
    """A row whose Message-ID was not known yet is no part of a message there: nothing is tied to it, so it may stay."""
    return " WHERE message != cityHash64('')" if target.endswith(".delivery_hops") else ""
