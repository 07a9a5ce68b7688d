"""How fast a whole result is downloaded, and how much memory `postwatch serve` takes for it: one domain with every row.

The way is the whole one: ClickHouse, `postwatch serve` as a process of its own, HTTP, a client that only counts.
`python -m tests.benchmarks.downloads [--rows N]` prints the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import migrate
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.report_latency import fill

DOMAIN = "all.example"
DEFAULT_ROWS = 1_000_000
_ONE_DOMAIN = (
    "INSERT INTO {database:Identifier}.deliveries SELECT * REPLACE ({domain:String} AS account_domain,"
    " concat(substringIndex(account, '@', 1), '@', {domain:String}) AS account) FROM {database:Identifier}.deliveries"
    " WHERE version = 2"
)


class DownloadSpeed(NamedTuple):
    form: str
    encoding: str
    rows: int
    seconds: float
    sent_bytes: int
    first_bytes: int
    """What `serve` had resident before, after a small file."""
    grown_bytes: int
    """The most that it grew above that."""
    cpu_seconds: float
    """Of `serve`."""
    engine_bytes: int = 0
    """The most that ClickHouse had resident meanwhile."""


def measure_downloads(
    settings: ClickHouseSettings,
    rows: int = DEFAULT_ROWS,
    forms: tuple[str, ...] = ("csv", "ndjson"),
    engine_bytes: Callable[[], int] = lambda: 0,
) -> list[DownloadSpeed]:
    """Fill the migrated, empty database of `settings` with so many rows of one domain, and download them all.
    `engine_bytes` tells what ClickHouse has resident."""
    fill(settings, rows)
    connect(settings, timeout_seconds=900).command(
        _ONE_DOMAIN, parameters={"database": settings.database, "domain": DOMAIN}
    )
    with _serving(settings) as (client, process):
        _download(client, "csv", "identity", process, "user0@d0.example", engine_bytes)
        return [
            _download(client, form, encoding, process, f"@{DOMAIN}", engine_bytes)
            for form in forms
            for encoding in ("identity", "gzip")
        ]


def _download(
    client: httpx.Client,
    form: str,
    encoding: str,
    process: psutil.Process,
    account: str,
    engine_bytes: Callable[[], int],
) -> DownloadSpeed:
    started, at_first, used = time.monotonic(), process.memory_info().rss, process.cpu_times()
    lines = sent_bytes = 0
    most, of_engine = at_first, engine_bytes()
    with client.stream(
        "GET", f"/api/v1/accounts/{account}/deliveries.{form}", headers={"accept-encoding": encoding}
    ) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_bytes(1 << 20):
            lines += piece.count(b"\n")
            most = max(most, process.memory_info().rss)
            of_engine = max(of_engine, engine_bytes())
        sent_bytes = answer.num_bytes_downloaded
    now = process.cpu_times()
    return DownloadSpeed(
        form,
        encoding,
        lines - (form == "csv"),
        time.monotonic() - started,
        sent_bytes,
        at_first,
        most - at_first,
        now.user + now.system - used.user - used.system,
        of_engine,
    )


@contextlib.contextmanager
def _serving(settings: ClickHouseSettings) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    environment = {
        **os.environ,
        "POSTWATCH_CLICKHOUSE_URL": settings.url,
        "POSTWATCH_CLICKHOUSE_USER": settings.user,
        "POSTWATCH_CLICKHOUSE_DATABASE": settings.database,
        "POSTWATCH_QUERY_LISTEN": "127.0.0.1:0",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "postwatch.deploy", "serve"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None
        with httpx.Client(base_url=found[0], timeout=120) as client:
            yield client, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.communicate(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    arguments = parser.parse_args()
    engine = EmbeddedClickHouse(Path(tempfile.mkdtemp(prefix="postwatch-downloads-")) / "clickhouse")
    engine.start()
    settings = replace(engine.settings, database="downloads")
    migrate(connect(settings, database=""), settings)
    [server] = [one for one in psutil.Process().children(recursive=True) if "clickhouse" in " ".join(one.cmdline())]
    for one in measure_downloads(settings, arguments.rows, engine_bytes=lambda: int(server.memory_info().rss)):
        print(
            f"{one.form}, {one.encoding}: {one.rows:,} rows, {one.sent_bytes / 1e6:,.0f} MB in {one.seconds:.0f} s,"
            f" {one.cpu_seconds:.0f} s of CPU of serve; serve {one.first_bytes / 1e6:.0f} MB before,"
            f" {(one.first_bytes + one.grown_bytes) / 1e6:.0f} at most; ClickHouse {one.engine_bytes / 1e6:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
