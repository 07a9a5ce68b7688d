"""`python -m tests.upgrade.steps`: steps of the version in the working folder, one for each line of standard input.

A line is a list in JSON: the settings, the step and its arguments. The answer is a line in JSON: what the step returns.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postwatch.deploy.migrate import migrate as migrate_tables
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.settings import load
from postwatch.query.details import facts
from postwatch.query.report_service import open_report_service
from postwatch.query.reports.account import REPORT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.dead_letters import DeadLetterSender
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import CONTRACT, encode_outcomes
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.settings import ClickHouseSettings
from postwatch.streams.sink.batch import RowBatcher
from postwatch.streams.sink.consumer import Sink, Target
from postwatch.streams.sink.writer import ClickHouseWriter
from prometheus_client import REGISTRY

from tests.streams.fakes import FakeBroker, FakeClock, FakeProducer, FakeSource
from tests.streams.joining.test_golden import GOLDEN, lines_of, parser_of_all

TOPIC = "mail.outcomes"
LOG = GOLDEN / "exim-main" / "hosting-day.log"
DOMAIN = "@bakery.example"


def join(path: str, server: str, outbound_ip: str = "") -> int:
    """Write the rows of a log as a record; what the new version knows more is filled. Returns the number of rows."""
    joiner = Joiner(AccountBook(None))
    joiner.add(server, parse_lines(parser_of_all(), lines_of(LOG), LineCounts()).events)
    rows = joiner.take_dirty()[0]
    if outbound_ip:
        more: dict[str, Any] = {"outbound_ip": outbound_ip}
        rows = [row._replace(**more, attempts=tuple(_with_helo(row))) for row in rows]
    Path(path).write_bytes(encode_outcomes(rows))
    return len(rows)


def _with_helo(row: Outcome) -> list[Any]:
    why: dict[str, Any] = {"helo": "out.example"}
    return [one._replace(**why) for one in row.attempts]


def sink(*paths: str) -> dict[str, float]:
    """Carry records into the table. Returns the counts of columns and inserts."""
    before = _counts()
    writer = ClickHouseWriter(load(ClickHouseSettings))
    broker = FakeBroker({(TOPIC, 0): [Path(path).read_bytes() for path in paths]})
    clock, producer, stopping = FakeClock(), FakeProducer(), threading.Event()
    source = FakeSource(broker, clock, idle=lambda: stopping.set() if source.is_done() else None)
    targets = {TOPIC: Target("deliveries", CONTRACT.decode, writer.insert_deliveries)}
    letters = DeadLetterSender(producer, "dead")  # type: ignore[arg-type]
    health = Health()
    outage = OutageLog("clickhouse", health, clock)
    Sink(source, targets, letters, RowBatcher(100_000, 1.0), health, outage, stopping, clock).run()
    assert not producer.sent, producer.sent
    return {name: count - before[name] for name, count in _counts().items()}


def _counts() -> dict[str, float]:
    samples = {
        "unknown": ("postwatch_sink_unknown_columns_total", {"topic": TOPIC}),
        "missing": ("postwatch_sink_missing_columns_total", {"topic": TOPIC}),
        "inserts": ("postwatch_sink_insert_seconds_count", {"table": "deliveries"}),
    }
    return {name: REGISTRY.get_sample_value(*sample) or 0 for name, sample in samples.items()}


def insert(path: str) -> str:
    """One try to insert a record. Returns what is in the way; empty: nothing."""
    try:
        ClickHouseWriter(load(ClickHouseSettings)).insert_deliveries(CONTRACT.decode(Path(path).read_bytes()).rows)
    except UnavailableError as error:
        return str(error)
    return ""


def migrate() -> list[str]:
    settings = load(ClickHouseSettings)
    return migrate_tables(connect(settings, database=""), settings)


def report() -> dict[str, Any]:
    """What people see of a domain's mail."""
    settings = load(ClickHouseSettings)
    service = open_report_service(QuerySettings(), settings)
    mail = service.answer(ENGINEER, REPORT, AccountQuestion(DOMAIN, days=settings.retention_days, limit=200))
    return {
        "json": REPORT.shape(mail, []).model_dump()["deliveries"],
        "csv": REPORT.csv(mail),
        "facts": [[fact.label for fact in facts(row, is_engineer=True)] for row in mail.rows],
    }


STEPS: dict[str, Callable[..., Any]] = {
    "join": join,
    "sink": sink,
    "insert": insert,
    "migrate": migrate,
    "report": report,
}

if __name__ == "__main__":
    for line in sys.stdin:
        settings, name, *arguments = json.loads(line)
        os.environ.update(settings)
        print(json.dumps({"returned": STEPS[name](*arguments)}), flush=True)
