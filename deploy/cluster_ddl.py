"""Runs a statement on every server of a cluster, and returns when all of them have run it.

ClickHouse waits for `distributed_ddl_task_timeout`, answers TIMEOUT_EXCEEDED (159), and the servers go on in the
background. So that answer says nothing of what became of the statement: `system.distributed_ddl_queue` does. Where it
does not exist or may not be read, the statement is given once more, which waits again. So it must be one that may run
twice; Postwatch has no others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from postwatch.producers.service.errors import PostwatchError, UnavailableError

log = structlog.get_logger()

TIMEOUT_EXCEEDED = 159
ANSWER_WITHIN_SECONDS = 30
"""Shorter than any client's or proxy's own timeout, so that 159 comes and not a connection that is cut."""
LATE_AFTER_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_TELL_EVERY_SECONDS = 60.0
_ENTRY = re.compile(r"\bquery-\d{6,}\b")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the slowest server, and by which clock."""

    seconds: float = LATE_AFTER_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def pauses(self) -> Iterator[None]:
        """Before each next look a longer pause."""
        seconds = _FIRST_PAUSE_SECONDS
        while True:
            yield
            self.sleep(seconds)
            seconds = min(2 * seconds, _LONGEST_PAUSE_SECONDS)


def run_everywhere(
    client: Client,
    statement: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    patience: Patience | None = None,
) -> None:
    """Raises UnavailableError where a server has not run it in time, PostwatchError where it failed on one.

    Without ON CLUSTER in the statement it is simply run.
    """
    patience = patience or Patience()
    settings = dict(settings or {})
    if " ON CLUSTER " in statement:
        # The whole answer at once: else an error that comes late stands in the body of a good one.
        settings |= {"distributed_ddl_task_timeout": ANSWER_WITHIN_SECONDS, "wait_end_of_query": 1}
    deadline = patience.clock() + patience.seconds
    for _ in patience.pauses():
        try:
            client.command(statement, parameters=dict(parameters or {}), settings=settings)
            return
        except DatabaseError as error:
            if error.code != TIMEOUT_EXCEEDED or " ON CLUSTER " not in statement:
                raise
            words = str(error)
        entry = _ENTRY.search(words)
        if entry and _await_entry(client, statement, entry[0], deadline, patience):
            return
        if patience.clock() >= deadline:
            raise _late(statement, entry[0] if entry else "", (), patience)


def _await_entry(client: Client, statement: str, entry: str, deadline: float, patience: Patience) -> bool:
    """Wait until every server has run this entry of the queue; False: the queue does not tell."""
    told_at = patience.clock()
    for _ in patience.pauses():
        found = _ask(client, entry)
        if not found:
            return False
        if failed := [(host, words) for host, _, words in found if words]:
            host, words = failed[0]
            raise PostwatchError(f"{host} could not run it: {' '.join(words.split())[:300]}")
        waiting = [host for host, status, _ in found if status != "Finished"]
        if not waiting:
            return True
        now = patience.clock()
        if now >= deadline:
            raise _late(statement, entry, waiting, patience)
        if now - told_at >= _TELL_EVERY_SECONDS:
            told_at = now
            log.info("cluster_statement_runs", entry=entry, waiting_for=waiting[:_SHOWN])
    return False


def _ask(client: Client, entry: str) -> Sequence[tuple[str, str, str]]:
    """(host, status, what went wrong there) of each server; empty where the queue can't be asked."""
    query = (
        "SELECT concat(ifNull(host, ''), ':', toString(ifNull(port, 0))), toString(ifNull(status, 'Unknown')),"
        " if(ifNull(exception_code, 0) = 0, '', ifNull(exception_text, 'unknown'))"
        " FROM system.distributed_ddl_queue WHERE entry = {entry:String} ORDER BY host, port"
    )
    try:
        rows = client.query(query, parameters={"entry": entry}).result_rows
    except DatabaseError:
        return ()
    return [(str(host), str(status), str(words)) for host, status, words in rows]


def _late(what: str, entry: str, waiting: Sequence[str], patience: Patience) -> UnavailableError:
    hosts = f"{', '.join(waiting[:_SHOWN])} has" if waiting else "a server of the cluster has"
    where = f"entry {entry} of system.distributed_ddl_queue" if entry else "system.distributed_ddl_queue"
    return UnavailableError(
        f"{hosts} not run {' '.join(what.split())[:80]!r} after {patience.seconds / 60:g} min; it may still run later: "
        f"see {where}, mend that server or take it out of the cluster, then run this again"
    )
