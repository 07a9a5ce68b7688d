"""The queries of docs/ask-the-tables.md, on the real engine, with Grafana's macros expanded as its data source does."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.settings import ClickHouseSettings

from tests.mutations.mutation import ROOT

pytestmark = pytest.mark.stack

PAGE = (Path(ROOT) / "docs" / "ask-the-tables.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def expand(query: str) -> str:
    """https://grafana.com/grafana/plugins/grafana-clickhouse-datasource: the dashboard shows the last six hours."""
    now_ms = time.time_ns() // 1_000_000
    since, until = (now_ms - 6 * HOUR_MS) // 1000, now_ms // 1000 + 60
    query = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", query)
    return re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= toDateTime({since}) AND \1 <= toDateTime({until})", query)


def row(number: int, at_ms: int, status: str, **changes: Any) -> Outcome:
    attempts = (Attempt(at_ms, status, 550, "550 no", reason="unknown-user", source_ip="198.51.100.7"),)
    base = Outcome(
        account="anna@d.example",
        account_domain="d.example",
        direction="sent",
        server="web1",
        queue_id=str(number),
        recipient="bob@far.example",
        queued_at=at_ms - 1000,
        updated_at=at_ms,
        status=status,
        result={"delivered": "accepted", "deferred": "pending"}.get(status, "failed"),
        size_bytes=512,
        reason="unknown-user",
        remote_host="mx.far.example",
        remote_provider="Google",
        log_lines=(f"line {number}",),
        attempts=attempts,
        source_ip="198.51.100.7",
        version=2,
    )
    return base._replace(**changes)


def rows_of(now_ms: int) -> list[Outcome]:
    return [
        row(1, now_ms - 60_000, "bounced"),
        row(2, now_ms - 120_000, "bounced"),
        row(3, now_ms - 180_000, "bounced", is_deleted=1, version=3),
        row(4, now_ms - 5 * 60_000, "deferred"),
        row(5, now_ms - 5 * 60_000, "deferred", version=1),
        row(5, now_ms - 5 * 60_000, "delivered"),
        *(row(10 + day, now_ms - day * DAY_MS - 60_000, "bounced") for day in range(1, 8)),
    ]


@pytest.fixture
def answers(database: ClickHouseSettings) -> list[list[tuple[Any, ...]]]:
    """The answers of all queries, over rows of which some were replaced or retracted."""
    client = connect(database)
    for one in reversed(rows_of(time.time_ns() // 1_000_000)):  # each an insert of its own, the old versions last
        client.insert_arrow("deliveries", pa.Table.from_batches([to_batch([one])]))
    found = []
    for query in QUERIES:
        assert "postwatch." in query
        rows = client.query(expand(query).replace("postwatch.", f"{database.database}.")).result_rows
        found.append([tuple(one) for one in rows])
    return found


def test_every_query_of_the_page_answers_what_it_says(answers: list[list[tuple[Any, ...]]]) -> None:
    assert len(QUERIES) == 5
    compared, over_time, waiting, domains, lines = answers
    assert compared == [("Google", "unknown-user", 3, 1.0)]
    assert sum(count for _, _, count in over_time) == 2
    assert {provider for _, provider, _ in over_time} == {"Google"}
    [(server, host, reason, count, oldest, last)] = waiting
    assert (server, host, reason, count) == ("web1", "mx.far.example", "unknown-user", 1)
    assert 5 <= oldest <= 15
    assert 5 <= last <= 15
    assert domains == [("d.example", 4, 1, 2, 1, "2.00 KiB")]
    assert [found[4] for found in lines] == [["line 1"], ["line 2"]]


def test_two_queries_are_for_grafana() -> None:
    assert sum("$__timeFilter" in query for query in QUERIES) == 2
    assert all("$__" not in expand(query) for query in QUERIES)
