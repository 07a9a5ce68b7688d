"""Runs the SELECTs of the reports on ClickHouse, with limits on time, size and concurrency, from any thread.

Every failure is raised as an error of query/errors.py, or as UnavailableError, with the remedy, and is counted.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from postwatch.producers.service.errors import PostwatchError, UnavailableError
from postwatch.producers.service.outages import OutageLog
from postwatch.query import statements
from postwatch.query.errors import (
    BusyError,
    NotMigratedError,
    QueryError,
    TooLargeError,
    TooManyRowsError,
    TooMuchMemoryError,
)
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Read, Row, Statement
from postwatch.query.turns import Turns
from postwatch.query.viewer import ENGINEER
from postwatch.streams.clickhouse.client import connect, unavailable
from postwatch.streams.clickhouse.error_codes import (
    MEMORY_LIMIT_EXCEEDED,
    QUERY_TOO_LARGE,
    TABLES_MISSING,
    TOO_LONG,
    TOO_MANY_QUERIES,
    TOO_MANY_ROWS,
)
from postwatch.streams.settings import ClickHouseSettings
from prometheus_client import Counter, Histogram
from urllib3.exceptions import HTTPError

_STATEMENTS = Counter("postwatch_query_statements_total", "Statements sent to ClickHouse, by result.", ["end"])
_SECONDS = Histogram("postwatch_query_statement_seconds", "Duration of a statement, without the wait before it.")

_ANSWER_SECONDS = 5
"""On top of the query's own limit, so that ClickHouse cancels a slow query before the client gives up."""
MAX_RESULT_ROWS = 20_000
MAX_RESULT_BYTES = 256 * 1024 * 1024


class TableReader:
    """Reads the tables for the reports. Connects at the first question, and again if that failed."""

    def __init__(self, query_settings: QuerySettings, clickhouse_settings: ClickHouseSettings) -> None:
        self._query_settings = query_settings
        self._clickhouse_settings = clickhouse_settings
        self._client: Client | None = None
        self._connecting = threading.Lock()
        self._turns = Turns(query_settings.max_queries, query_settings.timeout_seconds)
        self._server_settings = statements.SETTINGS | {
            "max_execution_time": query_settings.timeout_seconds,
            "max_memory_usage": query_settings.max_memory_mib * 1024**2,
            "max_result_rows": MAX_RESULT_ROWS,
            "max_result_bytes": MAX_RESULT_BYTES,
            "result_overflow_mode": "throw",
        }

    def __call__(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """The statement's rows."""
        own = statement.viewer is ENGINEER  # where there is no log-in, and what the server has to know for itself
        try:
            with self._turns.turn("" if own else statement.viewer.name), _SECONDS.time():
                result = self._connected().query(
                    statement.sql, parameters=statement.parameters, settings=self._server_settings
                )
            rows: Sequence[Sequence[Any]] = result.result_rows
        except (ClickHouseError, HTTPError, OSError) as error:
            raise _counted(self._explain(error)) from error
        except PostwatchError as error:
            raise _counted(error) from error.__cause__
        _STATEMENTS.labels("answered").inc()
        return rows

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                # Without a database: if it is missing, the statement finds out, and the error says so.
                self._client = connect(
                    self._clickhouse_settings,
                    timeout_seconds=self._query_settings.timeout_seconds + _ANSWER_SECONDS,
                    database="",
                )
            return self._client

    def _explain(self, error: Exception) -> PostwatchError:
        code = getattr(error, "code", None)
        settings = self._clickhouse_settings
        if code is None:
            return unavailable(settings, error)
        if code in TABLES_MISSING:
            return NotMigratedError(
                f"database {settings.database!r} at {settings.url} lacks Postwatch's tables; run `postwatch migrate`"
            )
        if code in QUERY_TOO_LARGE:
            return self._limit_met(code)
        if code in TOO_MANY_QUERIES:
            return BusyError("ClickHouse runs too many queries already; try again soon")
        return QueryError(f"ClickHouse at {settings.url} refused the query: {_first_line(error)}")

    def _limit_met(self, code: int) -> TooLargeError:
        own = self._query_settings
        if code == MEMORY_LIMIT_EXCEEDED:
            return TooMuchMemoryError(
                f"the report needs more memory than {own.max_memory_mib} MiB; ask for fewer days or for one recipient,"
                " or raise POSTWATCH_QUERY_MAX_MEMORY_MIB"
            )
        if code in TOO_LONG:
            return TooLargeError(
                f"the report took longer than {own.timeout_seconds:g} s; ask for fewer days or for one recipient,"
                " or raise POSTWATCH_QUERY_TIMEOUT_SECONDS"
            )
        kind = TooManyRowsError if code == TOO_MANY_ROWS else TooLargeError
        return kind("the report is too large; ask for fewer days or for one recipient")


_ENDS = {
    NotMigratedError: "not_migrated",
    TooLargeError: "too_large",
    TooMuchMemoryError: "too_much_memory",
    TooManyRowsError: "too_many_rows",
    BusyError: "busy",
    QueryError: "refused",
}


def _counted(error: PostwatchError) -> PostwatchError:
    _STATEMENTS.labels(_ENDS.get(type(error), "unavailable")).inc()
    return error


def _first_line(error: Exception, most: int = 300) -> str:
    return (str(error).splitlines() or [""])[0][:most]


class WatchedReader:
    """A reader that logs when ClickHouse goes away and comes back, instead of each question that fails."""

    def __init__(self, read: Read, outage: OutageLog) -> None:
        self._read = read
        self._outage = outage

    def __call__(self, statement: Statement) -> Sequence[Row]:
        try:
            rows = self._read(statement)
        except BusyError:
            raise
        except UnavailableError as error:
            self._outage.away(str(error))
            raise
        self._outage.back()
        return rows
