"""An HTTP front that makes a cluster of one server of the embedded engine, whose queue of DDL can be slow.

What it can't have without a Keeper is left out of the statements on their way: ON CLUSTER, replicas, and the
Distributed table, in whose place a Merge table stands. All else goes to the real engine as it came. A statement that is
put off is answered as a cluster does, with code 159, and run later; system.distributed_ddl_queue tells of it.
"""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from postwatch.deploy.embedded.ports import LOOPBACK
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

_REWRITTEN = (
    (re.compile(r" ON CLUSTER '\w+'"), ""),
    (re.compile(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?"), r"\1("),
    (re.compile(r"ENGINE = Distributed\('\w+', (\w+), (\w+),.*", re.DOTALL), r"ENGINE = Merge(\1, '^\2$')"),
    (re.compile(r"clusterAllReplicas\('\w+', ([\w.]+)\)"), r"\1"),
)
_QUEUE = "system.distributed_ddl_queue"
_FIRST_WORDS = re.compile(r"\s*(\w+ (?:OR REPLACE )?\w+)")


@dataclass
class ClusterFront:
    """At `settings`; `puts_off` says of which kind of statement (CREATE TABLE) the first is put off."""

    engine: ClickHouseSettings
    queue: str
    """A table of the engine with the columns of the queue; empty: the cluster has none."""
    puts_off: Callable[[str], bool] = lambda kind: True
    looks: int = 2
    """How often the queue is looked at until a statement that was put off is run."""
    fails: str = ""
    """What the server says of each statement that was put off."""
    given: list[str] = field(default_factory=list)
    put_off: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._later: list[str] = []
        self._looks = 0
        self._lock = threading.Lock()
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                front._answer(self, b"")

            def do_POST(self) -> None:
                front._answer(self, _body_of(self))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        if self.queue:
            connect(self.engine, database="").command(f"CREATE TABLE {self.queue} AS {_QUEUE} ENGINE = Memory")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        encoding = request.headers.get("Content-Encoding", "")
        if not encoding and body:
            text = body.decode()
            if " ON CLUSTER " in text:
                with self._lock:
                    if entry := self._take(text):
                        self._refuse(request, entry)
                        return
            body = self._rewritten(text).encode()
        connection = http.client.HTTPConnection(self.engine.url.removeprefix("http://"), timeout=60)
        headers = {
            name: value for name, value in request.headers.items() if name in ("Content-Type", "Content-Encoding")
        }
        connection.request(request.command, request.path, body or None, headers)
        answer = connection.getresponse()
        self._send(request, answer.status, answer.read(), dict(answer.getheaders()))
        connection.close()

    def _rewritten(self, text: str) -> str:
        if self.queue and _QUEUE in text:
            self._look()
            text = text.replace(_QUEUE, self.queue)
        for pattern, by in _REWRITTEN:
            text = pattern.sub(by, text)
        return text

    def _take(self, text: str) -> str:
        """The entry of a statement that is put off."""
        found = _FIRST_WORDS.match(text)
        kind = found[1] if found else ""
        self.given.append(text)
        if kind in self.put_off or not self.puts_off(kind):
            return ""
        self.put_off.append(kind)
        self._later.append(text)
        self._looks = 0
        entry = f"query-{len(self.given):010}"
        if self.queue:
            row = f"('{entry}', 'mail', 'clickhouse2', 9000, 'Inactive', 0)"
            columns = "entry, cluster, host, port, status, exception_code"
            connect(self.engine, database="").command(f"INSERT INTO {self.queue} ({columns}) VALUES {row}")
        return entry

    def _look(self) -> None:
        """The queue is looked at: the second time the statement runs."""
        with self._lock:
            self._looks += 1
            if not self._later or self._looks < self.looks:
                return
            client = connect(self.engine, database="")
            for text in () if self.fails else self._later:
                client.command(self._rewritten(text))
            self._later.clear()
            client.command(
                f"CREATE OR REPLACE TABLE {self.queue} ENGINE = Memory AS SELECT * REPLACE ("
                f"CAST('Finished' AS {_STATUS}) AS status, CAST({60 if self.fails else 0} AS Nullable(UInt16)) AS "
                f"exception_code, CAST('{self.fails}' AS Nullable(String)) AS exception_text) FROM {self.queue}"
            )

    def _refuse(self, request: BaseHTTPRequestHandler, entry: str) -> None:
        words = (
            f"Code: 159. DB::Exception: Distributed DDL task /clickhouse/task_queue/ddl/{entry} is not finished on 1 "
            "of 2 hosts (0 of them are currently executing the task, 1 are inactive). They are going to execute the "
            "query in background. Was waiting for 30.1 seconds, which is longer than distributed_ddl_task_timeout. "
            "(TIMEOUT_EXCEEDED)\n"
        )
        self._send(request, 500, words.encode(), {"X-ClickHouse-Exception-Code": "159"})

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in headers.items():
            if name.startswith("X-ClickHouse"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


def _body_of(request: BaseHTTPRequestHandler) -> bytes:
    if "Content-Length" in request.headers:
        return request.rfile.read(int(request.headers["Content-Length"]))
    body = bytearray()
    while size_bytes := int(request.rfile.readline(), 16):  # the rows of an insert come in chunks
        body += request.rfile.read(size_bytes)
        request.rfile.readline()
    request.rfile.readline()
    return bytes(body)


_STATUS = "Nullable(Enum8('Inactive' = 0, 'Active' = 1, 'Finished' = 2, 'Removing' = 3, 'Unknown' = 4))"
