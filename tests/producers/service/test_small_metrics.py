"""Metrics of a small part are what Prometheus reads, and tell of the process what prometheus_client tells."""

from __future__ import annotations

import pytest
from postwatch.producers.service.small_metrics import SmallMetrics
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.process_collector import ProcessCollector


def exposed(metrics: SmallMetrics) -> dict[str, Metric]:
    _, text = metrics.expose()
    return {metric.name: metric for metric in text_string_to_metric_families(text.decode())}


def value_of(metric: Metric) -> float:
    [sample] = metric.samples
    assert sample.labels == {}
    return sample.value


def test_counters_and_gauges_are_exposed() -> None:
    metrics = SmallMetrics()
    lines, lag = metrics.counter("test_lines_total", "Lines seen."), metrics.gauge("test_lag_bytes", "What is unread.")
    lines.inc()
    lines.inc(1 << 60)
    lag.set(2.5)
    found = exposed(metrics)
    assert value_of(found["test_lines"]) == float(1 + (1 << 60))
    assert value_of(found["test_lag_bytes"]) == 2.5
    assert (found["test_lines"].type, found["test_lines"].documentation) == ("counter", "Lines seen.")
    assert (found["test_lag_bytes"].type, found["test_lag_bytes"].documentation) == ("gauge", "What is unread.")
    assert metrics.values() == {"test_lines_total": 1 + (1 << 60), "test_lag_bytes": 2.5}
    lag.set(0)
    assert value_of(exposed(metrics)["test_lag_bytes"]) == 0
    content_type, text = metrics.expose()
    assert content_type.startswith("text/plain; version=0.0.4")
    assert text.startswith(
        b"# HELP test_lines_total Lines seen.\n# TYPE test_lines_total counter\ntest_lines_total 1.1"
    )


def test_what_is_told_of_the_process_is_what_prometheus_client_tells() -> None:
    expected = {metric.name: metric for metric in ProcessCollector(registry=None).collect()}
    found = exposed(SmallMetrics())
    assert found.keys() == expected.keys()
    for name, metric in expected.items():
        assert (found[name].type, found[name].documentation) == (metric.type, metric.documentation)
        assert value_of(found[name]) == pytest.approx(metric.samples[0].value, rel=0.2, abs=2)
    assert found.keys() <= {metric.name for metric in REGISTRY.collect()}
