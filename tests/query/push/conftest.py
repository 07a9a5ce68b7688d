"""An endpoint of webhooks: a real HTTP server on the loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from postwatch.query.push.addresses import read_networks

LOOPBACK = read_networks(["127.0.0.0/8"])


class Endpoint(ThreadingHTTPServer):
    """Answers as it is told; keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 204
        self.wait = threading.Event()
        self.waits = False
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if endpoint.waits:
                    endpoint.wait.wait(30)
                endpoint.taken.append((self.path, dict(self.headers.items()), body))
                self.send_response(endpoint.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?of=ann"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.wait.set()
    server.shutdown()
    server.server_close()
