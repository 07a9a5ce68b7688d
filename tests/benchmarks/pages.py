"""From a line written to its row on an open page, live: probes among the lines of a busy server, beside idle pages."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import httpx
from postwatch.deploy.embedded.ports import choose_port

from tests.benchmarks.figures import percentile
from tests.benchmarks.freshness import GrowingLog, probe, traffic
from tests.benchmarks.stack import Stack

_PROBE_EVERY_SECONDS = 0.37


class PageFreshness(NamedTuple):
    """Of so many probes, with so many pages open."""

    pages: int
    probes: int
    lines_a_second: float
    p50_seconds: float
    p95_seconds: float
    most_seconds: float
    polls_a_second: float
    cpu_share: float
    """Of one core, that `postwatch serve` took."""


def measure_pages(stack: Stack, pages: int, probes: int, rate: int, timeout_seconds: float) -> PageFreshness:
    """All of it runs in processes of its own; the rows of the probes come to one of the pages."""
    with stack.lane() as lane, contextlib.ExitStack() as opened:
        log = GrowingLog(lane.folder / "mainlog")
        for part in ("sink", "join"):
            lane.start(part)
        lane.start_shipper("web001.bench.example", lane.folder / "mainlog")
        lane.warm_up(timeout_seconds)
        port = choose_port()
        lane.start("serve", POSTWATCH_QUERY_LISTEN=f"127.0.0.1:{port}")
        client = opened.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=timeout_seconds))
        wait_for_serve(client, timeout_seconds)
        for number in range(pages - 1):
            opened.enter_context(_idle_page(port, f"account=idle{number}@bench{number % 50}.example"))
        seen: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_watch, args=(client, seen), daemon=True).start()
        with traffic(log, rate, timeout_seconds):
            probe(lane, log, range(-3, 0), _PROBE_EVERY_SECONDS, partial(_seen, seen))
            began, lines, polls, cpu = time.monotonic(), log.lines, _polls(client), lane.cpu_seconds()["serve"]
            waits = probe(lane, log, range(probes), _PROBE_EVERY_SECONDS, partial(_seen, seen))
            took = time.monotonic() - began
            return PageFreshness(
                pages,
                probes,
                (log.lines - lines) / took,
                percentile(waits, 50),
                percentile(waits, 95),
                max(waits),
                (_polls(client) - polls) / took,
                (lane.cpu_seconds()["serve"] - cpu) / took,
            )


def wait_for_serve(client: httpx.Client, timeout_seconds: float) -> None:
    """Raises RuntimeError."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("postwatch serve does not answer")


@contextlib.contextmanager
def _idle_page(port: int, query: str):  # type: ignore[no-untyped-def]
    with socket.create_connection(("127.0.0.1", port)) as page:
        position = time.time_ns() // 1_000_000
        page.sendall(f"GET /live?{query}&from={position:x} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        if b" 200 " not in page.recv(4096):
            raise RuntimeError("a page was refused")
        yield


def _watch(client: httpx.Client, seen: queue.Queue[str]) -> None:
    """The HTML of each row that comes to the page of the probes' domain."""
    address = f"/live?account=@probes.example&from={time.time_ns() // 1_000_000:x}"
    with contextlib.suppress(httpx.HTTPError), client.stream("GET", address, timeout=None) as answer:
        for line in answer.iter_lines():
            if line.startswith('data: {"rows"'):
                for row in json.loads(line.removeprefix("data: "))["rows"]:
                    seen.put(row["html"])


def _seen(seen: queue.Queue[str], accounts: Sequence[str]) -> list[str]:
    """Which of them are in the next row, if one comes."""
    with contextlib.suppress(queue.Empty):
        html = seen.get(timeout=0.02)
        return [account for account in accounts if account in html and "Accepted" in html]
    return []


def _polls(client: httpx.Client) -> float:
    for line in client.get("/metrics").text.splitlines():
        if line.startswith('postwatch_live_polls_total{end="answered"}'):
            return float(line.rpartition(" ")[2])
    return 0.0
