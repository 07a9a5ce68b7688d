"""Something is broken in a fleet, and nobody tells: the page, the command and the API name it, and since when.

CI tries one seed of each kind of trouble and two with nothing broken; `make drill` tries 20 of both.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import datetime

import pytest
from postwatch.deploy.simulator.troubles import KINDS
from postwatch.query.commands.reports import command_of
from postwatch.query.reader import TableReader
from postwatch.query.report_service import ReportService
from postwatch.query.settings import QuerySettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.conftest import MakeDatabase
from tests.drill.fleet import MINUTE_MS, Drilled, drilled, fill
from tests.query.conftest import served

SEEDS = int(os.environ.get("POSTWATCH_DRILL_SEEDS", "0"))
BROKEN = range(SEEDS or len(KINDS))
QUIET = range(100, 100 + (SEEDS or 2))
pytestmark = pytest.mark.timeout(1200)  # where others work on the machine too, one takes five minutes
NEAR_MS = 15 * MINUTE_MS


def _service(fleet: Drilled, settings: ClickHouseSettings, now_ms: int) -> ReportService:
    fill(connect(settings), fleet.rows)
    reader = TableReader(QuerySettings(), settings)
    return ReportService(reader, QuerySettings(), settings, JoinSettings(), now_ms=lambda: now_ms)


def _command(service: ReportService, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, object]]]:
    parser = argparse.ArgumentParser()
    command = command_of("bounces")
    command.configure(parser)
    status = command.show(service, parser.parse_args(["--unusual", "--format", "ndjson"]))
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("seed", BROKEN)
def test_the_broken_thing_is_named_with_its_beginning(
    seed: int, make_database: MakeDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    now_ms = time.time_ns() // 1_000_000
    fleet = drilled(seed, now_ms, is_broken=True)
    assert fleet.trouble is not None
    service = _service(fleet, make_database(), now_ms)
    status, found = _command(service, capsys)
    assert (status, len(found)) == (0, 1), found
    [trouble] = found
    for name, value in fleet.trouble.named.items():
        assert trouble[name] == value, (fleet.trouble.kind, trouble)
    more = {name for name in ("provider", "server", "source_ip", "domain", "account") if trouble[name] is not None}
    assert more <= fleet.trouble.named.keys(), trouble
    began_ms = _ms(str(trouble["since"]))
    assert abs(began_ms - fleet.trouble.since_ms) <= NEAR_MS, (fleet.trouble.kind, began_ms - fleet.trouble.since_ms)
    assert trouble["until"] is None
    with served(service) as site:
        site.timeout = 60  # a shared machine stalls
        page = site.get("/bounces").text
        assert page.count('class="card trouble"') == 1
        named = page.partition('class="card trouble"')[2].partition("</li>")[0]
        for value in fleet.trouble.named.values():
            assert f"{value}<" in named or value == "dns"
        told = site.get("/api/v1/bounces").json()["standing_out"]
        assert [one["since"] for one in told] == [trouble["since"]]
        story = site.get(f"/delivery/{trouble['id']}").text
        assert "Log lines" in story
    late_minutes = (began_ms - fleet.trouble.since_ms) / MINUTE_MS
    print(f"seed {seed}: {fleet.trouble.kind} {fleet.trouble.named}, {late_minutes:+.1f} min")


@pytest.mark.parametrize("seed", QUIET)
def test_nothing_stands_out_where_nothing_is_broken(
    seed: int, make_database: MakeDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    now_ms = time.time_ns() // 1_000_000
    service = _service(drilled(seed, now_ms, is_broken=False), make_database(), now_ms)
    assert _command(service, capsys) == (1, [])
    with served(service) as site:
        site.timeout = 60
        told = site.get("/api/v1/bounces").json()
        assert told["baseline_windows"] == 7
        assert len(told["rows"]) > 10
        assert not any(row["stands_out"] for row in told["rows"]), told["rows"][0]


def _ms(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000)
