"""Rows, heartbeats and a service over the real engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from postwatch.producers.record import Heartbeat
from postwatch.query.letters import Letter, LettersFound
from postwatch.query.proofs.issuer import ProofIssuer
from postwatch.query.reader import TableReader
from postwatch.query.report_service import ReportService
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account import AccountMail
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.reports.report import Answered, Report
from postwatch.query.reports.trace import REPORT as TRACE
from postwatch.query.reports.trace import Trace, TraceQuestion
from postwatch.query.server import NO_PROOFS, create_app
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Delivery, Statement
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.heartbeat import decode_heartbeat, encode_heartbeat
from postwatch.streams.contracts.outcome import RESULTS, Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.query.serving import serving
from tests.waiting import PATIENCE

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
NOW_MS = time.time_ns() // 1_000_000
"""The table's own TTL goes by the real clock, so the tests' now must be near it."""


def make_row(**known: Any) -> Delivery:
    """A plain delivered message of bob@example.org, a minute old, but for what is given."""
    account = known.get("account", "bob@example.org")
    queued_at = known.get("queued_at", NOW_MS - MINUTE_MS)
    status = known.get("status", "delivered")
    fields: dict[str, Any] = {
        **Outcome()._asdict(),
        "account": account,
        "account_domain": account.rpartition("@")[2],
        "direction": "sent",
        "server": "web1",
        "queue_id": "1tABCD-00000000001-ABCD",
        "sender": account,
        "recipient": "alice@example.net",
        "size_bytes": 1024,
        "queued_at": queued_at,
        "updated_at": queued_at + 1500,
        "delay_ms": 1500,
        "status": status,
        "result": RESULTS.get(status, ""),
        "smtp_code": 250,
        "response": "250 OK",
        "version": 1,
    }
    return Delivery(**{**fields, **known})


def make_letter(**known: Any) -> Letter:
    """A line of web1 that nobody could read, a second old, but for what is given."""
    fields: dict[str, Any] = {
        "id": "0-0",
        "at_ms": NOW_MS - 1000,
        "reason": "line",
        "detail": "no queue id",
        "server": "web1",
        "file": "/var/log/maillog",
        "byte_offset": 4096,
        "topic": "",
        "partition": -1,
        "kafka_offset": -1,
        "line": "no sense",
        "size_bytes": 8,
    }
    return Letter(**{**fields, **known})


TEXT_FIELDS = [name for name, value in make_row()._asdict().items() if isinstance(value, str)]
"""Every field that a stranger may write into, and a few more."""


def make_rows(number: int, **known: Any) -> list[Delivery]:
    """So many rows, a minute apart, the newest first."""
    return [
        make_row(
            **{
                "queue_id": f"1tABCD-{index:011d}-ABCD",
                "queued_at": NOW_MS - (index + 1) * MINUTE_MS,
                "recipient": f"reader{index}@example.net",
                **known,
            }
        )
        for index in range(number)
    ]


@dataclass
class Office:
    """A service, the table behind it, and the clock it goes by."""

    settings: ClickHouseSettings
    client: Client
    now_ms: int = NOW_MS
    query_settings: QuerySettings = field(default_factory=QuerySettings)
    letters: list[Letter] = field(default_factory=list)
    """What lies in the topic of dead letters: tests/query/test_dead_letters.py reads a real one."""
    readers: dict[tuple[QuerySettings, ClickHouseSettings], TableReader] = field(default_factory=dict)
    """To connect costs more than most questions."""

    @property
    def service(self) -> ReportService:
        wanted = self.query_settings, self.settings
        if wanted not in self.readers:
            self.readers[wanted] = TableReader(*wanted)
        return ReportService(
            self.readers[wanted],
            self.query_settings,
            self.settings,
            JoinSettings(),
            lambda: self.now_ms,
            self._read_letters,
        )

    def _read_letters(self, since_ms: int) -> LettersFound:
        return LettersFound(tuple(one for one in self.letters if one.at_ms >= since_ms))

    def answer(self, report: Report[Any, Answered], question: Any, viewer: Viewer = ENGINEER) -> Answered:
        return self.service.answer(viewer, report, question)

    def insert(self, rows: Sequence[Outcome]) -> None:
        self.client.insert_arrow("deliveries", pa.Table.from_batches([to_batch(rows)]))

    def beat(self, server: str, age_ms: int, lag_bytes: int = 0, last_line_ms: int = NOW_MS) -> None:
        beat = Heartbeat(NOW_MS - age_ms, last_line_ms, lag_bytes, 2, "0.1.0")
        self.client.insert_arrow("servers", decode_heartbeat(encode_heartbeat(server, beat)))

    def report(self, account: str = "bob@example.org", **asked: Any) -> AccountMail:
        return self.service.answer(ENGINEER, ACCOUNT, AccountQuestion(account, **asked))

    def trace(self, words: str) -> Trace:
        return self.service.answer(ENGINEER, TRACE, TraceQuestion(words))


@pytest.fixture
def office(database: ClickHouseSettings) -> Office:
    return Office(database, connect(database))


class Open(Protocol):
    def __call__(self, service: ReportService, viewer: Viewer | None = ENGINEER, language: str = "en") -> httpx.Client:
        """A client of a site that takes each request for this viewer's."""


@contextlib.contextmanager
def served(
    service: ReportService, viewer: Viewer | None = ENGINEER, language: str = "en", proofs: ProofIssuer = NO_PROOFS
) -> Iterator[httpx.Client]:
    """Serves a service to this viewer; gives a client for it."""
    limits = httpx.Limits(keepalive_expiry=2)  # the server closes what was idle for 5 s, perhaps just then
    with (
        serving(create_app(service, lambda _scope: viewer, language, proofs=proofs)) as server,
        httpx.Client(base_url=server.address, limits=limits, timeout=PATIENCE) as client,
    ):
        yield client


@pytest.fixture
def open_site() -> Iterator[Open]:
    with contextlib.ExitStack() as opened:
        yield lambda service, viewer=ENGINEER, language="en": opened.enter_context(served(service, viewer, language))


@pytest.fixture(scope="module")
def empty_site() -> Iterator[httpx.Client]:
    """A site over empty tables that are no real ones."""

    def read(statement: Statement) -> Sequence[Sequence[Any]]:
        return [(0, 0)] if "SELECT toUnixTimestamp64Milli(min(" in statement.sql else []

    with served(ReportService(read, QuerySettings(), ClickHouseSettings(), JoinSettings())) as client:
        yield client


def refusing(error: Exception) -> ReportService:
    """A service whose tables can't be read."""

    def read(_statement: Statement) -> Sequence[Sequence[Any]]:
        raise error

    return ReportService(read, QuerySettings(), ClickHouseSettings(), JoinSettings())
