"""How long the page and the API take under load: clients that ask at once over a table of made-up rows of 30 days.

`python -m tests.benchmarks.page_load [--other POSTWATCH] [--rows N]`: `--other` is the command of another build, whose
server is asked over the same table in turn with this one's, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.deploy.embedded.process import own_children
from postwatch.deploy.migrate import migrate
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.report_latency import ACCOUNTS, DOMAINS, fill
from tests.waiting import wait_until

CLIENTS = 20
REQUESTS = 50
"""Of each client."""
DEFAULT_ROWS = 300_000


class Load(NamedTuple):
    """Of all requests of all clients, in ms."""

    requests: int
    failed: int
    p50_ms: float
    p95_ms: float
    per_second: float


def ask(address: str, path: str, clients: int = CLIENTS, requests: int = REQUESTS, seed: int = 1) -> Load:
    """`path` with {account} in it, of busy accounts more often than of quiet ones."""

    def client(number: int) -> list[tuple[int, float]]:
        chance = random.Random(seed * 1000 + number)
        found = []
        with httpx.Client(base_url=address, timeout=60) as http:
            for _ in range(requests):
                account = int(chance.random() ** 2 * ACCOUNTS)
                name = f"user{account}@d{account % DOMAINS}.example"
                started = time.monotonic()
                status = http.get(path.format(account=name)).status_code
                found.append((status, (time.monotonic() - started) * 1000))
        return found

    started = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        told = [one for some in pool.map(client, range(clients)) for one in some]
    seconds = time.monotonic() - started
    times = statistics.quantiles([ms for _, ms in told], n=20)
    failed = sum(status != 200 for status, _ in told)
    return Load(len(told), failed, times[9], times[18], len(told) / seconds)


def serve(command: Sequence[str], settings: ClickHouseSettings, folder: Path) -> str:
    """Starts a build's server → its address. It ends with this process."""
    port = choose_port()
    environment = {
        "POSTWATCH_CLICKHOUSE_URL": settings.url,
        "POSTWATCH_CLICKHOUSE_DATABASE": settings.database,
        "POSTWATCH_QUERY_LISTEN": f"{LOOPBACK}:{port}",
    }
    own_children().start([*command, "serve"], folder / f"serve-{port}.log", environment)
    address = f"http://{LOOPBACK}:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/health").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers, f"{command} serves", seconds=60)
    return address


PATHS = {"page": "/?account={account}&show=all", "API": "/api/v1/accounts/{account}/deliveries"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", help="the command of another build")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each client")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="postwatch-load-"))
    engine = EmbeddedClickHouse(folder / "clickhouse")
    engine.start()
    settings = replace(engine.settings, database="load")
    migrate(connect(settings, database=""), settings)
    fill(settings, arguments.rows)
    builds = {"this build": [sys.executable, "-m", "postwatch.deploy"]}
    if arguments.other:
        builds["the other"] = [arguments.other]
    addresses = {name: serve(command, settings, folder) for name, command in builds.items()}
    for kind, path in PATHS.items():
        for address in addresses.values():
            ask(address, path, requests=2, seed=99)
        for number in range(arguments.rounds):
            for name, address in addresses.items():
                load = ask(address, path, requests=arguments.requests, seed=number)
                print(
                    f"{kind}, {name}: {arguments.rows:,} rows, {CLIENTS} clients, {load.requests} requests,"
                    f" {load.failed} failed: p50 {load.p50_ms:.0f} ms, p95 {load.p95_ms:.0f} ms,"
                    f" {load.per_second:.0f}/s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
