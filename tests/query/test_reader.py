from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.outages import OutageLog
from postwatch.query.answers import public_words
from postwatch.query.errors import BusyError, NotMigratedError, QueryError, TooLargeError, TooMuchMemoryError
from postwatch.query.reader import MAX_RESULT_ROWS, TableReader, WatchedReader
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Statement
from postwatch.query.viewer import ENGINEER
from postwatch.streams.settings import ClickHouseSettings
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.query.conftest import Office, make_rows
from tests.waiting import wait_until

ONE = Statement(ENGINEER, "SELECT 1", {})
SLOW = Statement(ENGINEER, "SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number))", {})


def _count(end: str) -> float:
    return REGISTRY.get_sample_value("postwatch_query_statements_total", {"end": end}) or 0.0


@pytest.fixture
def reader(database: ClickHouseSettings) -> TableReader:
    return TableReader(QuerySettings(timeout_seconds=1, max_queries=1), database)


def test_rows_come_back_and_are_counted(reader: TableReader) -> None:
    before = _count("answered")
    assert list(reader(ONE)) == [(1,)]
    assert _count("answered") == before + 1


def test_clickhouse_away_is_told_with_the_remedy() -> None:
    before = _count("unavailable")
    reader = TableReader(QuerySettings(), ClickHouseSettings(url=f"http://127.0.0.1:{choose_port()}"))
    with pytest.raises(UnavailableError, match="start it, or set POSTWATCH_CLICKHOUSE_URL"):
        reader(ONE)
    assert _count("unavailable") == before + 1


def test_a_database_that_is_not_migrated_is_told_with_the_remedy(office: Office) -> None:
    office.settings = replace(office.settings, database="nowhere")
    with pytest.raises(NotMigratedError, match=r"'nowhere' at http.* run `postwatch migrate`"):
        office.report()
    with pytest.raises(NotMigratedError):
        office.service.servers()


def test_a_query_that_takes_too_long_is_ended(reader: TableReader) -> None:
    with pytest.raises(TooLargeError, match="took longer than"):
        reader(SLOW)
    assert list(reader(ONE)) == [(1,)]


def test_a_query_that_needs_too_much_memory_is_ended_and_says_so(office: Office) -> None:
    small = TableReader(QuerySettings(max_memory_mib=64), office.settings)
    many = Statement(ENGINEER, "SELECT uniqExact(number) FROM numbers(20000000)", {})
    with pytest.raises(TooMuchMemoryError, match="more memory than 64 MiB") as met:
        small(many)
    assert public_words(met.value).startswith("This report needs more memory than one report may have.")
    assert list(small(ONE)) == [(1,)]


def test_a_small_server_reads_with_all_its_cores(reader: TableReader) -> None:
    counted = "SELECT number % 7 AS k, count() FROM numbers_mt(10000000) GROUP BY k SETTINGS max_threads = 3"
    steps = [str(step) for (step,) in reader(Statement(ENGINEER, f"EXPLAIN PIPELINE {counted}", {}))]
    assert any("NumbersRange × 3" in step for step in steps), steps


def test_an_answer_is_bounded(reader: TableReader) -> None:
    with pytest.raises(TooLargeError):
        reader(Statement(ENGINEER, f"SELECT number FROM numbers({MAX_RESULT_ROWS * 5})", {}))


def test_another_refusal_is_passed_on(reader: TableReader) -> None:
    with pytest.raises(QueryError, match=r"refused the query: .*Code: 43"):
        reader(Statement(ENGINEER, "SELECT 'a' + 1", {}))


class SlowClient:
    """A ClickHouse that answers once it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def query(self, *_: object, **__: object) -> SimpleNamespace:
        self.asked.set()
        assert self.may_answer.wait(30)
        return SimpleNamespace(result_rows=[(1,)])


def test_questions_wait_for_their_turn_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    client = SlowClient()
    monkeypatch.setattr("postwatch.query.reader.connect", lambda *_, **__: client)
    reader = TableReader(QuerySettings(timeout_seconds=0.05, max_queries=1), ClickHouseSettings())
    first = threading.Thread(target=reader, args=(ONE,))
    first.start()
    assert client.asked.wait(30)
    before = _count("busy")
    with pytest.raises(BusyError, match="try again soon"):
        reader(ONE)
    assert _count("busy") == before + 1
    client.may_answer.set()
    first.join()
    assert list(reader(ONE)) == [(1,)]


def test_many_threads_share_a_reader(office: Office) -> None:
    office.insert(make_rows(10))
    service = office.service
    answers: list[int] = []

    def ask() -> None:
        answers.append(len(service.answer(ENGINEER, ACCOUNT, AccountQuestion("bob@example.org")).rows))

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answers) == 24, "every thread has its answer")
    for thread in threads:
        thread.join()
    assert set(answers) == {10}


def test_an_outage_is_logged_once_and_so_is_its_end() -> None:
    told = UnavailableError("ClickHouse does not answer; start it, or set POSTWATCH_CLICKHOUSE_URL")
    ends: list[Exception | None] = [
        None,
        told,
        told,
        NotMigratedError("run `postwatch migrate`"),
        BusyError("busy"),
        None,
    ]

    def read(_statement: Statement) -> list[tuple[int]]:
        if error := ends.pop(0):
            raise error
        return [(1,)]

    watched = WatchedReader(read, OutageLog("clickhouse", Health()))
    with capture_logs() as logged:
        assert watched(ONE) == [(1,)]
        for expected in (UnavailableError, UnavailableError, NotMigratedError, BusyError):
            with pytest.raises(expected):
                watched(ONE)
        assert watched(ONE) == [(1,)]
    assert [one["event"] for one in logged] == ["clickhouse_away", "clickhouse_back"]
    assert logged[0]["reason"] == str(told)
