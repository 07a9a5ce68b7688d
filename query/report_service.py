"""Where questions are asked: the reports bound to the settings, the tables and the clock.

The command line, the API and the page all ask here, so they can't disagree.
"""

from __future__ import annotations

from collections.abc import Callable

from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.filters import ReportFilters, read_filters
from postwatch.query.reader import TableReader
from postwatch.query.reports import (
    AccountReport,
    Read,
    ServersReport,
    TraceReport,
    account_report,
    servers_report,
    trace_report,
)
from postwatch.query.settings import QuerySettings
from postwatch.streams.settings import ClickHouseSettings


class ReportService:
    """Answers the three questions. Raises the errors of query/errors.py."""

    def __init__(
        self,
        read: Read,
        query_settings: QuerySettings,
        clickhouse_settings: ClickHouseSettings,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._read = read
        self._page_rows = query_settings.page_rows
        self._database = clickhouse_settings.database
        self.retention_days = clickhouse_settings.retention_days
        self.now_ms = now_ms

    def filters(
        self,
        account: str,
        days: int | None = None,
        recipient: str = "",
        status: str = "",
        limit: int | None = None,
        cursor: str = "",
        bounces: bool = False,
    ) -> ReportFilters:
        return read_filters(
            account,
            retention_days=self.retention_days,
            page_rows=self._page_rows,
            days=days,
            recipient=recipient,
            status=status,
            limit=limit,
            cursor=cursor,
            bounces=bounces,
        )

    def account(self, filters: ReportFilters) -> AccountReport:
        return account_report(self._read, self._database, filters, self.now_ms())

    def trace(self, wanted: str) -> TraceReport:
        return trace_report(self._read, self._database, wanted, self.retention_days, self.now_ms())

    def servers(self) -> ServersReport:
        return servers_report(self._read, self._database, self.retention_days, self.now_ms())


def open_report_service(query_settings: QuerySettings, clickhouse_settings: ClickHouseSettings) -> ReportService:
    """A service over the real tables. Does not connect yet."""
    return ReportService(TableReader(query_settings, clickhouse_settings), query_settings, clickhouse_settings)
