"""The real ClickHouse engine (chDB) behind ClickHouse's HTTP interface, as a process of its own.

    python -m postwatch.deploy.embedded.clickhouse --data-dir DIR --port PORT

It serves what clickhouse-connect needs: queries and commands with server-side parameters and settings, inserts of any
format, compression, exceptions with their codes. chDB has no users and no listener of its own, so this is for loopback.
One process owns a data folder; queries run on a few connections, each used by one request at a time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import queue
import re
import signal
import socket
import sys
import tempfile
import threading
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import lz4.frame

_CONNECTIONS = 6
_MOST_BODY_BYTES = 1 << 30
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s", re.IGNORECASE)
_INSERT_FORMAT = re.compile(rb"\s+FORMAT\s+(\w+)\s*$", re.IGNORECASE)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_RETURNS_ROWS = re.compile(r"\s*(?:\(|SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK)", re.IGNORECASE)
_ERROR_CODE = re.compile(r"Code: (\d+)")
_SETTING_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DEFAULT_FORMAT = "TabSeparated"
_NOT_SETTINGS = {
    "query",
    "database",
    "default_format",
    "session_id",
    "session_timeout",
    "session_check",
    "query_id",
    "user",
    "password",
    "role",
    "client_protocol_version",
    "enable_http_compression",
    "wait_end_of_query",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close",
    "compress",
    "decompress",
    "buffer_size",
    "async_insert",
    "wait_for_async_insert",
}
"""Parameters of the HTTP interface, and settings that mean nothing without a server."""


class Answer(NamedTuple):
    body: bytes
    form: str
    rows_read: int
    rows_written: int


class Engine:
    """chDB over one data folder, and a few connections to it."""

    def __init__(self, data_dir: Path) -> None:
        from chdb.state import sqlitelike

        data_dir.mkdir(parents=True, exist_ok=True)
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(sqlitelike.Connection(str(data_dir)))

    def run(self, body: bytes, parameters: dict[str, str]) -> Answer:
        """One statement. Raises RuntimeError with the engine's words."""
        connection = self._idle.get()
        try:
            database = parameters.get("database") or "default"
            connection.query(f"USE `{database.replace('`', '')}`", _DEFAULT_FORMAT)
            statement = parameters.get("query", "").encode()
            if statement and body and not _INSERT.match(statement):
                statement += b" " + body
                body = b""
            if _INSERT.match(statement or body):
                return self._insert(connection, statement + b"\n" + body if statement else body, parameters)
            return self._query(connection, (statement or body).decode(), parameters)
        finally:
            self._idle.put(connection)

    def _insert(self, connection: Any, whole: bytes, parameters: dict[str, str]) -> Answer:
        statement, _, rows = whole.partition(b"\n")
        named = _INSERT_FORMAT.search(statement)
        if named is None:
            return self._query(connection, whole.decode(), parameters)
        # By way of a file: send_insert raises nothing when the table refuses the rows (chDB 4.4), and they would be
        # lost; and a query takes no more than a megabyte of rows behind its text.
        with tempfile.NamedTemporaryFile(prefix="postwatch-insert-") as file:
            file.write(rows)
            file.flush()
            insert = f"{statement[: named.start()].decode()} FROM INFILE '{file.name}' FORMAT {named[1].decode()}"
            result = connection.query(insert, _DEFAULT_FORMAT)
        return Answer(b"", _DEFAULT_FORMAT, 0, result.rows_written())

    def _query(self, connection: Any, statement: str, parameters: dict[str, str]) -> Answer:
        values = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
        named = _FORMAT.search(statement)
        form = named[1] if named else parameters.get("default_format", _DEFAULT_FORMAT)
        if _RETURNS_ROWS.match(statement):
            statement = statement.rstrip().rstrip(";") + _settings_clause(parameters)
        result = connection.query(statement, form, params=values)
        return Answer(bytes(result.bytes()), form, result.rows_read(), result.rows_written())


def _settings_clause(parameters: dict[str, str]) -> str:
    pairs = [
        f"{name} = '{value.translate(_QUOTING)}'"
        for name, value in parameters.items()
        if name not in _NOT_SETTINGS and not name.startswith("param_") and _SETTING_NAME.fullmatch(name)
    ]
    return " SETTINGS " + ", ".join(pairs) if pairs else ""


_QUOTING = str.maketrans({"'": "\\'", "\\": "\\\\"})


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding; clickhouse-connect sends each block as an lz4 frame of its own."""
    if encoding == "lz4":
        plain = bytearray()
        while body:
            frame = lz4.frame.LZ4FrameDecompressor()
            plain += frame.decompress(body)
            body = frame.unused_data or b""
        return bytes(plain)
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    if encoding:
        raise ValueError(f"Code: 48. Content-Encoding {encoding} is not served here; use lz4 or gzip")
    return body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/ping":
            self._answer(200, b"Ok.\n", {})
        else:
            self._run(b"")

    def do_POST(self) -> None:
        self._run(self._body())

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MOST_BODY_BYTES))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _run(self, body: bytes) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query_id = parameters.get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": "UTC"}
        try:
            plain = decompress(body, self.headers.get("Content-Encoding", ""))
            answer = self.engine.run(plain, parameters)
        except Exception as error:
            words = str(error)
            code = _ERROR_CODE.search(words)
            headers["X-ClickHouse-Exception-Code"] = code[1] if code else "1002"
            self._answer(404 if code and code[1] in ("60", "81") else 500, words.encode(), headers)
            return
        headers["X-ClickHouse-Format"] = answer.form
        headers["X-ClickHouse-Summary"] = json.dumps(
            {"read_rows": str(answer.rows_read), "written_rows": str(answer.rows_written)}
        )
        self._answer(200, answer.body, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are too many to log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, socket.timeout)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(data_dir: Path, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    engine = Engine(data_dir)
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"engine": engine}))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description="The ClickHouse engine behind ClickHouse's HTTP interface.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    serve(arguments.data_dir, arguments.port)


if __name__ == "__main__":
    main()
