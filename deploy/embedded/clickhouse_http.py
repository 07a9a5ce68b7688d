"""ClickHouse's HTTP interface over the embedded engine: what clickhouse-connect, curl and dashboards need of it.

The statement stands in `?query=`, in the body or in both; `param_*` are its parameters, the rest of the address its
settings. Bodies may be compressed. An exception is told by its code in a header and its words in the body. There are
no users and no compressed answers: it listens on the loopback alone.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import socketserver
import sys
import uuid
import zlib
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import cramjam
import lz4.frame
from postwatch.deploy.embedded.chdb_engine import ChdbEngine, Statement
from postwatch.deploy.embedded.ports import LOOPBACK

_MOST_BODY_BYTES = 1 << 30
_IDLE_SECONDS = 120
_ERROR_CODE = re.compile(r"Code: (\d+)")
NAME_HEADER = "X-ClickHouse-Server-Display-Name"
_UNKNOWN_EXCEPTION = "1002"
_HTTP_STATUS = {"60": 404, "62": 400, "81": 404}
"""Unknown table, syntax error, unknown database; 500 for the rest."""
_NOT_SETTINGS = frozenset(
    """query database default_format session_id session_timeout session_check query_id user password quota_key role
    client_protocol_version wait_end_of_query send_progress_in_http_headers http_headers_progress_interval_ms
    cancel_http_readonly_queries_on_client_close enable_http_compression compress decompress buffer_size""".split()
)
"""Parameters of the HTTP interface itself."""


class _TooLarge(Exception):
    pass


def read_statement(address: str, body: bytes, content_type: str = "") -> Statement:
    """The address of a request and its plain body → the statement."""
    found = dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))
    if content_type.startswith("multipart/form-data"):
        found |= read_form(body, content_type)
        body = b""
    parameters = {name[6:]: value for name, value in found.items() if name.startswith("param_")}
    settings = {
        name: value for name, value in found.items() if name not in _NOT_SETTINGS and not name.startswith("param_")
    }
    return Statement(
        text=found.get("query", "").encode(),
        body=body,
        database=found.get("database") or "default",
        parameters=parameters,
        settings=settings,
        default_format=found.get("default_format") or "TabSeparated",
    )


def read_form(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form: clickhouse-connect sends one where the parameters are too long for an address."""
    form = message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (content_type.encode(), body), policy=HTTP)
    fields: dict[str, str] = {}
    for part in form.iter_parts():
        value = part.get_payload(decode=True)
        if isinstance(value, bytes):
            fields[str(part.get_param("name", header="Content-Disposition"))] = value.decode()
    return fields


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding. Raises ValueError for one that is not served, or a body that is not what it says."""
    try:
        match encoding:
            case "":
                return body
            case "lz4":
                return _decompress_lz4(body)
            case "zstd":
                return bytes(cramjam.zstd.decompress(body))
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
    except (RuntimeError, EOFError, OSError, zlib.error, cramjam.DecompressionError) as error:
        raise ValueError(f"Code: 354. DB::Exception: the body is not valid {encoding}: {error}") from error
    raise ValueError(f"Code: 48. DB::Exception: Content-Encoding {encoding} is not served; use lz4, zstd or gzip")


def _decompress_lz4(body: bytes) -> bytes:
    """clickhouse-connect sends each block as a frame of its own."""
    plain = bytearray()
    while body:
        frame = lz4.frame.LZ4FrameDecompressor()
        plain += frame.decompress(body)
        if not frame.eof:
            raise EOFError("a frame is cut short")
        body = frame.unused_data or b""
    return bytes(plain)


class _Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = _IDLE_SECONDS
    engine: ChdbEngine
    name: str

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/ping" or (path.path == "/" and not path.query):
            self._send(_Reply(200, b"Ok.\n", {}))
        else:
            self._send(self._reply(b""))

    def do_POST(self) -> None:
        try:
            body = self._read_body()
        except (_TooLarge, ValueError):
            self.close_connection = True  # what is left of the body would be taken for the next request
            self._send(_Reply(413, b"the body is larger than 1 GiB, or its length can't be read\n", {}))
            return
        self._send(self._reply(body))

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            size_bytes = int(self.headers.get("Content-Length") or 0)
            if size_bytes > _MOST_BODY_BYTES:
                raise _TooLarge
            return self.rfile.read(size_bytes)
        body = bytearray()
        while size_bytes := int(self.rfile.readline().split(b";")[0], 16):
            if len(body) + size_bytes > _MOST_BODY_BYTES:
                raise _TooLarge
            body += self.rfile.read(size_bytes)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _reply(self, body: bytes) -> _Reply:
        query_id = dict(parse_qsl(urlsplit(self.path).query)).get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": "UTC"}
        try:
            plain = decompress(body, self.headers.get("Content-Encoding", ""))
            answer = self.engine.run(read_statement(self.path, plain, self.headers.get("Content-Type", "")))
        except Exception as error:  # whatever it is, the client is told and the server lives on
            words = str(error) or type(error).__name__
            found = _ERROR_CODE.search(words)
            code = found[1] if found else _UNKNOWN_EXCEPTION
            return _Reply(
                _HTTP_STATUS.get(code, 500), words.encode() + b"\n", {**headers, "X-ClickHouse-Exception-Code": code}
            )
        summary = {"read_rows": str(answer.rows_read), "written_rows": str(answer.rows_written)}
        headers |= {"X-ClickHouse-Format": answer.format, "X-ClickHouse-Summary": json.dumps(summary)}
        return _Reply(200, answer.body, headers)

    def _send(self, reply: _Reply) -> None:
        self.send_response(reply.status)
        self.send_header(NAME_HEADER, self.name)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are too many to log."""


class ClickHouseServer(ThreadingHTTPServer):
    """The engine on a port of the loopback. Raises OSError where the port is taken."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: ChdbEngine, port: int, name: str) -> None:
        """`name` stands in every answer, so that whoever started this server can tell it from another one."""
        super().__init__((LOOPBACK, port), type("Handler", (_Handler,), {"engine": engine, "name": name}))

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the host's full name: where DNS is down it holds a start up for long."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, socket.timeout)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
