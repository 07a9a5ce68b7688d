"""Makes an index for the rows that were there before it, a week at a time.

What is inserted or merged after the index was added has it. A run that was cut off goes on behind the last week that it
finished; to make one again does no harm. Searches are right without it, and slower.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from clickhouse_connect.driver.client import Client
from postwatch.deploy.cluster_ddl import run_everywhere
from postwatch.producers.service.errors import PostwatchError

log = structlog.get_logger()

WEEK_SECONDS = 3600.0
"""How long to wait for a week: then ClickHouse goes on with it by itself, and the next one begins."""
_POLL_SECONDS = 0.5
_MARK = re.compile(r"^-- Materialized by week$", re.MULTILINE)
_TABLE = re.compile(r"ALTER TABLE (\w+)\.(\w+)")
_INDEX = re.compile(r"ADD INDEX IF NOT EXISTS (\w+)")


@dataclass(frozen=True, slots=True)
class OldIndexes:
    """The indexes that one statement adds to a table."""

    database: str
    table: str
    indexes: tuple[str, ...]
    cluster: str = ""

    @property
    def target(self) -> str:
        return f"{self.database}.{self.table}"

    @property
    def _stored(self) -> str:
        return f"{self.table}_local" if self.cluster else self.table

    def statement(self, week: str) -> str:
        """All of them in one pass over the week, on every shard."""
        where = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
        changes = ", ".join(f"MATERIALIZE INDEX {index} IN PARTITION '{week}'" for index in self.indexes)
        return f"ALTER TABLE {self.database}.{self._stored}{where} {changes}"

    def run(self, client: Client, done: frozenset[str]) -> Iterator[str]:
        """Each week that is not done, the newest first, for it is searched most; yields it when it is."""
        weeks = f"SELECT DISTINCT toString(toMonday(queued_at)) AS week FROM {self.target} ORDER BY week DESC"
        for (week,) in client.query(weeks).result_rows:
            if week in done:
                continue
            run_everywhere(client, self.statement(str(week)))
            self._wait(client, str(week))
            yield str(week)

    def _wait(self, client: Client, week: str) -> None:
        """Raises PostwatchError where ClickHouse says that it can't."""
        system = f"clusterAllReplicas('{self.cluster}', system.mutations)" if self.cluster else "system.mutations"
        running = (
            f"SELECT count(), max(latest_fail_reason) FROM {system} WHERE database = '{self.database}'"
            f" AND table = '{self._stored}' AND NOT is_done AND command LIKE '%MATERIALIZE INDEX%'"
        )
        deadline = time.monotonic() + WEEK_SECONDS
        while time.monotonic() < deadline:
            ((number, reason),) = client.query(running).result_rows
            if not number:
                log.info("week_indexed", table=self.target, week=week)
                return
            if reason:
                raise PostwatchError(f"the indexes of {self.target} can't be made for the week of {week}: {reason}")
            time.sleep(_POLL_SECONDS)
        log.warning("week_is_still_indexed", table=self.target, week=week, seconds=WEEK_SECONDS)


def find_old_indexes(statement: str, cluster: str) -> OldIndexes | None:
    """What the comment above a statement that adds indexes, of one server, demands."""
    table = _TABLE.search(statement)
    if table is None or not _MARK.search(statement):
        return None
    return OldIndexes(table[1], table[2], tuple(_INDEX.findall(statement)), cluster)
