"""The alerts speak of metrics and labels that the parts really have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import postwatch.query.guards
import postwatch.query.reader
import postwatch.query.report_service
import postwatch.streams.contracts.dead_letters
import postwatch.streams.sink.metrics  # noqa: F401 - each module tells the registry of its metrics
import pytest
import yaml
from postwatch.producers.ship_metrics import SHIP
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.faust_glue.metrics import JoinCollector
from postwatch.streams.faust_glue.standstill import Progress, Reading
from postwatch.streams.faust_glue.worker import JoinWorker
from postwatch.streams.partition.counts import JoinCounts
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

ROOT = Path(__file__).parent.parent.parent
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
_OF_PROMETHEUS = {"job", "instance"}


class IdleWorker:
    """What the collector reads of a worker that has read one line of one server and heard it once."""

    def __init__(self) -> None:
        self.counts = JoinCounts()
        counts = self.counts.tally.of("web7", "auto")
        counts.unreadable["x"] = counts.ignored["y"] = counts.suppressed_lines = 1
        self.counts.heard("web7", 1)
        self.counts.failures.counts["parser"] = 1
        self.offset_gaps = self.lost_records = self.rebalances = self.waits = self.bytes_in_flight = 0
        self.partitions: dict[int, Any] = {}
        self.progress = {0: Progress(1)}
        self.progress[0].see(1, Reading(2, 3, 3, 1), 1)


def metrics() -> dict[str, set[str]]:
    """Name as it is scraped → its labels."""
    found: dict[str, set[str]] = {"up": set(), **{name: set() for name in SHIP.values()}}
    join = JoinCollector(cast("JoinWorker", IdleWorker()))
    for collector in (join, *cast("Iterator[Collector]", REGISTRY._collector_to_names)):
        for metric in collector.collect():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            labels = set(getattr(collector, "_labelnames", ()))
            found[name] = labels | {label for sample in metric.samples for label in sample.labels}
    return found


METRICS = metrics()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_speaks_of_metrics_that_exist(rule: dict[str, Any]) -> None:
    named = re.findall(r"\b(?:postwatch_\w+|up)\b(?=[\[{) ])", rule["expr"])
    assert named
    known = set().union(*(METRICS[name] for name in named)) | _OF_PROMETHEUS
    for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        assert set(labels.split(", ")) <= known
    words = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", words)) <= known
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_a_server_is_silent_for_the_alert_as_it_is_for_reports() -> None:
    [rule] = [rule for rule in RULES if rule["alert"] == "PostwatchServerSilent"]
    assert f"timestamp_seconds) > {STALE_AFTER_SECONDS} < " in rule["expr"]


def test_a_heartbeat_that_comes_late_does_not_make_a_server_silent() -> None:
    counts = JoinCounts()
    counts.heard("web7", 5_000)
    counts.heard("web7", 4_000)
    assert counts.heard_ms == {"web7": 5_000}
    assert counts.heartbeats == 2


def test_what_no_alert_names_by_server_is_told_of_all_servers_together() -> None:
    worker = IdleWorker()
    for server in ("web8", "web9"):
        worker.counts.tally.of(server, "auto").ignored.update(y=3, wrapped=1)
    worker.counts.tally.of("web7", "auto").suppressed_lines += 4
    worker.counts.tally.of("web7", "postfix").suppressed_lines = 2
    told = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for metric in JoinCollector(cast("JoinWorker", worker)).collect()
        for sample in metric.samples
        if metric.name in ("postwatch_ignored_lines", "postwatch_suppressed_lines")
    }
    ignored, auto = "postwatch_ignored_lines_total", ("format", "auto")
    assert told == {
        (ignored, auto, ("kind", "y"), ("server", "")): 7,
        (ignored, auto, ("kind", "wrapped"), ("server", "web8")): 1,
        (ignored, auto, ("kind", "wrapped"), ("server", "web9")): 1,
        ("postwatch_suppressed_lines_total", ("server", "web7")): 7,
    }
