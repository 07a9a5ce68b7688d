"""The real ClickHouse engine (chDB) behind ClickHouse's HTTP interface, as a process of its own.

    python -m postwatch.deploy.embedded.clickhouse --data-dir DIR --port PORT

A process started anew, never a fork: a forked child of a process that has loaded chDB hangs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from postwatch.deploy.embedded.part import Part, get
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.deploy.embedded.process import Children
from postwatch.producers.service.memory import bound_heap
from postwatch.streams.settings import ClickHouseSettings


class EmbeddedClickHouse(Part):
    """One engine over one data folder. `start` may be called again after `stop` or `kill`: the tables stay."""

    def __init__(
        self, data_dir: Path, port: int = 0, *, log_path: Path | None = None, children: Children | None = None
    ) -> None:
        super().__init__("clickhouse", log_path or data_dir.with_name(data_dir.name + ".log"), children)
        self.data_dir = data_dir
        self.port = port or choose_port()
        self._name = uuid.uuid4().hex

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def settings(self) -> ClickHouseSettings:
        return ClickHouseSettings(url=self.url)

    def command(self) -> Sequence[str]:
        options = [f"--data-dir={self.data_dir}", f"--port={self.port}", f"--name={self._name}"]
        return [sys.executable, "-m", "postwatch.deploy.embedded.clickhouse", *options]

    def is_ready(self) -> bool:
        """Whether it answers, and not another server that was faster to take the port."""
        answer = get(LOOPBACK, self.port, "/ping")
        return answer is not None and answer.headers.get("X-ClickHouse-Server-Display-Name") == self._name


def serve(data_dir: Path, port: int, name: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    bound_heap()  # of the bodies of requests
    from postwatch.deploy.embedded.chdb_engine import ChdbEngine
    from postwatch.deploy.embedded.clickhouse_http import ClickHouseServer

    try:
        engine = ChdbEngine(data_dir)
        server = ClickHouseServer(engine, port, name)
    except OSError as error:
        sys.exit(f"clickhouse: {LOOPBACK}:{port} can't be listened on: {error.strerror}")
    except RuntimeError as error:
        sys.exit(f"clickhouse: {data_dir} can't be opened; is another process using it? {error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        # `shutdown` waits for the loop, which is what the signal has interrupted.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    sys.stderr.flush()
    os._exit(0)  # the engine's own way out crashes now and then; its tables outlive kill -9 as well


def main() -> None:
    parser = argparse.ArgumentParser(description="The ClickHouse engine behind ClickHouse's HTTP interface.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="postwatch", help="what it calls itself in its answers")
    arguments = parser.parse_args()
    serve(arguments.data_dir, arguments.port, arguments.name)


if __name__ == "__main__":
    main()
