"""Every panel of the dashboards answers what its title says, on the real engine; each metric that one names exists."""

from __future__ import annotations

import datetime
import re
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.settings import ClickHouseSettings

from tests.deploy.grafana import DASHBOARDS, FOLDER, View, expand, expressions, panels, statements
from tests.deploy.prometheus import PROGRAM, Prometheus
from tests.deploy.test_alerts import METRICS

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
GOOGLE = {"remote_provider": "Google", "remote_host": "mx.google.example"}


def row(number: int, queued_at: int, status: str, attempts: tuple[Attempt, ...] = (), **changes: Any) -> Outcome:
    base = Outcome(
        account="anna@d.example",
        account_domain="d.example",
        direction="sent",
        server="web1",
        queue_id=str(number),
        recipient=f"user{number}@far.example",
        queued_at=queued_at,
        updated_at=attempts[-1].at if attempts else queued_at,
        status=status,
        result={"delivered": "accepted", "deferred": "pending", "pending": "pending"}.get(status, "failed"),
        size_bytes=1000,
        attempts=attempts,
        version=2,
    )
    return base._replace(**changes)


def rows_of(now: int) -> list[Outcome]:
    """Six sent recipients, two received; one retracted, one replaced, one of last week."""
    hour = now - HOUR_MS
    no_user: dict[str, Any] = {"reason": "unknown-user", "smtp_code": 550}
    limit: dict[str, Any] = {"reason": "rate-limit", "smtp_code": 451}
    bob: dict[str, Any] = {"account": "bob@e.example", "account_domain": "e.example", "direction": "received"}
    return [
        row(1, hour, "delivered", (Attempt(hour + 10_000, "delivered"),), **GOOGLE),
        row(
            2,
            hour,
            "delivered",
            (Attempt(hour + 1000, "deferred", reason="greylisted"), Attempt(hour + 30_000, "delivered")),
            **GOOGLE,
        ),
        row(2, hour, "deferred", (Attempt(hour + 1000, "deferred", reason="greylisted"),), version=1, **GOOGLE),
        row(3, hour, "bounced", (Attempt(hour + 5000, "bounced", **no_user),), **no_user, **GOOGLE),
        row(4, hour, "bounced", (Attempt(hour + 5000, "bounced", **no_user),), **no_user, **GOOGLE),
        row(4, hour, "bounced", (Attempt(hour + 5000, "bounced", **no_user),), is_deleted=1, version=3),
        row(
            5,
            now - 5 * HOUR_MS,
            "deferred",
            (Attempt(now - 4 * HOUR_MS, "deferred", **limit),),
            server="web2",
            remote_provider="Microsoft",
            **limit,
        ),
        row(6, now - 5 * MINUTE_MS, "pending", server="web2"),
        row(7, hour, "expired", updated_at=hour + 20_000, reason="expired"),
        row(8, hour, "delivered", (Attempt(hour + 1000, "delivered"),), server="web2", **bob),
        row(9, hour, "rejected", server="web2", reason="spam", **bob),
        row(10, now - 7 * DAY_MS, "bounced", (Attempt(now - 7 * DAY_MS, "bounced", **no_user),), **no_user),
    ]


SERVERS = [  # name, heartbeat's and line's age in seconds, lag, version, retired
    ("web1", 10, 5, 0, "0.2.0", False),
    ("web2", 4000, 4100, 5_000_000, "0.1.0", False),
    ("web3", 20, None, 7, "0.2.0", False),
    ("gone", 90_000, 90_000, 0, "0.1.0", True),
    ("it's", 5, 5, 0, "0.2.0", False),
    ("fed", 1800, 1800, 0, "", False),  # by rsyslog
]
EXPECTED: dict[tuple[str, str], Any] = {
    ("deliveries", "Recipients"): [(8,)],
    ("deliveries", "Delivered"): [(pytest.approx(2 / 6),)],
    ("deliveries", "Bounce rate"): [(2 / 4,)],
    ("deliveries", "Waiting now"): [(2,)],
    ("deliveries", "Oldest that waits"): [(pytest.approx(5 * 3600, abs=60),)],
    ("deliveries", "Accounts"): [(2,)],
    ("deliveries", "Volume"): {("sent",): 6, ("received",): 2},
    ("deliveries", "Results"): {
        ("delivered",): 3,
        ("bounced",): 1,
        ("deferred",): 1,
        ("pending",): 1,
        ("expired",): 1,
        ("rejected",): 1,
    },
    ("deliveries", "Failures by provider"): {("Google",): 1, ("other servers",): 2},
    ("deliveries", "Failures by reason"): {("unknown-user",): 1, ("expired",): 1, ("spam",): 1},
    ("deliveries", "Failures and deferrals by provider and reason"): [
        ("Google", "unknown-user", 1, 0, 1),
        ("other servers", "expired", 1, 0, 1),
        ("other servers", "spam", 1, 0, 1),
        ("Google", "greylisted", 0, 1, 1),
        ("Microsoft", "rate-limit", 0, 1, 1),
    ],
    ("deliveries", "Age of what waits"): [("under 15 minutes", 1), ("4 to 24 hours", 1)],
    ("deliveries", "Time to delivery"): {(): pytest.approx(20 + 29)},
    ("deliveries", "Deferrals"): {("Google",): 1, ("Microsoft",): 1},
    ("deliveries", "Top accounts"): [
        ("anna@d.example", 6, 0, 2, 2, 2 / 6, 6000),
        ("bob@e.example", 0, 2, 0, 0, 0, 2000),
    ],
    ("servers", "Servers"): [(5,)],
    ("servers", "Silent"): [(1,)],
    ("servers", "Log bytes that wait"): [(5_000_007,)],
    ("servers", "Versions of the shipper"): [("0.2.0", 3), ("0.1.0", 1), ("other shippers", 1)],
    ("servers", "Servers, the silent and the slow first"): [
        ("web2", pytest.approx(4000, abs=60), pytest.approx(4100, abs=60), 5_000_000, 1, "0.1.0"),
        ("web3", pytest.approx(20, abs=60), None, 7, 1, "0.2.0"),
        ("fed", pytest.approx(1800, abs=60), pytest.approx(1800, abs=60), 0, 1, ""),
        ("it's", pytest.approx(5, abs=60), pytest.approx(5, abs=60), 0, 1, "0.2.0"),
        ("web1", pytest.approx(10, abs=60), pytest.approx(5, abs=60), 0, 1, "0.2.0"),
    ],
    ("servers", "Recipients by server"): {("web1",): 4, ("web2",): 4},
    ("servers", "What became of it, by server"): [("web1", 4, 2, 2, 0, 0.5), ("web2", 4, 1, 1, 2, 0.25)],
}


class Database:
    """The rows above, as a person sees them who looks at the last six hours."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.now = now_ms // 1000
        self.client = connect(settings)
        for one in reversed(rows_of(now_ms)):  # each an insert of its own, the old versions last
            self.client.insert_arrow("deliveries", pa.Table.from_batches([to_batch([one])]))
        for name, heartbeat, line, lag, version, is_retired in SERVERS:
            last_line = f"now64(3) - INTERVAL {line} SECOND" if line is not None else "toDateTime64(0, 3)"
            self.client.command(
                "INSERT INTO servers (server, sent_at, last_line_at, lag_bytes, files, shipper_version, retired_at) "
                f"SELECT {{name:String}}, now64(3) - INTERVAL {heartbeat} SECOND, {last_line}, {lag}, 1, '{version}', "
                f"{'now64(3)' if is_retired else 'toDateTime64(0, 3)'}",
                parameters={"name": name},
            )

    def view(self, **variables: list[str]) -> View:
        return View(self.now - 6 * 3600, self.now + 60, variables=variables)

    def answer(self, query: str, **variables: list[str]) -> list[tuple[Any, ...]]:
        rows = self.client.query(expand(query, self.view(**variables))).result_rows
        return [tuple(one) for one in rows]


@pytest.fixture(scope="module")
def database_of_panels(make_database: Any) -> Database:
    return Database(make_database())


def _in_total(rows: list[tuple[Any, ...]], interval_seconds: int) -> dict[tuple[Any, ...], float]:
    """Of a time series: words → the sum of the numbers over the time."""
    totals: Counter[tuple[Any, ...]] = Counter()
    for at, *rest in rows:
        assert isinstance(at, datetime.datetime)
        assert at.replace(tzinfo=datetime.UTC).timestamp() % interval_seconds == 0
        totals[tuple(one for one in rest if isinstance(one, str))] += sum(
            one for one in rest if not isinstance(one, str)
        )
    return dict(totals)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("dashboard", "title", "is_series", "query"),
    [pytest.param(*each, id=f"{each[0]}: {each[1]}") for each in statements()],
)
def test_a_panel_shows_what_its_title_says(
    dashboard: str, title: str, is_series: bool, query: str, database_of_panels: Database
) -> None:
    rows = database_of_panels.answer(query)
    expected = EXPECTED[dashboard, title]
    if is_series:
        assert _in_total(rows, 3600) == expected
        assert rows == sorted(rows, key=lambda one: one[0])
    else:
        assert rows == expected


@pytest.mark.stack
def test_a_chosen_server_narrows_each_panel(database_of_panels: Database) -> None:
    of = {(dashboard, title): query for dashboard, title, _, query in statements()}
    assert all("$server" in query for query in of.values())
    assert database_of_panels.answer(of["deliveries", "Recipients"], server=["web1"]) == [(4,)]
    assert database_of_panels.answer(of["deliveries", "Recipients"], server=["web1", "web2"]) == [(8,)]
    assert database_of_panels.answer(of["servers", "Servers"], server=["web2"]) == [(1,)]


@pytest.mark.stack
def test_of_servers_with_odd_names_none_is_offered(database_of_panels: Database) -> None:
    """The name of a server may come from anybody who can write to Kafka; in a statement it would be read as SQL."""
    for dashboard in ("deliveries", "servers"):
        [variable] = DASHBOARDS[dashboard]["templating"]["list"]
        assert [name for (name,) in database_of_panels.answer(variable["query"])] == [
            "fed",
            "gone",
            "web1",
            "web2",
            "web3",
        ]


@pytest.mark.stack
def test_a_panel_without_mail_fails_on_nothing(database_of_panels: Database) -> None:
    empty = View(1_000_000, 1_000_060)
    for _, _, _, query in statements():
        database_of_panels.client.query(expand(query, empty))


@pytest.mark.parametrize(("dashboard", "title", "query", "legend"), list(expressions()))
def test_a_panel_asks_for_metrics_and_labels_that_exist(dashboard: str, title: str, query: str, legend: str) -> None:
    named = set(re.findall(r"\b(?:postwatch_\w+|process_\w+|up)\b", query))
    assert named
    series = {name.removesuffix("_bucket") for name in named}
    assert series <= METRICS.keys()
    known = set().union(*(METRICS[name] for name in series)) | {"job", "instance", "le"}
    for labels in re.findall(r"(?:by|on) \(([^)]*)\)", query):
        assert set(labels.split(", ")) <= known
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= known
    if grouped := re.findall(r"by \(([^)]*)\)", query):
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= set(", ".join(grouped).split(", "))


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="no prometheus is installed (Debian: prometheus)")
def test_prometheus_takes_each_expression(tmp_path: Path) -> None:
    prometheus = Prometheus(tmp_path / "prometheus")
    prometheus.start()
    try:
        for _, _, expression, _ in expressions():
            prometheus.now(expression)
    finally:
        prometheus.stop()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_names_the_provisioned_sources_and_fits(name: str) -> None:
    sources = yaml.safe_load((FOLDER / "provisioning/datasources/postwatch.yml").read_text())["datasources"]
    uids = {(source["type"], source["uid"]) for source in sources}
    dashboard = DASHBOARDS[name]
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert (source["type"], source["uid"]) in uids
        at = panel["gridPos"]
        squares = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in squares) < 24
        assert not taken & squares
        taken |= squares
    assert len({panel["id"] for panel in panels(name)}) == len(dashboard["panels"])
    assert len({panel["title"] for panel in panels(name)}) == len(dashboard["panels"])
    assert dashboard["uid"] == f"postwatch-{name}"
    assert "id" not in dashboard


def test_the_provider_is_of_files() -> None:
    [provider] = yaml.safe_load((FOLDER / "provisioning/dashboards/postwatch.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert set(DASHBOARDS) == {"deliveries", "pipeline", "servers"}
    assert {(dashboard, title) for dashboard, title, _, _ in statements()} == set(EXPECTED)
