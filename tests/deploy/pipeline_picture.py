"""The picture of the Pipeline dashboard: a real pipeline, and each panel's own PromQL asked of a real Prometheus.

    .venv/bin/python -m pip install '.[pictures]'
    .venv/bin/python -m tests.deploy.pipeline_picture docs/images

Needs Debian's `prometheus` on the PATH. Two shippers, two joins, a sink and `serve` run for some minutes. The sink is
away for a while, a join is started again, a log holds lines that can't be read, and pages are asked for: so no panel is
empty.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.deploy.simulator import exim

from tests.benchmarks.freshness import GrowingLog, traffic
from tests.benchmarks.stack import Lane, started_stack
from tests.deploy.grafana import View
from tests.deploy.panel_pictures import Answer, draw
from tests.deploy.prometheus import Prometheus, Samples, Scraped
from tests.waiting import wait_until

SECONDS = 300.0
LINES_A_SECOND = 200
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


class Pipeline:
    """Its parts, each with metrics."""

    def __init__(self, lane: Lane, seconds: float) -> None:
        self._lane = lane
        self._seconds = seconds
        self._sink, self._serve, *self._joins = (choose_port() for _ in range(4))
        self._ships = {f"mail{number}:9101": choose_port() for number in (1, 2)}
        self.logs = [GrowingLog(lane.folder / f"mainlog{number}") for number in (1, 2)]

    def scraped(self) -> list[Scraped]:
        return [
            *(Scraped("postwatch-ship", name, port) for name, port in self._ships.items()),
            *(Scraped("postwatch-join", f"join{number}:9102", port) for number, port in enumerate(self._joins, 1)),
            Scraped("postwatch-sink", "sink1:9103", self._sink),
            Scraped("postwatch-serve", "serve1:8080", self._serve),
        ]

    def start(self) -> None:
        self.start_sink()
        for number in (1, 2):
            self.start_join(number)
        for number, port in enumerate(self._ships.values(), 1):
            name = f"mail{number}"
            self._lane.start(
                "ship",
                POSTWATCH_SHIP_FILES=str(self._lane.folder / f"mainlog{number}"),
                POSTWATCH_SHIP_FORMAT="exim-main",
                POSTWATCH_SHIP_TZ="UTC",
                POSTWATCH_SHIP_SERVER=name,
                POSTWATCH_SHIP_CHECKPOINT_FILE=str(self._lane.folder / f"{name}.json"),
                POSTWATCH_SHIP_METRICS_ADDRESS=f"{LOOPBACK}:{port}",
            )
        self._lane.start("serve", POSTWATCH_QUERY_LISTEN=f"{LOOPBACK}:{self._serve}")
        self._lane.warm_up(120)

    def start_sink(self) -> None:
        self._lane.start("sink", POSTWATCH_SINK_METRICS_ADDRESS=f"{LOOPBACK}:{self._sink}")

    def start_join(self, number: int) -> None:
        address = f"{LOOPBACK}:{self._joins[number - 1]}"
        self._lane.start_join(number, POSTWATCH_JOIN_METRICS_ADDRESS=address)

    def stop(self, name: str) -> None:
        part = next(one for one in self._lane.parts if one.name == name)
        part.stop()
        self._lane.parts.remove(part)

    def live(self) -> None:
        """All that happens, by shares of the time."""
        steps: list[tuple[float, Callable[[], None]]] = [
            (0.25, lambda: self.stop("sink")),
            (0.37, self.start_sink),
            (0.55, lambda: self.stop("join-2")),
            (0.65, lambda: self.start_join(2)),
            *((0.7 + 0.02 * number, self._write_unreadable) for number in range(8)),
        ]
        began = time.monotonic()
        for share, step in steps:
            time.sleep(max(began + share * self._seconds - time.monotonic(), 0))
            step()
        time.sleep(max(began + self._seconds - time.monotonic(), 0))
        self._lane.check()

    def _write_unreadable(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.logs[1].append(
            [f"{exim.stamp(now_ms)} {exim.queue_id(now_ms, number)} <= ".encode() for number in range(20)]
        )

    @contextmanager
    def visitors(self) -> Iterator[None]:
        stopping = threading.Event()

        def visit() -> None:
            with httpx.Client(base_url=f"http://{LOOPBACK}:{self._serve}", timeout=30) as client:
                for path in itertools.cycle(("/servers", "/bounces", "/nothing", "/?account=@example.com", "/queue")):
                    with suppress(httpx.TransportError):
                        client.get(path)
                    if stopping.wait(0.4):
                        return

        visitor = threading.Thread(target=visit, daemon=True)
        visitor.start()
        try:
            yield
        finally:
            stopping.set()
            visitor.join()


def legend(words: str, samples: Samples) -> str:
    """As Grafana writes it."""
    return _LEGEND.sub(lambda found: samples.labels.get(found[1], ""), words)


def asked(prometheus: Prometheus, panel: dict[str, Any], since: float, until: float) -> Answer:
    """The answers of all targets of a panel."""
    if panel["type"] == "stat":
        [target] = panel["targets"]
        return ["value"], [(samples.values[0][1],) for samples in prometheus.now(target["expr"])]
    rows = [
        (datetime.datetime.fromtimestamp(at, datetime.UTC), legend(target["legendFormat"], samples), value)
        for target in panel["targets"]
        for samples in prometheus.between(target["expr"], since, until)
        for at, value in samples.values
        if value == value  # no quantile of nothing
    ]
    return ["time", "name", "value"], sorted(rows)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments = parser.parse_args(words)
    mpl.use("agg")
    with tempfile.TemporaryDirectory() as data, started_stack(Path(data)) as stack, stack.lane() as lane:
        pipeline = Pipeline(lane, arguments.seconds)
        pipeline.start()
        prometheus = Prometheus(Path(data) / "prometheus", pipeline.scraped())
        prometheus.start()
        lane.parts.append(prometheus)
        with ExitStack() as busy:
            since = time.time()
            for log, rate in zip(pipeline.logs, (LINES_A_SECOND, LINES_A_SECOND // 4), strict=True):
                busy.enter_context(traffic(log, rate, arguments.seconds * 2))
            busy.enter_context(pipeline.visitors())
            pipeline.live()
        until = time.time()
        wait_until(lambda: prometheus.now("up"), "something was scraped")
        draw(
            "pipeline",
            lambda panel: asked(prometheus, panel, since, until),
            View(int(since), int(until), prometheus.scrape_seconds),
            arguments.folder / "dashboard-pipeline.png",
        )


if __name__ == "__main__":
    main()
