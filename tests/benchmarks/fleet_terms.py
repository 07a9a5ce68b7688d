"""The search of the whole fleet, as the box on every page asks it: rare and common values of each kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from postwatch.query.reader import TableReader
from postwatch.query.report_service import ReportService
from postwatch.query.reports.search import REPORT
from postwatch.query.reports.search_question import SearchQuestion
from postwatch.query.reports.trace import REPORT as TRACE
from postwatch.query.reports.trace import TraceQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Delivery
from postwatch.query.viewer import ENGINEER
from postwatch.query.web.columns import read_fields
from postwatch.query.web.found import found_columns
from postwatch.query.web.list_choice import ListChoice
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.benchmarks.fleet_rows import TIMEOUT_SECONDS

_RARE = {
    "queue-id": "queue_id",
    "message-id": "message_id",
    "address": "recipient",
    "domain": "splitByChar('@', recipient)[2]",
    "ip": "client_ip",
    "host": "remote_host",
}
_IS_RARE = "recipient NOT LIKE 'orders%' AND client_ip LIKE '172.%' AND remote_ip NOT LIKE '203.%'"
COMMON = {
    "address": ("orders@p0.example", "orders@p7.example", "user0@d0.example"),
    "domain": ("d0.example", "p3.example"),
    "ip": ("203.0.113.0", "203.0.113.9"),
    "host": ("mx0.p0.example", "isp7.example"),
}
_FIELDS = read_fields(found_columns(ENGINEER, ListChoice()))
"""What the page reads of each row."""


class Term(NamedTuple):
    name: str
    kind: str
    values: tuple[str, ...]


class FleetTerms:
    """Values to search for, and how long a search takes."""

    def __init__(self, place: ClickHouseSettings, now_ms: int, cpu_seconds: Callable[[], float]) -> None:
        settings = QuerySettings(timeout_seconds=TIMEOUT_SECONDS)
        reader = TableReader(settings, place)
        self._service = ReportService(reader, settings, place, JoinSettings(), lambda: now_ms)
        self._place = place
        self._cpu_seconds = cpu_seconds

    def terms(self) -> Iterator[Term]:
        client = connect(self._place, timeout_seconds=TIMEOUT_SECONDS)
        for kind, column in _RARE.items():
            sql = f"SELECT {column} FROM deliveries WHERE {_IS_RARE} ORDER BY cityHash64(queue_id) LIMIT 5"
            yield Term(f"a rare {kind}", kind, tuple(str(row[0]) for row in client.query(sql).result_rows))
        for kind, values in COMMON.items():
            yield Term(f"a common {kind}", kind, values)

    def page(self, question: SearchQuestion) -> Sequence[Delivery]:
        """The rows on the first page of a search."""
        return self._service.answer(ENGINEER, REPORT, question, _FIELDS).rows

    def trace(self, wanted: str) -> Sequence[Delivery]:
        """The rows that `postwatch trace` shows."""
        return self._service.answer(ENGINEER, TRACE, TraceQuestion(wanted)).rows

    def search(self, term: Term, number: int) -> tuple[float, float, int]:
        """The time of one search in ms, the CPU of the engine in ms, and the rows on its page."""
        question = SearchQuestion(term.values[number % len(term.values)], term.kind)
        before, started = self._cpu_seconds(), time.monotonic()
        rows = self.page(question)
        return (time.monotonic() - started) * 1000, (self._cpu_seconds() - before) * 1000, len(rows)
