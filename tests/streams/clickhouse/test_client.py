"""Who does not answer, and who answers but is not ClickHouse, is told in one plain sentence."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.service.errors import SettingsError, UnavailableError
from postwatch.producers.service.settings import load
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings


@contextmanager
def web_server(status: int, body: bytes = b"<html>Welcome</html>") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def listener(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does as `talk` says with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def complaint(url: str) -> str:
    with pytest.raises(UnavailableError) as caught:
        connect(ClickHouseSettings(url=url), timeout_seconds=5)
    words = str(caught.value)
    assert "Error" not in words  # no name of a class
    assert "object at" not in words
    assert "(" not in words.replace("(HTTP status", "") or words.count("(") == 1
    return words


def test_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{choose_port()}"
    logging.getLogger("urllib3").setLevel(logging.NOTSET)
    assert complaint(url) == (
        f"ClickHouse does not answer at {url} (connection refused); start it, or set POSTWATCH_CLICKHOUSE_URL"
    )
    assert caplog.text == ""
    assert "(the host name is unknown)" in complaint("http://no-such-host.invalid:8123")


def greet(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


def hang_up(connection: socket.socket) -> None:
    connection.recv(4096)


def test_what_answers_breaks_off_or_speaks_something_else() -> None:
    with listener(greet) as port:
        assert "(what answers there does not speak HTTP)" in complaint(f"http://127.0.0.1:{port}")
        assert "(no TLS connection: " in complaint(f"https://127.0.0.1:{port}")
    with listener(hang_up) as port:
        assert "(the connection was closed)" in complaint(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("status", [404, 401, 403, 500])
def test_a_web_server_is_not_clickhouse(status: int) -> None:
    with web_server(status) as url:
        assert complaint(url) == (
            f"{url} answers, but it is not ClickHouse (HTTP status {status}); "
            "set POSTWATCH_CLICKHOUSE_URL to the HTTP address of ClickHouse"
        )


def test_a_web_server_that_says_yes_to_everything_is_not_clickhouse() -> None:
    with web_server(200) as url:
        assert f"{url} answers, but it is not ClickHouse; set POSTWATCH_CLICKHOUSE_URL" in complaint(url)


def test_a_proxy_says_that_clickhouse_is_away() -> None:
    with web_server(502) as url:
        assert f"a proxy answers at {url} (HTTP status 502), but ClickHouse behind it does not" in complaint(url)


def test_the_port_of_the_native_protocol_is_told() -> None:
    body = b"Port 9000 is for clickhouse-client program\r\nYou must use port 8123 for HTTP.\r\n"
    with web_server(400, body) as url:
        assert f"{url} is not the HTTP port of ClickHouse but that of its own protocol" in complaint(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://anna:s3cret@clickhouse:8123",
        "anna:s3cret@clickhouse",
        "http://anna:s3c/ret@clickhouse:8123",
        "http://clickhouse:8123/?user=anna&password=s3cret",
    ],
)
def test_credentials_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_CLICKHOUSE_USER and POSTWATCH_CLICKHOUSE_PASSWORD") as caught:
        load(ClickHouseSettings, {"POSTWATCH_CLICKHOUSE_URL": url})
    assert "s3c" not in str(caught.value)
    assert "anna" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "",
        "clickhouse:8123",
        "tcp://clickhouse:9000",
        "http://",
        "http://a:b",
        "http://a:99999",
        "http://a b",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="is not an HTTP address: use http://HOST:PORT"):
        load(ClickHouseSettings, {"POSTWATCH_CLICKHOUSE_URL": url})


def test_a_database_in_the_url_is_refused() -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_CLICKHOUSE_DATABASE"):
        load(ClickHouseSettings, {"POSTWATCH_CLICKHOUSE_URL": "http://clickhouse:8123/postwatch"})


@pytest.mark.parametrize("url", ["http://clickhouse", "https://clickhouse:8443/", "http://[::1]:8123", "HTTP://a:1"])
def test_addresses(url: str) -> None:
    assert load(ClickHouseSettings, {"POSTWATCH_CLICKHOUSE_URL": url}).url == url
