"""The metrics and health address of every long-running part."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.health import HANGS_AFTER_SECONDS, Health, parse_address, serve_metrics
from postwatch.streams.exposition import expose
from prometheus_client import Counter

SETTING = "POSTWATCH_SINK_METRICS_ADDRESS"
SCRAPES = Counter("postwatch_test_scrapes_total", "Moved by this test alone.")


@pytest.fixture(scope="module")
def health() -> Health:
    return Health()


@pytest.fixture(scope="module")
def url(health: Health) -> Iterator[str]:
    server = serve_metrics("127.0.0.1:0", SETTING, health, expose)
    assert server is not None
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_metrics_are_the_text_exposition(url: str) -> None:
    SCRAPES.inc()
    response = httpx.get(f"{url}/metrics?name[]=x")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "postwatch_test_scrapes_total 1.0" in response.text


def test_metrics_are_compressed_for_whom_takes_it(url: str) -> None:
    plain, compressed = (httpx.get(f"{url}/metrics", headers={"Accept-Encoding": kind}) for kind in ("", "br, gzip"))
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert "postwatch_test_scrapes_total" in plain.text
    assert "postwatch_test_scrapes_total" in compressed.text
    assert int(compressed.headers["content-length"]) < len(compressed.content)


def test_health_tells_every_complaint_until_it_is_settled(url: str, health: Health) -> None:
    assert httpx.get(f"{url}/health").json() == {"healthy": True, "complaints": {}}
    health.complain("clickhouse", "does not answer")
    health.complain("clickhouse", "still does not answer")
    health.complain("kafka", "away")
    response = httpx.get(f"{url}/health")
    assert response.status_code == 503
    complaints = {"clickhouse": "still does not answer", "kafka": "away"}
    assert response.json() == {"healthy": False, "complaints": complaints}
    health.settle("clickhouse")
    health.settle("kafka")
    health.settle("kafka")
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_supervisor_hears_of_a_loop_that_hangs_and_not_of_a_server_that_is_away() -> None:
    now = 0.0
    health = Health(lambda: now)
    server = serve_metrics("127.0.0.1:0", SETTING, health, expose)
    assert server is not None
    url = f"http://127.0.0.1:{server.server_address[1]}"

    def answers() -> list[int]:
        return [httpx.get(f"{url}/{path}").status_code for path in ("alive", "ready", "health")]

    health.complain("kafka", "away")
    assert answers() == [200, 503, 503]
    health.is_ready = True
    for _ in range(3):
        now += HANGS_AFTER_SECONDS - 1
        health.turn()
    assert answers() == [200, 200, 503]
    now += HANGS_AFTER_SECONDS
    assert answers() == [503, 200, 503]
    server.shutdown()
    server.server_close()


def test_another_path_says_where_to_look(url: str) -> None:
    response = httpx.get(f"{url}/")
    assert (response.status_code, response.text) == (404, "GET /metrics, /health, /alive or /ready\n")


def test_a_client_that_hangs_up_prints_nothing(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        # Linger 0 resets the connection at close, so that the server's answer meets a broken pipe.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert httpx.get(f"{url}/health").status_code == 200
    assert capfd.readouterr().err == ""


def test_an_empty_address_serves_nothing(health: Health) -> None:
    assert serve_metrics("", SETTING, health, expose) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:9100", ("127.0.0.1", 9100)), ("[::1]:9100", ("::1", 9100)), ("localhost:0", ("localhost", 0))],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert parse_address(address, SETTING) == expected


@pytest.mark.parametrize("address", ["9100", ":9100", "localhost", "localhost:", "localhost:http", "h:99999", "h:²"])
def test_what_is_no_address_names_the_setting(address: str) -> None:
    with pytest.raises(SettingsError, match=f"{SETTING}='{address}' is not an address: use host:port"):
        parse_address(address, SETTING)


def test_an_address_in_use_names_the_setting(url: str, health: Health) -> None:
    taken = url.removeprefix("http://")
    with pytest.raises(SettingsError, match=f"{SETTING}='{taken}' can't be listened on: Address already in use"):
        serve_metrics(taken, SETTING, health, expose)


def test_ipv6_is_listened_on(health: Health) -> None:
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    server = serve_metrics("[::1]:0", SETTING, health, expose)
    assert server is not None
    assert httpx.get(f"http://[::1]:{server.server_address[1]}/health").status_code == 200
    server.shutdown()
    server.server_close()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("path", ["/health", "/metrics", "/nothing"])
def test_head_tells_what_get_would(url: str, path: str) -> None:
    told = httpx.head(f"{url}{path}")
    assert told.status_code == httpx.get(f"{url}{path}").status_code
    assert int(told.headers["content-length"]) > 0
    assert told.content == b""
