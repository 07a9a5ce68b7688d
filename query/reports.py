"""The reports: what became of an account's mail, one message's trace, and each server's last sign of life.

Pure but for the reading of rows, which is handed in. A report shows each row once and in its last version, newest
first, never a row older than the days asked for, and never more than its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from postwatch.query import statements
from postwatch.query.errors import FilterError
from postwatch.query.filters import Position, ReportFilters, SystemUser, clean_text, encode_cursor
from postwatch.query.statements import Span, Statement
from postwatch.streams.contracts.outcome import Attempt, Outcome

Row = Sequence[Any]
Read = Callable[[Statement], Sequence[Row]]
"""Runs a statement and returns its rows. Raises the errors of query/errors.py."""

DAY_MS = 24 * 60 * 60 * 1000
NEAR_DAYS = 2
"""The newest rows are looked for in so many days before they are in all: a busy account has its page in them."""
MAX_TRACE_ROWS = 200
MAX_SERVERS = 10_000
STALE_AFTER_MS = 60_000
_MAX_SOUGHT_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One page of an account's mail."""

    filters: ReportFilters
    since_ms: int
    rows: tuple[Outcome, ...]
    next_cursor: str
    """Asks for the next page; empty: this is the last."""


@dataclass(frozen=True, slots=True)
class TraceReport:
    """All rows of a queue id, Message-ID or recipient, newest first."""

    wanted: str
    since_ms: int
    rows: tuple[Outcome, ...]
    has_more: bool
    """There are older rows than the MAX_TRACE_ROWS shown."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server's newest heartbeat, and what to think of it."""

    server: str
    sent_ms: int
    last_line_ms: int
    """When its shipper read a line for the last time; 0: never yet."""
    lag_bytes: int
    files: int
    shipper_version: str
    age_ms: int
    is_stale: bool


@dataclass(frozen=True, slots=True)
class ServersReport:
    """Every server that was heard of within the days that mail is kept."""

    now_ms: int
    servers: tuple[ServerState, ...]

    def stale(self) -> tuple[ServerState, ...]:
        return tuple(server for server in self.servers if server.is_stale)


def account_report(read: Read, database: str, filters: ReportFilters, now_ms: int) -> AccountReport:
    """The page of rows that the filters ask for.

    In two steps, again and again until the page is full or the days are over: how far back the newest rows reach,
    which is cheap but counts old versions of rows too; then the rows since then in their last versions.
    """
    since_ms = now_ms - filters.days * DAY_MS
    if isinstance(filters.account, SystemUser):
        servers = tuple(server for (server,) in read(statements.server_names(database, since_ms)))
        filters = replace(filters, account=replace(filters.account, servers=servers))
    wanted = filters.limit + 1  # one more tells whether there is a next page
    sought = wanted + wanted // 4  # some are old versions
    until_ms: int | None = None
    rows: list[Outcome] = []
    while True:
        span = _newest_span(read, database, filters, Span(since_ms, until_ms), sought, now_ms)
        found = read(statements.newest_rows(database, filters, span, wanted - len(rows)))
        rows += map(decode_row, found)
        if len(rows) >= wanted or span.since_ms <= since_ms:
            break
        until_ms = span.since_ms
        sought = min(sought * 4, _MAX_SOUGHT_ROWS)
    page = tuple(rows[: filters.limit])
    return AccountReport(filters, since_ms, page, encode_cursor(Position.of(page[-1])) if len(rows) >= wanted else "")


def _newest_span(read: Read, database: str, filters: ReportFilters, whole: Span, sought: int, now_ms: int) -> Span:
    """The end of `whole` that has its newest `sought` rows, or all of it."""
    newest_ms = now_ms if whole.until_ms is None else whole.until_ms
    if filters.after:
        newest_ms = min(newest_ms, filters.after.queued_at)
    near = Span(newest_ms - NEAR_DAYS * DAY_MS, whole.until_ms)
    for span in (near, whole) if near.since_ms > whole.since_ms else (whole,):
        ((earliest_ms, count),) = read(statements.newest_bound(database, filters, span, sought))
        if count >= sought:
            return Span(earliest_ms, whole.until_ms)
    return whole


def trace_report(read: Read, database: str, text: str, retention_days: int, now_ms: int) -> TraceReport:
    """The rows of a queue id, a Message-ID (with or without its brackets) or a recipient."""
    wanted = clean_text(text, "id").removeprefix("<").removesuffix(">")
    if not wanted:
        raise FilterError("id is empty: give a queue id, a Message-ID or a recipient's address")
    since_ms = now_ms - retention_days * DAY_MS
    found = read(statements.trace_rows(database, wanted, since_ms, MAX_TRACE_ROWS + 1))
    rows = without_partial(map(decode_row, found[:MAX_TRACE_ROWS]))
    return TraceReport(wanted, since_ms, tuple(rows), has_more=len(found) > MAX_TRACE_ROWS)


def without_partial(rows: Iterable[Outcome]) -> list[Outcome]:
    """Rows but for those of no account whose whole row, of a known account, is among them."""
    rows = list(rows)
    whole = {(row.server, row.queue_id, row.recipient) for row in rows if row.account}
    return [row for row in rows if row.account or (row.server, row.queue_id, row.recipient) not in whole]


def servers_report(read: Read, database: str, retention_days: int, now_ms: int) -> ServersReport:
    """Each server's newest heartbeat; a server silent for longer than mail is kept is gone."""
    rows = read(statements.newest_heartbeats(database, now_ms - retention_days * DAY_MS, MAX_SERVERS))
    servers = []
    for server, sent_ms, last_line_ms, lag_bytes, files, version in rows:
        age_ms = max(now_ms - sent_ms, 0)  # a server's clock may be ahead
        stale = age_ms > STALE_AFTER_MS
        servers.append(ServerState(server, sent_ms, last_line_ms, lag_bytes, files, version, age_ms, stale))
    return ServersReport(now_ms, tuple(servers))


_ATTEMPTS = Outcome._fields.index("attempts")
_AFTER_ATTEMPTS = _ATTEMPTS + len(Attempt._fields)
_LOG_LINES = Outcome._fields.index("log_lines")


def decode_row(row: Row) -> Outcome:
    """A row of `statements.ROW_COLUMNS` → an Outcome."""
    attempts = tuple(Attempt(*parts) for parts in zip(*row[_ATTEMPTS:_AFTER_ATTEMPTS], strict=True))
    fields = [*row[:_ATTEMPTS], attempts, *row[_AFTER_ATTEMPTS:]]
    fields[_LOG_LINES] = tuple(fields[_LOG_LINES])
    return Outcome(*fields)
