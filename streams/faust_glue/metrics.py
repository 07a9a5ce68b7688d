"""The join's metrics for Prometheus. They are read from its totals when scraped, so that a line costs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from postwatch.streams import core_build
from postwatch.streams.faust_glue.standstill import Progress
from postwatch.streams.faust_glue.worker import JoinWorker
from postwatch.streams.parsers.lines import LineTally
from postwatch.streams.parsers.registry import WRAPPED
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class JoinCollector(Collector):
    """Lines = events + ignored + unreadable, always. The rest shows the state of the join."""

    def __init__(self, worker: JoinWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        worker = self._worker
        counts = worker.counts
        core = GaugeMetricFamily("postwatch_core_info", "Which build of parsers and joiner runs.", labels=["build"])
        core.add_metric([core_build.running.kind], 1)
        yield core
        yield from _line_metrics(counts.tally)
        yield CounterMetricFamily("postwatch_records", "Raw records joined.", counts.records)
        yield CounterMetricFamily("postwatch_heartbeat_records", "Heartbeats forwarded.", counts.heartbeats)
        yield _heartbeat_metric(counts.heard_ms)
        yield CounterMetricFamily(
            "postwatch_repeated_records", "Raw records read again and skipped.", counts.repeated_records
        )
        yield CounterMetricFamily(
            "postwatch_repeated_lines", "Lines skipped because they are in the processed ranges.", counts.repeated_lines
        )
        yield CounterMetricFamily("postwatch_outcome_rows", "Delivery rows sent.", counts.rows)
        yield CounterMetricFamily("postwatch_parked_messages", "Open messages written to the table.", counts.parked)
        yield CounterMetricFamily("postwatch_loaded_messages", "Parked messages loaded back.", counts.loaded)
        yield CounterMetricFamily(
            "postwatch_given_up_messages",
            "Messages dropped because they are older than the longest retry.",
            counts.given_up,
        )
        yield CounterMetricFamily(
            "postwatch_offset_gaps", "Offset gaps that were closed by reading again.", worker.offset_gaps
        )
        yield CounterMetricFamily(
            "postwatch_lost_records", "Records that Kafka deleted before they were read.", worker.lost_records
        )
        yield CounterMetricFamily(
            "postwatch_join_rebalances", "Times that all partitions were revoked.", worker.rebalances
        )
        yield CounterMetricFamily(
            "postwatch_join_pauses", "Times that reading waited until Kafka confirmed results.", worker.waits
        )
        yield GaugeMetricFamily(
            "postwatch_join_in_flight_bytes", "Bytes of results in flight to Kafka.", worker.bytes_in_flight
        )
        failures = CounterMetricFamily(
            "postwatch_failures", "Lines and messages lost to a fault of Postwatch, as dead letters.", labels=["stage"]
        )
        for stage, count in list(counts.failures.counts.items()):
            failures.add_metric([stage], count)
        yield failures
        yield from _progress_metrics(list(worker.progress.items()))
        joins = list(worker.partitions.values())
        yield GaugeMetricFamily("postwatch_partitions", "Partitions assigned to this worker.", len(joins))
        yield GaugeMetricFamily(
            "postwatch_open_messages", "Open messages in memory.", sum(join.open_messages for join in joins)
        )
        yield GaugeMetricFamily(
            "postwatch_table_messages",
            "Parked messages in the table.",
            sum(join.parked_messages for join in joins),
        )
        yield GaugeMetricFamily(
            "postwatch_retained_fetches",
            "Fetches that are not acknowledged yet.",
            sum(join.retained_fetches for join in joins),
        )


def _progress_metrics(progress: list[tuple[int, Progress]]) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "postwatch_join_lag_records", "Raw records (offsets) that are not acknowledged.", labels=["partition"]
    )
    behind = GaugeMetricFamily(
        "postwatch_join_lag_seconds",
        "How old the newest raw record that was read is, while Kafka has newer ones; else 0.",
        labels=["partition"],
    )
    acknowledged = GaugeMetricFamily(
        "postwatch_join_acknowledged_timestamp_seconds",
        "When an offset was committed last, or the partition was assigned.",
        labels=["partition"],
    )
    for partition, of_partition in progress:
        if of_partition.lag_records is not None:
            lag.add_metric([str(partition)], of_partition.lag_records)
            behind.add_metric([str(partition)], of_partition.lag_seconds)
        acknowledged.add_metric([str(partition)], of_partition.acknowledged_ms / 1000)
    yield lag
    yield behind
    yield acknowledged


def _heartbeat_metric(heard_ms: dict[str, int]) -> Metric:
    """Of all workers the newest counts: a server may have gone to another partition's worker."""
    heard = GaugeMetricFamily(
        "postwatch_server_heartbeat_timestamp_seconds", "When the newest heartbeat was sent.", labels=["server"]
    )
    for server, sent_ms in list(heard_ms.items()):
        heard.add_metric([server], sent_ms / 1000)
    return heard


def _line_metrics(tally: LineTally) -> Iterator[Metric]:
    """By server goes only what an alert or a panel names, and, but for lines and events, only servers that have some:
    ten thousand of them stand on one page."""
    source = ["server", "format"]
    lines = CounterMetricFamily("postwatch_lines", "Log lines parsed.", labels=source)
    events = CounterMetricFamily("postwatch_event_lines", "Lines that were events of a message.", labels=source)
    unreadable = CounterMetricFamily(
        "postwatch_unreadable_lines", "Lines dead-lettered: a log that changed shows here.", labels=[*source, "reason"]
    )
    suppressed = CounterMetricFamily(
        "postwatch_suppressed_lines", "Lines that the server's own logger threw away, as it says.", labels=["server"]
    )
    suppressed_lines: Counter[str] = Counter()
    ignored_lines: Counter[tuple[str, str, str]] = Counter()
    for (server, log_format), counts in list(tally.sources.items()):
        lines.add_metric([server, log_format], counts.lines)
        events.add_metric([server, log_format], counts.events)
        for reason, count in list(counts.unreadable.items()):
            unreadable.add_metric([server, log_format, reason], count)
        for kind, count in list(counts.ignored.items()):
            ignored_lines[server if kind == WRAPPED else "", log_format, kind] += count
        if counts.suppressed_lines:
            suppressed_lines[server] += counts.suppressed_lines
    ignored = CounterMetricFamily(
        "postwatch_ignored_lines",
        "Lines of no interest; by server those that another program wrapped.",
        labels=[*source, "kind"],
    )
    for key, count in ignored_lines.items():
        ignored.add_metric(key, count)
    for server, count in suppressed_lines.items():
        suppressed.add_metric([server], count)
    yield from (lines, events, ignored, unreadable, suppressed)
