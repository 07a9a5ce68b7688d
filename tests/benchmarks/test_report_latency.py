"""That the benchmark measures what it says: its rows are found by the questions that it asks."""

from __future__ import annotations

from postwatch.query.report_service import open_report_service
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.report_latency import fill, measure_report_latency


def test_the_made_up_rows_are_found(database: ClickHouseSettings) -> None:
    fill(database, 50_000)
    service = open_report_service(QuerySettings(), database)
    report = service.answer(ENGINEER, ACCOUNT, AccountQuestion("user0@d0.example"))
    assert len(report.rows) == 50
    assert report.next_cursor
    assert {row.status for row in report.rows} == {"delivered", "bounced"}
    assert report.rows[0].log_lines


def test_the_figures_are_those_of_the_questions(database: ClickHouseSettings) -> None:
    found = measure_report_latency(database, rows=1000, questions=20)
    assert found.busy.questions == found.quiet.questions == found.narrowed.questions == 20
    assert 0 < found.busy.p50_ms <= found.busy.p95_ms
