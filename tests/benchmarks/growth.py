"""How the cost of a line grows: with servers, partitions, parked messages and join workers; one changes at a time.

    make bench-growth PICTURE=growth.svg

Records of 20 lines, live, as `live` in the benchmarks' README. What a worker needs to start is told apart. All
points have the same broker and engine, so their memory is what all points before have left too.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer
from postwatch.deploy.simulator import exim
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.faust_glue.changelog import ensure_changelog
from postwatch.streams.faust_glue.changelog_topic import changelog_topic
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.stored_message import encode_stored
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone
from postwatch.streams.partition.parked_keys import stored_key
from postwatch.streams.partition.partitioners import partition_by_murmur2
from postwatch.streams.settings import JoinSettings

from tests.benchmarks.charts import Panel, draw_stacks, picture
from tests.benchmarks.figures import describe_machine
from tests.benchmarks.flow import measure_live
from tests.benchmarks.stack import PARTITIONS, Lane, Stack, started_stack
from tests.benchmarks.workload import PLAIN, plain_arrival, prepare, server_name

SERVERS = 500
_RECORD_LINES = 20
_DAY_MS = 86_400_000
_A_BATCH = 1000
_WARM_UP_LINES = 100_000
PARTS = "join", "sink", "clickhouse", "kafka"


class Point(NamedTuple):
    """What one measurement has."""

    axis: str
    servers: int = SERVERS
    partitions: int = PARTITIONS
    parked: int = 0
    workers: int = 1

    @property
    def value(self) -> int:
        return {
            "servers": self.servers,
            "partitions": self.partitions,
            "parked messages": self.parked,
            "join workers": self.workers,
        }[self.axis]


POINTS = (
    *(Point("servers", servers=number) for number in (10, 500, 10_000)),
    *(Point("partitions", partitions=number) for number in (1, 4, 16)),
    *(Point("parked messages", parked=number) for number in (0, 100_000, 1_000_000)),
    *(Point("join workers", workers=number) for number in (1, 2)),
)


class Cost(NamedTuple):
    """Of one point, by part; the workers of the join are one part."""

    point: Point
    lines_a_second: float
    cpu_us: dict[str, float]
    """CPU a line."""
    resident_mb: dict[str, float]
    """The most that it had; of all join workers together."""
    start_cpu_seconds: float
    """Of the join, from its start until heartbeats come through."""


def parked_entries(count: int, servers: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Server, key and value of so many messages that were deferred in the last three days."""
    parser = make_parser("exim-main", StampReader(find_zone("UTC", "the benchmark")))
    now_ms = time.time_ns() // 1_000_000
    chance = random.Random(1)
    for first in range(0, count, _A_BATCH):
        joiner, server = Joiner(AccountBook(None)), server_name(first // _A_BATCH % servers)
        lines = []
        for number in range(first, min(first + _A_BATCH, count)):
            at_ms = now_ms - 3 * _DAY_MS + number * 2 * _DAY_MS // count
            queue_id, recipient = exim.queue_id(at_ms, number), f"reader{number}@slow{number % 300}.example"
            arrival = plain_arrival(f"user{number % 997}@shop{number % 40}.example", recipient, chance)
            lines.append(f"{exim.stamp(at_ms)} {queue_id} {arrival}")
            lines.append(
                f"{exim.stamp(at_ms + 2000)} {queue_id} == {recipient} R=dnslookup T=remote_smtp defer (110): "
                f"Connection timed out H=mx.slow{number % 300}.example [198.51.100.7]"
            )
        joiner.add(server, parse_lines(parser, decode_lines("\n".join([*lines, ""]).encode()), LineCounts())[0])
        joiner.take_dirty()
        for message in joiner.open_messages():
            yield server, stored_key(server, message.queue_id), encode_stored(message)


def park(lane: Lane, count: int, servers: int) -> None:
    """Write them to the changelog, from which the join that starts restores its table."""
    group = lane.environment()["POSTWATCH_JOIN_GROUP"]
    topic = changelog_topic(JoinSettings(group=group))
    ensure_changelog(lane.kafka, topic, group)
    producer = Producer({"bootstrap.servers": lane.kafka.brokers, "compression.type": "lz4", "linger.ms": 50})
    for server, key, value in parked_entries(count, servers):
        while True:
            try:
                producer.produce(topic, value, key, partition_by_murmur2(server.encode(), lane.partitions))
                break
            except BufferError:
                producer.poll(0.1)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} parked messages were not taken")


def measure(stack: Stack, point: Point, lines: int, timeout_seconds: float) -> Cost:
    """One run. Raises RuntimeError where rows are missing in the end."""
    workload = prepare(stack.folder / "records", PLAIN, lines, point.servers, _RECORD_LINES)
    run = measure_live(
        stack,
        workload,
        timeout_seconds,
        partitions=point.partitions,
        workers=point.workers,
        prepare=lambda lane: park(lane, point.parked, point.servers),
    )
    workload.path.unlink()
    return Cost(
        point,
        run.steady_lines_a_second,
        {part: seconds / run.lines * 1e6 for part, seconds in _by_part(run.cpu_seconds).items()},
        {part: size / 1e6 for part, size in _by_part(run.resident_bytes).items()},
        sum(seconds for name, seconds in run.start_cpu_seconds.items() if _part_of(name) == "join"),
    )


def _by_part(values: dict[str, float] | dict[str, int]) -> dict[str, float]:
    return {part: sum(value for name, value in values.items() if _part_of(name) == part) for part in PARTS}


def _part_of(name: str) -> str:
    return "join" if name.startswith("join-") else name


def median_cost(runs: Sequence[Cost]) -> Cost:
    """The medians of several runs of one point."""
    return Cost(
        runs[0].point,
        statistics.median(run.lines_a_second for run in runs),
        {part: statistics.median(run.cpu_us[part] for run in runs) for part in PARTS},
        {part: statistics.median(run.resident_mb[part] for run in runs) for part in PARTS},
        statistics.median(run.start_cpu_seconds for run in runs),
    )


def table(costs: Sequence[Cost]) -> str:
    """Markdown."""
    lines = [
        f"| | µs of CPU a line: {', '.join(PARTS)} | all | lines/s | MB: {', '.join(PARTS)} | join starts, CPU s |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(table_row, costs)])


def table_row(cost: Cost) -> str:
    cpu = ", ".join(f"{cost.cpu_us[part]:.1f}" for part in PARTS)
    memory = ", ".join(f"{cost.resident_mb[part]:.0f}" for part in PARTS)
    return (
        f"| {_name(cost.point)} | {cpu} | {sum(cost.cpu_us.values()):.1f} | {cost.lines_a_second:,.0f} "
        f"| {memory} | {cost.start_cpu_seconds:.1f} |"
    )


def _name(point: Point) -> str:
    axis = point.axis[:-1] if point.value == 1 else point.axis
    return f"{point.value:,} {axis}"


def panels(costs: Sequence[Cost]) -> list[Panel]:
    """Of each axis one of CPU, then one of memory."""
    found = []
    for unit in ("µs of CPU a line", "MB resident"):
        for axis in dict.fromkeys(cost.point.axis for cost in costs):
            own = [cost for cost in costs if cost.point.axis == axis]
            values = [cost.cpu_us if unit.startswith("µs") else cost.resident_mb for cost in own]
            found.append(
                Panel(
                    axis,
                    unit,
                    [f"{cost.point.value:,}" for cost in own],
                    [(part, [one[part] for one in values]) for part in PARTS],
                )
            )
    return found


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    axes = list(dict.fromkeys(point.axis for point in POINTS))
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"which (default: all): {', '.join(axes)}")
    parser.add_argument("--lines", type=int, default=500_000, help="of each run (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each point, in turn (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=600, help="most seconds of a run (default: %(default)s)")
    parser.add_argument("--picture", type=picture, metavar="SVG", help="where to draw it; needs matplotlib")
    arguments = parser.parse_args(words)
    if unknown := set(arguments.axes) - set(axes):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(axes)}")
    points = [point for point in POINTS if point.axis in (arguments.axes or axes)]
    runs: dict[Point, list[Cost]] = {point: [] for point in points}
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="postwatch-growth-") as folder, started_stack(Path(folder)) as stack:
        measure(stack, Point("servers"), _WARM_UP_LINES, arguments.timeout)  # Java compiles what is called often
        for _ in range(arguments.runs):
            for point in points:
                cost = measure(stack, point, arguments.lines, arguments.timeout)
                runs[point].append(cost)
                print(table_row(cost), file=sys.stderr, flush=True)
    costs = [median_cost(runs[point]) for point in points]
    print(f"\n{table(costs)}")
    if arguments.picture:
        draw_stacks(arguments.picture, "The cost of a line, and memory, by part", panels(costs), columns=len(axes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
