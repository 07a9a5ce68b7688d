"""Roles, limits and row policies in ClickHouse: the numbered files of `deploy/clickhouse/access`.

Each statement may run again without harm, and all of them run each time: who removed a right gets it back. Users and
their passwords are the administrator's, never Postwatch's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from postwatch.deploy.cluster_ddl import run_everywhere
from postwatch.deploy.migrate import Place
from postwatch.producers.service.errors import PostwatchError
from postwatch.streams.clickhouse.error_codes import explain

_TABLE = re.compile(r"\b\w+\.(?:deliveries|servers|arrivals|delivery_states|delivery_events)\b")
ROLES = ("postwatch_writer", "postwatch_migrator", "postwatch_reports", "postwatch_dashboards", "postwatch_customer")


def access_statements(place: Place) -> Iterator[tuple[str, str]]:
    """File and statement, in order."""
    folder = files("postwatch.deploy.clickhouse.access")
    for entry in sorted((one for one in folder.iterdir() if one.name.endswith(".sql")), key=lambda one: one.name):
        text = "\n".join(line for line in entry.read_text().splitlines() if not line.startswith("--"))
        text = text.replace("{database}", place.database).replace("{on_cluster}", place.on_cluster)
        for statement in filter(None, map(str.strip, text.split(";\n"))):
            for one in _on_shards(statement.removesuffix(";"), place):
                yield entry.name, one


def _on_shards(statement: str, place: Place) -> Iterator[str]:
    """On a cluster what a Distributed table needs is needed on the table below it too."""
    yield statement
    if place.cluster and (below := _TABLE.sub(r"\g<0>_local", statement)) != statement:
        yield re.sub(r"(POLICY IF NOT EXISTS \w+)", r"\1_local", below)


def grant_access(client: Client, place: Place) -> list[str]:
    """Returns a line for each file. Raises PostwatchError that names the file, the statement and the remedy."""
    done: dict[str, int] = {}
    for name, statement in access_statements(place):
        try:
            run_everywhere(client, statement)
        except DatabaseError as error:
            begin = " ".join(statement.split())[:80]
            raise PostwatchError(
                f"{name} stopped at {begin!r}: {explain(0, str(error))}; run `postwatch migrate --access` as a user of "
                "ClickHouse that may manage access"
            ) from error
        done[name] = done.get(name, 0) + 1
    return [f"access: {count} statements of {name}" for name, count in done.items()]
