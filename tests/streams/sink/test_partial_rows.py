"""Rows of partial messages beside the whole ones: which are taken back, by the real engine's answers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone
from postwatch.streams.settings import ClickHouseSettings
from postwatch.streams.sink.partial_rows import retractions
from postwatch.streams.sink.writer import ClickHouseWriter

SERVER = "web1.provider.example"
EXIM = [
    "2026-11-23 13:42:18 1vNBqy-0003aB-1X <= anna@bakery.example H=c.example [192.0.2.7] P=esmtpsa "
    "A=plain:anna@bakery.example S=812 id=one@bakery.example",
    '2026-11-23 13:42:20 1vNBqy-0003aB-1X => bo@far.example R=dns T=smtp H=mx.far.example [192.0.2.25] C="250 OK"',
    "2026-11-23 13:42:20 1vNBqy-0003aB-1X Completed",
]
FILTERED = [
    "Nov 23 13:42:18 mx postfix/smtpd[1]: 51B0C4C0D1: client=c.example[192.0.2.7], sasl_method=PLAIN, "
    "sasl_username=anna@bakery.example",
    "Nov 23 13:42:18 mx postfix/cleanup[2]: 51B0C4C0D1: message-id=<two@bakery.example>",
    "Nov 23 13:42:18 mx postfix/qmgr[3]: 51B0C4C0D1: from=<anna@bakery.example>, size=500, nrcpt=1 (queue active)",
    "Nov 23 13:42:19 mx postfix/smtpd[4]: 7D00C4C0E2: client=localhost[127.0.0.1]",
    "Nov 23 13:42:19 mx postfix/cleanup[2]: 7D00C4C0E2: message-id=<two@bakery.example>",
    "Nov 23 13:42:19 mx postfix/qmgr[3]: 7D00C4C0E2: from=<anna@bakery.example>, size=800, nrcpt=1 (queue active)",
    "Nov 23 13:42:19 mx postfix/smtp[5]: 51B0C4C0D1: to=<bo@far.example>, relay=127.0.0.1[127.0.0.1]:10024, "
    "delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 7D00C4C0E2)",
    "Nov 23 13:42:19 mx postfix/qmgr[3]: 51B0C4C0D1: removed",
    "Nov 23 13:42:21 mx postfix/smtp[6]: 7D00C4C0E2: to=<bo@far.example>, relay=mx.far.example[192.0.2.25]:25, "
    "delay=2, delays=0/0/1/1, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
    "Nov 23 13:42:21 mx postfix/qmgr[3]: 7D00C4C0E2: removed",
]

NAMED = [line.replace("localhost[127.0.0.1]", "localhost[127.0.0.1], orig_queue_id=51B0C4C0D1") for line in FILTERED]
"""The filter passes on which message it was, so no row ever stands under the second queue id."""

EXPIRED = [
    *FILTERED[:3],
    "Nov 23 13:42:20 mx postfix/smtp[6]: 51B0C4C0D1: to=<bo@far.example>, relay=none, delay=2, delays=0/0/2/0, "
    "dsn=4.4.1, status=deferred (connect to mx.far.example[192.0.2.25]:25: Connection timed out)",
    "Nov 23 13:50:00 mx postfix/qmgr[3]: 51B0C4C0D1: from=<anna@bakery.example>, status=expired, returned to sender",
    "Nov 23 13:50:00 mx postfix/qmgr[3]: 51B0C4C0D1: removed",
]
TWO_TURNS = [
    *FILTERED[:2],
    "Nov 23 13:42:18 mx postfix/qmgr[3]: 51B0C4C0D1: from=<anna@bakery.example>, size=500, nrcpt=2 (queue active)",
    "Nov 23 13:42:19 mx postfix/smtp[5]: 51B0C4C0D1: to=<bo@far.example>, relay=mx.far.example[192.0.2.25]:25, "
    "delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
    "Nov 23 13:42:19 mx postfix/smtp[6]: 51B0C4C0D1: to=<cy@old.example>, relay=mx.old.example[192.0.2.26]:25, "
    "delay=1, delays=0/0/0/1, dsn=4.7.1, status=deferred (host mx.old.example[192.0.2.26] said: 451 4.7.1 Greylisted)",
    "Nov 23 13:47:23 mx postfix/qmgr[3]: 51B0C4C0D1: from=<anna@bakery.example>, size=500, nrcpt=2 (queue active)",
    "Nov 23 13:47:24 mx postfix/smtp[6]: 51B0C4C0D1: to=<cy@old.example>, relay=mx.old.example[192.0.2.26]:25, "
    "delay=306, delays=305/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
    "Nov 23 13:47:24 mx postfix/qmgr[3]: 51B0C4C0D1: removed",
]
"""The line of the second turn comes behind what was told of the first recipient for good."""
RECEIVED = [
    "Nov 23 13:42:18 mx postfix/smtpd[1]: 51B0C4C0D1: client=far.example[192.0.2.25]",
    "Nov 23 13:42:18 mx postfix/cleanup[2]: 51B0C4C0D1: message-id=<three@far.example>",
    "Nov 23 13:42:18 mx postfix/qmgr[3]: 51B0C4C0D1: from=<bo@far.example>, size=500, nrcpt=1 (queue active)",
    "Nov 23 13:42:20 mx postfix/virtual[6]: 51B0C4C0D1: to=<anna@bakery.example>, relay=virtual, delay=2, "
    "delays=0/0/0/2, dsn=2.0.0, status=sent (delivered to maildir)",
    "Nov 23 13:42:20 mx postfix/qmgr[3]: 51B0C4C0D1: removed",
]


@pytest.fixture
def database(lasting_database: ClickHouseSettings) -> ClickHouseSettings:
    return lasting_database


def rows_of(lines: list[str], server: str = SERVER) -> list[Outcome]:
    joiner = Joiner(AccountBook(None))
    parser = make_parser("auto", StampReader(find_zone("UTC", "the test")))
    parser.stamps.shipped(1_795_500_000_000)
    joiner.add(server, parse_lines(parser, lines, LineCounts()).events)
    rows, _ = joiner.take_dirty()
    return rows


def to_table(rows: list[Outcome]) -> pa.Table:
    return pa.Table.from_batches([to_batch(rows)])


@pytest.mark.stack
@pytest.mark.parametrize(
    ("lines", "repeated"),
    [(EXIM, 1), (FILTERED, 6), (FILTERED, 8), (NAMED, 8), (EXPIRED, 4), (RECEIVED, 1), (RECEIVED, 3), (TWO_TURNS, 3)],
)
def test_what_a_second_shipper_repeats_of_a_forgotten_message_is_taken_back(
    database: ClickHouseSettings, lines: list[str], repeated: int
) -> None:
    writer = ClickHouseWriter(database)
    writer.insert_deliveries(to_table(rows_of(lines)))
    whole = stored(database)
    partial = rows_of(lines[repeated:])
    assert {row.account for row in partial} == {"anna@bakery.example" if lines is RECEIVED else ""}
    writer.insert_deliveries(to_table(partial))
    assert stored(database) == whole
    assert {row["account"] for row in whole} == {"anna@bakery.example"}


@pytest.mark.stack
def test_what_was_taken_back_stays_so_when_its_insert_arrives_once_more(database: ClickHouseSettings) -> None:
    """An insert that the sink had given up, or a sink that stood still between the two."""
    writer = ClickHouseWriter(database)
    writer.insert_deliveries(to_table(rows_of(EXIM)))
    partial = to_table(rows_of(EXIM[1:]))
    writer.insert_deliveries(partial)
    writer.insert("deliveries", partial)
    assert {row["account"] for row in stored(database)} == {"anna@bakery.example"}


@pytest.mark.stack
def test_a_partial_row_of_the_same_batch_as_the_whole_one_is_taken_back(database: ClickHouseSettings) -> None:
    writer = ClickHouseWriter(database)
    writer.insert_deliveries(to_table([*rows_of(EXIM[1:]), *rows_of(EXIM)]))
    assert {row["account"] for row in stored(database)} == {"anna@bakery.example"}


@pytest.mark.stack
@pytest.mark.parametrize(
    "told",
    [
        rows_of(EXIM[1:], server="web2.provider.example"),
        rows_of([EXIM[1].replace("bo@", "cy@")]),
        rows_of([EXIM[1].replace("13:42:20", "13:42:21")]),
        rows_of([EXIM[1].replace("1vNBqy-0003aB-1X", "1vNBqy-0003aC-1X")]),
    ],
    ids=["another server", "another recipient", "a later word", "another message"],
)
def test_a_partial_row_that_tells_more_stays(database: ClickHouseSettings, told: list[Outcome]) -> None:
    writer = ClickHouseWriter(database)
    writer.insert_deliveries(to_table(rows_of(EXIM)))
    writer.insert_deliveries(to_table(told))
    assert [row["account"] for row in stored(database)] == ["", "anna@bakery.example"]


def test_whole_rows_cost_no_question() -> None:
    def ask(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        raise AssertionError(sql)

    assert retractions(to_table(rows_of(EXIM)), ask).num_rows == 0


def test_many_partial_rows_are_asked_for_in_several_questions() -> None:
    asked = []

    def ask(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        asked.append(parameters["ids"])
        return []

    rows = [row for number in range(1200) for row in rows_of([EXIM[1].replace("0003aB", f"{number:06d}")])]
    assert retractions(to_table(rows), ask).num_rows == 0
    assert sum(map(len, asked)) == 1200
    assert max(map(len, asked)) <= 500


def stored(database: ClickHouseSettings) -> list[dict[str, Any]]:
    """The rows of the table, by account."""
    query = "SELECT account, server, queue_id, next_queue_id, recipient, status FROM deliveries FINAL ORDER BY ALL"
    found = connect(database).query(query)
    return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]
