"""Fills a table that a materialized view feeds with the rows that were there before the view.

The view exists first, so each row comes by it, by the backfill or by both; tables that replace by key and version end
the same. A backfill that was cut off goes on behind the last week that it finished.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from clickhouse_connect.driver.client import Client

log = structlog.get_logger()

SLICE_ROWS = 500_000
"""Rows that one statement copies: it must end long before the client's timeout."""
_OLD_INSERTS_SECONDS = 120
"""How long to wait for inserts that began before the view was there: twice the timeout of the sink's."""
_MARK = re.compile(r"^-- Backfilled$", re.MULTILINE)
_VIEW = re.compile(r"CREATE MATERIALIZED VIEW IF NOT EXISTS \w+\.\w+\s+TO (\w+\.\w+)\s+AS\s(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Backfill:
    """What one view would have made of older rows."""

    target: str
    source: str
    select: str

    def statement(self, week: str, number: int, count: int) -> str:
        """Copies one of `count` slices of a week, replaced versions too: they lose there as here."""
        conditions = f"toMonday(queued_at) = '{week}'"
        if count > 1:
            conditions += f" AND cityHash64(account_domain) % {count} = {number}"
        return f"INSERT INTO {self.target} {self.select}\nWHERE {conditions}"

    def run(self, client: Client, done: frozenset[str]) -> Iterator[str]:
        """Copy each week that is not done; yields it when it is. Of a table without rows, nothing."""
        counts = f"SELECT toString(toMonday(queued_at)) AS week, count() FROM {self.source} GROUP BY week ORDER BY week"
        for week, rows in client.query(counts).result_rows:
            if week in done:
                continue
            slices = -(-int(rows) // SLICE_ROWS)
            for number in range(slices):
                client.command(self.statement(week, number, slices))
            log.info("week_backfilled", table=self.target, week=week, rows=rows)
            yield str(week)


def find_backfill(statement: str) -> Backfill | None:
    """The backfill that the comment above a view's statement, of one server, demands."""
    found = _VIEW.search(statement)
    if found is None or not _MARK.search(statement):
        return None
    target, select = found.groups()
    [source] = re.findall(r"\bFROM\s+(\w+\.\w+)", select)
    return Backfill(target, source, select)


def wait_for_old_inserts(client: Client, cluster: str, since: float) -> None:
    """Return when no insert runs that began before `since`, of time.monotonic: it does not know a view made then.

    An insert that runs for longer than any of the sink's is not waited for: its rows count as failed there.
    """
    processes = f"clusterAllReplicas('{cluster}', system.processes)" if cluster else "system.processes"
    deadline = since + _OLD_INSERTS_SECONDS
    while time.monotonic() < deadline:
        age = time.monotonic() - since
        running = f"SELECT count() FROM {processes} WHERE query_kind = 'Insert' AND elapsed > {age:.3f}"
        if not client.query(running).result_rows[0][0]:
            return
        time.sleep(0.5)
    log.warning("old_inserts_run", seconds=_OLD_INSERTS_SECONDS)
