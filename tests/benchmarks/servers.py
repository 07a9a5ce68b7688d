"""A fleet of many servers through one join and one sink: memory, lag, and what the pages and the doctor take.

    make bench-servers

Each server sends a heartbeat in ten seconds and its share of the lines, in records of one or two lines. One more
server has a real shipper, whose probe messages are waited for in their reports. The fleet waits where join and sink
are 20 s behind, so the lines a second that are told are what they carried. A run that loses a row fails.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.query.report_service import open_report_service
from postwatch.query.settings import QuerySettings
from postwatch.streams.clickhouse.client import connect

from tests.benchmarks.feed_servers import Fed
from tests.benchmarks.figures import describe_machine, percentile
from tests.benchmarks.freshness import GrowingLog, has_arrived, probe
from tests.benchmarks.pages import wait_for_serve
from tests.benchmarks.processes import measure_command
from tests.benchmarks.stack import Lane, Stack, started_stack, wait_for_end
from tests.benchmarks.workload import server_name

PARTS = "kafka", "clickhouse", "join", "sink", "serve"
_PROBE_EVERY_SECONDS = 2.17
_PROBE_SERVER = "probe.bench.example"
_DOCTOR_EVERY = 4
"""Rounds of questions."""
_FEEDING = "feed_servers"
_POLL_SECONDS = 0.1


class Question(NamedTuple):
    """What was asked again and again."""

    name: str
    milliseconds: Sequence[float]
    size_bytes: int
    """Of the last answer."""


class Fleet(NamedTuple):
    """One run."""

    servers: int
    fed: Fed
    probe_seconds: Sequence[float]
    """From a line written to its row in a report."""
    questions: Sequence[Question]
    doctor_cpu_seconds: float
    """The median."""
    resident_mb: dict[str, float]
    """The most that each part had."""
    cpu_cores: dict[str, float]
    """Of each part, on average."""


class Asking:
    """Asks pages, metrics and the doctor in turn, and looks at what each part uses meanwhile."""

    def __init__(self, lane: Lane, client: httpx.Client, metrics_url: str, servers: int) -> None:
        self._lane = lane
        self._client = client
        self._metrics_url = metrics_url
        self._servers = servers
        self._asked: dict[str, list[float]] = defaultdict(list)
        self._sizes: dict[str, int] = {}
        self._rounds = 0
        self._before, self._began = lane.cpu_seconds(), time.monotonic()
        self._used, self._seconds = self._before, 1.0
        self._resident: Counter[str] = Counter()
        self.doctor_cpu_seconds: list[float] = []

    def ask(self) -> None:
        """One round. Raises RuntimeError."""
        self._get("page of all servers", "/servers")
        self._get("page of one server", f"/servers/{server_name(self._rounds * 101 % self._servers)}")
        self._get("API, all servers", "/api/v1/servers")
        self._get("metrics of the join", self._metrics_url)
        if self._rounds % _DOCTOR_EVERY == 0:
            command = [sys.executable, "-m", "postwatch.deploy", "doctor"]
            doctor = measure_command(command, self._lane.environment(), statuses=(0, 1))
            self._asked["postwatch doctor"].append(doctor.seconds * 1000)
            self.doctor_cpu_seconds.append(doctor.cpu_seconds)
        self._rounds += 1
        self._resident |= Counter(self._lane.resident_bytes())
        self._used = self._used | self._lane.cpu_seconds()
        self._seconds = time.monotonic() - self._began

    def _get(self, name: str, address: str) -> None:
        began = time.perf_counter()
        answer = self._client.get(address)
        self._asked[name].append((time.perf_counter() - began) * 1000)
        self._sizes[name] = len(answer.content)
        if answer.status_code not in (200, 404):  # a server whose first heartbeat is still to come
            raise RuntimeError(f"{address} answers {answer.status_code}")

    def questions(self) -> list[Question]:
        return [Question(name, times, self._sizes.get(name, 0)) for name, times in self._asked.items()]

    def resident_mb(self) -> dict[str, float]:
        return {part: self._resident[part] / 1e6 for part in PARTS}

    def cpu_cores(self) -> dict[str, float]:
        return {
            part: (self._used.get(part, 0.0) - self._before.get(part, 0.0)) / self._seconds
            for part in (*PARTS, _FEEDING)
        }


def measure_servers(stack: Stack, servers: int, rate: float, seconds: float, timeout_seconds: float) -> Fleet:
    """Raises RuntimeError when a part ends or rows are missing in the end."""
    with stack.lane() as lane, ThreadPoolExecutor(1, "probes") as thread:
        metrics, port = choose_port(), choose_port()
        log = GrowingLog(lane.folder / "mainlog")
        lane.start("sink")
        lane.start("join", POSTWATCH_JOIN_METRICS_ADDRESS=f"{LOOPBACK}:{metrics}")
        lane.start_shipper(_PROBE_SERVER, lane.folder / "mainlog")
        lane.start("serve", POSTWATCH_QUERY_LISTEN=f"{LOOPBACK}:{port}")
        lane.warm_up(timeout_seconds)
        with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=timeout_seconds) as client:
            wait_for_serve(client, timeout_seconds)
            asking = Asking(lane, client, f"http://{LOOPBACK}:{metrics}/metrics", servers)
            result = lane.folder / "fed.json"
            group = lane.environment()["POSTWATCH_SINK_GROUP"]
            feeding = lane.start_producing(_FEEDING, str(servers), str(rate), str(seconds), group, str(result))
            arrived = has_arrived(open_report_service(QuerySettings(), lane.clickhouse), _POLL_SECONDS)
            numbers = itertools.takewhile(lambda number: number < 1 or feeding.exit_status() is None, itertools.count())
            waiting = thread.submit(probe, lane, log, numbers, _PROBE_EVERY_SECONDS, arrived, timeout_seconds)
            while feeding.exit_status() is None:
                asking.ask()
                time.sleep(_POLL_SECONDS)
        wait_for_end(feeding, timeout_seconds)
        waits = waiting.result()
        fed = Fed(**json.loads(result.read_text()))
        _wait_for_rows(lane, fed.messages + len(waits), timeout_seconds)
        return Fleet(
            servers,
            fed,
            waits,
            asking.questions(),
            percentile(asking.doctor_cpu_seconds, 50),
            asking.resident_mb(),
            asking.cpu_cores(),
        )


def _wait_for_rows(lane: Lane, wanted: int, timeout_seconds: float) -> None:
    client = connect(lane.clickhouse, timeout_seconds=timeout_seconds)
    deadline = time.monotonic() + timeout_seconds
    while (found := int(str(client.command("SELECT count() FROM deliveries FINAL")))) != wanted:
        lane.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{found} of {wanted} rows after {timeout_seconds:.0f} s")
        time.sleep(1)


def report(fleet: Fleet) -> str:
    """Markdown."""
    fed = fleet.fed
    lines = [
        f"{fleet.servers:,} servers: {fed.lines:,} lines in {fed.records:,} records and {fed.heartbeats:,} heartbeats "
        f"in {fed.seconds:.0f} s, {fed.lines / fed.seconds:,.0f} lines/s; {fed.messages:,} messages, no row missing",
        "",
        "| part | MB at most | cores |",
        "|---|---|---|",
        *(f"| {part} | {fleet.resident_mb[part]:,.0f} | {fleet.cpu_cores[part]:.2f} |" for part in PARTS),
        f"| the simulated servers | | {fleet.cpu_cores[_FEEDING]:.2f} |",
        "",
        "| what | times | p50 | p95 | size |",
        "|---|---|---|---|---|",
        _row("line written → row in its report", [1000 * one for one in fleet.probe_seconds]),
        _row("table `servers` behind", [1000 * one for one in fed.behind_seconds]),
        *(_row(one.name, one.milliseconds, one.size_bytes) for one in fleet.questions),
        "",
        f"The doctor uses {fleet.doctor_cpu_seconds:.1f} s of CPU.",
    ]
    return "\n".join(lines)


def _row(name: str, milliseconds: Sequence[float], size_bytes: int = 0) -> str:
    size = f"{size_bytes / 1000:,.0f} KB" if size_bytes else ""
    p50, p95 = percentile(milliseconds, 50), percentile(milliseconds, 95)
    return f"| {name} | {len(milliseconds)} | {p50:,.0f} ms | {p95:,.0f} ms | {size} |"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.servers", description=__doc__)
    parser.add_argument("--servers", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=20_000, help="lines a second, all together (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=300, help="of load (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=600, help="most seconds until all is there (default: %(default)s)"
    )
    arguments = parser.parse_args(words)
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="postwatch-servers-") as folder, started_stack(Path(folder)) as stack:
        fleet = measure_servers(stack, arguments.servers, arguments.rate, arguments.seconds, arguments.timeout)
    print(report(fleet))
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
