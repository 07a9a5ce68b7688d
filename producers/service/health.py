"""Prometheus metrics and a health address, the same for every long-running part.

GET /metrics is the text exposition; GET /health answers 200 while the part works and 503, with the reason, while it
is degraded (Kafka or ClickHouse away, say). A degraded part still runs and retries: restart it on a missing answer,
not on 503. For a supervisor, GET /alive answers 200 while the main loop turns, whoever is away, and GET /ready once the
part has begun to work.
"""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from postwatch.producers.service.errors import SettingsError

Expose = Callable[[], tuple[str, bytes]]
"""The metrics of a process: their content type, and the text."""
HANGS_AFTER_SECONDS = 300.0
"""A main loop that did not turn for so long does not turn any more. An insert may take a minute."""


class Health:
    """What a part says of itself: a set of named complaints; none means healthy. And whether its main loop turns."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_ready = False
        """The part has begun to work."""
        self._clock = clock
        self._turned_at = clock()
        self._complaints: dict[str, str] = {}
        self._lock = threading.Lock()

    def turn(self) -> None:
        """The main loop, and nobody else, says that it turns."""
        self._turned_at = self._clock()

    @property
    def is_alive(self) -> bool:
        return self._clock() - self._turned_at < HANGS_AFTER_SECONDS

    def complain(self, name: str, reason: str) -> None:
        with self._lock:
            self._complaints[name] = reason

    def settle(self, name: str) -> None:
        with self._lock:
            self._complaints.pop(name, None)

    def complaints(self) -> dict[str, str]:
        with self._lock:
            return dict(self._complaints)


def parse_address(address: str, setting: str) -> tuple[str, int]:
    """'127.0.0.1:9101' → ('127.0.0.1', 9101). Raises SettingsError that names `setting`."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise SettingsError(f"{setting}={address!r} is not an address: use host:port, such as 127.0.0.1:9100")
    return host.strip("[]"), int(port)


def serve_metrics(address: str, setting: str, health: Health, expose: Expose) -> ThreadingHTTPServer | None:
    """Serve /metrics and /health from a daemon thread; an empty address serves nothing. Port 0 picks a free one."""
    if not address:
        return None

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a client that says nothing may not keep a thread for ever

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer_with_metrics()
            elif path == "/health":
                complaints = health.complaints()
                body = json.dumps({"healthy": not complaints, "complaints": complaints}).encode()
                self._answer(503 if complaints else 200, "application/json", body)
            elif path in ("/alive", "/ready"):
                is_so = health.is_alive if path == "/alive" else health.is_ready
                self._answer(200 if is_so else 503, "text/plain", b"yes\n" if is_so else b"no\n")
            else:
                self._answer(404, "text/plain", b"GET /metrics, /health, /alive or /ready\n")

        do_HEAD = do_GET

        def _answer_with_metrics(self) -> None:
            """Those of ten thousand servers are megabytes, and a tenth of that compressed."""
            content_type, body = expose()
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                self._answer(200, content_type, gzip.compress(body, 1), encoding="gzip")
            else:
                self._answer(200, content_type, body)

        def _answer(self, code: int, content_type: str, body: bytes, encoding: str = "") -> None:
            self.send_response(code)
            if encoding:
                self.send_header("Content-Encoding", encoding)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not logged."""

    host, port = parse_address(address, setting)
    try:
        server = _server_class(host)((host, port), Handler)
    except OSError as error:
        raise SettingsError(f"{setting}={address!r} can't be listened on: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            """Without HTTPServer's look-up of the host's full name: where DNS is down it holds a start up for long."""
            socketserver.TCPServer.server_bind(self)

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that disconnects early is not logged."""

    return Server
