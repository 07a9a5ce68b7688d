"""How fast a whole result is downloaded, and how much memory `postwatch serve` takes for it: one domain with every row.

The way is the whole one: ClickHouse, `postwatch serve` as a process of its own, HTTP, a client that only counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import psutil
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
    grown_bytes: int
    """The most that the process grew above what it had after a small file."""


def measure_downloads(
    settings: ClickHouseSettings, rows: int = DEFAULT_ROWS, forms: tuple[str, ...] = ("csv", "ndjson")
) -> list[DownloadSpeed]:
    """Fill the migrated, empty database of `settings` with so many rows of one domain, and download them all."""
    fill(settings, rows)
    connect(settings, timeout_seconds=900).command(
        _ONE_DOMAIN, parameters={"database": settings.database, "domain": DOMAIN}
    )
    with _serving(settings) as (client, process):
        _download(client, "csv", "identity", process, "user0@d0.example")
        return [
            _download(client, form, encoding, process, f"@{DOMAIN}")
            for form in forms
            for encoding in ("identity", "gzip")
        ]


def _download(client: httpx.Client, form: str, encoding: str, process: psutil.Process, account: str) -> DownloadSpeed:
    started, at_first = time.monotonic(), process.memory_info().rss
    lines = sent_bytes = 0
    most = at_first
    with client.stream(
        "GET", f"/api/v1/accounts/{account}/deliveries.{form}", headers={"accept-encoding": encoding}
    ) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_bytes(1 << 20):
            lines += piece.count(b"\n")
            most = max(most, process.memory_info().rss)
        sent_bytes = answer.num_bytes_downloaded
    return DownloadSpeed(
        form, encoding, lines - (form == "csv"), time.monotonic() - started, sent_bytes, most - at_first
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
