"""That the benchmark measures what it says: both ways of a question have the same answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postwatch.query.statements import Delivery
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.fleet import QUESTIONS, Fleet, measure
from tests.benchmarks.fleet_rows import FleetRows

pytestmark = pytest.mark.stack


@pytest.fixture
def made(database: ClickHouseSettings) -> Iterator[FleetRows]:
    rows = FleetRows(database, 30_000)
    rows.fill()
    rows.keep_unmerged()
    yield rows
    connect(database).command(f"DROP DATABASE {rows.unmerged_database}")


def test_both_ways_have_the_same_answer(database: ClickHouseSettings, made: FleetRows) -> None:
    fleet = Fleet(database, made, lambda: 0.0)
    for question in QUESTIONS:
        ours, theirs = fleet.ask_tables(question)[1], fleet.ask(question.by_deliveries)[1]
        if not isinstance(question.by_tables, str):
            found = [row for row in ours if isinstance(row, Delivery)]
            assert [(row.account, row.recipient, row.status) for row in found] == [
                (row[0], row[5], row[9]) for row in theirs
            ]
            assert len(found) == 50
        else:
            assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))
            assert ours


def test_the_rows_have_variety_and_old_versions(database: ClickHouseSettings, made: FleetRows) -> None:
    client = connect(database)
    counts = client.query("SELECT status, count() FROM deliveries_now GROUP BY status").result_rows
    statuses = {str(status): int(count) for status, count in counts}
    assert statuses.keys() == {"delivered", "deferred", "bounced", "expired", "rejected", "discarded"}
    [[inserted]] = client.query("SELECT count() FROM arrivals").result_rows
    assert inserted > 1.15 * sum(statuses.values())
    hours = "SELECT max(c) / min(c) FROM (SELECT toHour(queued_at) AS h, count() AS c FROM deliveries_now GROUP BY h)"
    assert client.query(hours).result_rows[0][0] > 3


def test_the_unmerged_rows_are_the_same_and_stay_in_their_parts(database: ClickHouseSettings, made: FleetRows) -> None:
    client = connect(database)

    def parts(name: str) -> list[tuple[int, int]]:
        sql = (
            "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = {database:String}"
            " AND table = 'deliveries' GROUP BY partition_id ORDER BY partition_id"
        )
        return [(int(many), int(rows)) for many, rows in client.query(sql, {"database": name}).result_rows]

    before = parts(made.unmerged_database)
    assert sum(rows for _, rows in before) == client.query("SELECT count() FROM deliveries").result_rows[0][0]
    made.merge_old_weeks()
    assert parts(made.unmerged_database) == before
    assert {many for many, _ in parts(database.database)[:-1]} == {1}


def test_figures_are_told_quiet_and_while_rows_arrive(database: ClickHouseSettings, made: FleetRows) -> None:
    said: list[str] = []
    made.merge_old_weeks()
    fleet = Fleet(database, made, lambda: 0.0)
    measure(fleet, made, 1, said.append)
    terms = list(fleet.searches.terms())
    assert {term.name for term in terms} >= {"a rare ip", "a common host"}
    assert len(said) == 2 * (len(QUESTIONS) + len(terms) + 2) + 1
    assert float(said[-1].split()[0].replace(",", "")) > 0
