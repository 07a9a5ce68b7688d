from __future__ import annotations

import http.client
import time

import httpx
import pytest
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.site import Site, is_loopback
from postwatch.query.guards import listen_address
from postwatch.query.server import address_of, open_listener


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("127.1.2.3:80", ("127.1.2.3", 80)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8080", ("::1", 8080)),
    ],
)
def test_this_machine_may_listen(listen: str, address: tuple[str, int]) -> None:
    assert listen_address(listen, Site(), has_log_in=False) == address


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080", "mail.example.org:8080", "*:80"])
def test_any_other_address_is_refused_with_the_remedy(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"POSTWATCH_QUERY_LISTEN=.*log-in is off: .* use 127\.0\.0\.1:.*ssh -L"):
        open_listener(listen)


def test_a_taken_port_is_named() -> None:
    with open_listener("127.0.0.1:0") as taken:
        address = address_of(taken).removeprefix("http://").rstrip("/")
        with pytest.raises(
            SettingsError,
            match=f"can't listen on POSTWATCH_QUERY_LISTEN='{address}' .address already in use.: use another port",
        ):
            open_listener(address)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1"])
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "example.org", "127.0.0.1.example.org", "localhost.example.org", "0.0.0.0", "::", "1"]
)
def test_names_of_strangers(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::]:80", ""])
def test_a_request_that_names_another_host_is_refused(empty_site: httpx.Client, host: str) -> None:
    for path in ("/", "/api/v1/servers", "/metrics", "/static/postwatch.css"):
        answer = empty_site.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert "127.0.0.1" in answer.text
    assert empty_site.get("/api/v1/servers", headers={"Host": host}).json()["error"]["code"] == "wrong_host"


@pytest.mark.parametrize(
    "origin", ["http://[", "null", "", "http://", "http://evil.example", "http://127.0.0.1@evil.example"]
)
def test_a_form_of_another_origin_is_refused(empty_site: httpx.Client, origin: str) -> None:
    answer = empty_site.post("/language", data={"language": "de"}, headers={"Origin": origin})
    assert answer.status_code == 403
    host = f"{empty_site.base_url.host}:{empty_site.base_url.port}"
    answer = empty_site.post("/language", data={"language": "de"}, headers={"Origin": f"http://{host}"})
    assert answer.status_code == 303


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:80", "127.0.0.1"])
def test_a_request_by_a_name_of_this_machine_is_answered(empty_site: httpx.Client, host: str) -> None:
    assert empty_site.get("/", headers={"Host": host}).status_code == 200


def test_every_answer_forbids_what_the_page_does_not_need(empty_site: httpx.Client) -> None:
    for path in ("/", "/servers", "/nothing", "/static/postwatch.css", "/api/v1/servers", "/api/v1/nothing", "/health"):
        headers = empty_site.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/servers",
        "/trace?id=x",
        "/nothing",
        "/static/postwatch.css",
        "/static/nothing",
        "/health",
        "/metrics",
        "/api/v1/servers",
        "/api/v1/openapi.json",
    ],
)
def test_head_tells_what_get_would(empty_site: httpx.Client, path: str) -> None:
    answers = [empty_site.request(method, path) for method in ("GET", "HEAD", "GET")]
    assert len({answer.status_code for answer in answers}) == 1
    assert len({answer.headers["content-type"] for answer in answers}) == 1
    assert answers[1].content == b""
    assert int(answers[1].headers["content-length"]) > 0
    assert answers[1].headers["content-security-policy"]


def test_an_idle_connection_of_a_proxy_stays_open(empty_site: httpx.Client) -> None:
    connection = http.client.HTTPConnection(empty_site.base_url.host, empty_site.base_url.port)
    connection.connect()
    connection.auto_open = 0  # a second request over a closed connection fails
    for wait_seconds in (7, 0):  # uvicorn's default is 5
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        time.sleep(wait_seconds)
    connection.close()
