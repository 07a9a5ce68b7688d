"""What the join tells Prometheus, read from its totals when scraped, so that a line costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

from postwatch.streams.join_worker import JoinWorker
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class JoinCollector(Collector):
    """Lines = events + foreign + unreadable, always; the rest tells how the join stands."""

    def __init__(self, worker: JoinWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        worker = self._worker
        counts = worker.counts
        lines = counts.lines
        yield CounterMetricFamily("postwatch_lines", "Log lines parsed.", lines.lines)
        yield CounterMetricFamily("postwatch_event_lines", "Lines that were events of a message.", lines.events)
        yield _by_label("postwatch_foreign_lines", "Lines of no interest.", "kind", lines.foreign)
        yield _by_label("postwatch_unreadable_lines", "Lines dead-lettered.", "reason", lines.unreadable)
        yield CounterMetricFamily("postwatch_records", "Raw records joined.", counts.records)
        yield CounterMetricFamily("postwatch_heartbeat_records", "Heartbeats forwarded.", counts.heartbeats)
        yield CounterMetricFamily("postwatch_repeated_records", "Raw records read again.", counts.repeated_records)
        yield CounterMetricFamily("postwatch_repeated_lines", "Lines that marks kept out.", counts.repeated_lines)
        yield CounterMetricFamily("postwatch_outcome_rows", "Delivery rows sent.", counts.rows)
        yield CounterMetricFamily("postwatch_parked_messages", "Messages written to the table.", counts.parked)
        yield CounterMetricFamily("postwatch_loaded_messages", "Parked messages loaded back.", counts.loaded)
        yield CounterMetricFamily("postwatch_given_up_messages", "Messages closed for their age.", counts.given_up)
        yield CounterMetricFamily("postwatch_holes", "Holes in the offsets that were healed by a seek.", worker.holes)
        yield CounterMetricFamily("postwatch_lost_records", "Records that expired unread.", worker.lost_records)
        joins = list(worker.partitions.values())
        yield GaugeMetricFamily("postwatch_partitions", "Partitions of this worker.", len(joins))
        yield GaugeMetricFamily(
            "postwatch_open_messages", "Messages in memory.", sum(join.open_messages for join in joins)
        )
        yield GaugeMetricFamily(
            "postwatch_held_fetches", "Fetches not acknowledged.", sum(join.held_fetches for join in joins)
        )


def _by_label(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
