"""A column more: joins, sinks and queries of both versions work side by side, in any order, on the real engine.

"Old" is this version; "new" is a copy of it with the column. So the test holds as well that four places are enough.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postwatch.deploy.cluster import spread
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.mutations.mutation import ROOT
from tests.upgrade.added_column import EDITS, MIGRATION, PAGE, SQL, add_column

pytestmark = pytest.mark.stack

IP = "198.51.100.7"
SERVER = "web7"
Deliveries = list[dict[str, Any]]
_numbers = itertools.count(1)


class Version:
    """A running process of one version."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        command = [sys.executable, "-m", "tests.upgrade.steps"]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, database: ClickHouseSettings, *step: str) -> Any:
        """A step of tests/upgrade/steps.py and its arguments → what it returned."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        settings = {
            "POSTWATCH_CLICKHOUSE_URL": database.url,
            "POSTWATCH_CLICKHOUSE_DATABASE": database.database,
            "POSTWATCH_CLICKHOUSE_RETENTION_DAYS": str(database.retention_days),
        }
        self._process.stdin.write(json.dumps([settings, *step]) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith('{"returned"'):  # logs go to the same place
                return json.loads(line)["returned"]
        raise AssertionError(f"{step} ended the process; see standard error")

    def end(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def old() -> Iterator[Version]:
    version = Version(ROOT, {**os.environ})
    yield version
    version.end()


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Version]:
    folder = tmp_path_factory.mktemp("new").resolve()
    version = Version(folder, add_column(folder))
    yield version
    version.end()


@pytest.fixture
def place(clickhouse: EmbeddedClickHouse) -> ClickHouseSettings:
    """A database that is not there yet."""
    return replace(clickhouse.settings, database=f"added_column_{next(_numbers)}", retention_days=3_650)


Record = Callable[..., str]


@pytest.fixture
def joined(place: ClickHouseSettings, tmp_path: Path, new: Version) -> Record:
    """A function that has a version join a server's log; the record is in the file that it returns."""

    def join(version: Version, server: str = SERVER) -> str:
        path = str(tmp_path / f"{server}.arrow")
        assert version.run(place, "join", path, server, *([IP] if version is new else [])) > 10
        return path

    return join


@pytest.fixture(scope="module")
def expected(clickhouse: EmbeddedClickHouse, old: Version, tmp_path_factory: pytest.TempPathFactory) -> Deliveries:
    """What the old version alone shows."""
    place = replace(clickhouse.settings, database="added_column_alone", retention_days=3_650)
    path = str(tmp_path_factory.mktemp("alone") / "record")
    old.run(place, "migrate")
    old.run(place, "join", path, SERVER)
    old.run(place, "sink", path)
    return without_new(old.run(place, "report"))


def without_new(report: dict[str, Any]) -> Deliveries:
    """The deliveries without what only the new version shows, and without ids: each database has a key of its own."""
    for row in report["json"]:
        row.pop("id")
        row.pop("outbound_ip", None)
        for attempt in row["attempts"]:
            attempt.pop("helo", None)
    rows: Deliveries = report["json"]
    return rows


def outbound_ips(report: dict[str, Any]) -> set[str]:
    """The column in JSON and CSV, which must agree."""
    found = {row["outbound_ip"] for row in report["json"]}
    assert {row["outbound_ip"] for row in csv.DictReader(io.StringIO(report["csv"]))} == found
    assert {"outbound IP" in labels for labels in report["facts"]} == {bool(ip) for ip in found}
    return found


def helos(report: dict[str, Any]) -> set[str]:
    return {attempt["helo"] for row in report["json"] for attempt in row["attempts"]}


def test_four_places_are_enough(new: Version) -> None:
    """With them the tests of the new version pass that look at all columns."""
    assert len({MIGRATION, PAGE, *(name for name, _, _ in EDITS)}) == 4
    tests = (
        "streams/contracts streams/joining/test_golden.py::test_rows_are_the_golden_ones streams/sink/test_consumer.py "
        "query/test_exports.py query/test_statements.py query/test_api.py "
        "deploy/test_columns_page.py deploy/test_schema.py test_docs.py"
    ).split()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)]
    done = subprocess.run(command, cwd=new.folder, env=new.environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-4000:]


def test_a_cluster_gets_the_column_too() -> None:
    statements = [one.strip() for one in SQL.replace("{database}", "mail").split(";\n") if one.strip()]
    assert [len(spread(one, "all")) for one in statements] == [2, 2]


def test_an_old_join_and_a_new_sink(
    old: Version, new: Version, place: ClickHouseSettings, joined: Record, expected: Deliveries
) -> None:
    new.run(place, "migrate")
    counts = new.run(place, "sink", joined(old))
    assert (counts["missing"], counts["unknown"]) == (2, 0)
    report = new.run(place, "report")
    assert outbound_ips(report) == helos(report) == {""}
    assert without_new(report) == expected


@pytest.mark.parametrize("is_table_new", [False, True])
def test_a_new_join_and_an_old_sink(
    old: Version, new: Version, place: ClickHouseSettings, joined: Record, expected: Deliveries, is_table_new: bool
) -> None:
    (new if is_table_new else old).run(place, "migrate")
    counts = old.run(place, "sink", joined(new))
    assert (counts["missing"], counts["unknown"]) == (0, 2)
    assert without_new(old.run(place, "report")) == expected
    new.run(place, "migrate")
    report = new.run(place, "report")
    assert outbound_ips(report) == helos(report) == {""}
    assert without_new(report) == expected


def test_old_rows_and_a_new_query(
    old: Version, new: Version, place: ClickHouseSettings, joined: Record, expected: Deliveries
) -> None:
    old.run(place, "migrate")
    old.run(place, "sink", joined(old))
    assert new.run(place, "migrate") == [f"applied {Path(MIGRATION).name}"]
    for _ in ("as the rows were written", "after a merge"):
        report = new.run(place, "report")
        assert outbound_ips(report) == helos(report) == {""}
        assert without_new(report) == expected
        connect(place).command("OPTIMIZE TABLE deliveries FINAL")


def test_new_rows_and_an_old_query(
    old: Version, new: Version, place: ClickHouseSettings, joined: Record, expected: Deliveries
) -> None:
    new.run(place, "migrate")
    new.run(place, "sink", joined(new))
    assert without_new(old.run(place, "report")) == expected


def test_joins_of_both_versions_at_once(old: Version, new: Version, place: ClickHouseSettings, joined: Record) -> None:
    """The sink writes their records in one insert."""
    new.run(place, "migrate")
    records = [joined(old, "web1"), joined(new, "web2")]
    counts = new.run(place, "sink", *records)
    assert (counts["missing"], counts["unknown"], counts["inserts"]) == (2, 0, 1)
    report = new.run(place, "report")
    assert outbound_ips(report) == {"", IP}
    assert helos(report) == {"", "out.example"}
    assert {(row["server"], row["outbound_ip"]) for row in report["json"]} == {("web1", ""), ("web2", IP)}
    counts = old.run(place, "sink", *records)
    assert (counts["missing"], counts["unknown"], counts["inserts"]) == (0, 2, 1)


def test_a_new_sink_waits_for_the_column_of_the_table(
    old: Version, new: Version, place: ClickHouseSettings, joined: Record
) -> None:
    old.run(place, "migrate")
    record = joined(new)
    assert "postwatch migrate" in new.run(place, "insert", record)
    new.run(place, "migrate")
    assert new.run(place, "insert", record) == ""
    assert outbound_ips(new.run(place, "report")) == {IP}
