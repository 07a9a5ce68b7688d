"""What an endpoint gets, and where none may lead. A real HTTP server on the loopback."""

from __future__ import annotations

import hashlib
import hmac
import time

import pytest
from postwatch.producers.service.errors import BadInputError
from postwatch.query.push.addresses import RefusedAddressError, allowed_addresses, read_url
from postwatch.query.push.sender import EVENT_ID, SIGNATURE, STAMP, NotTakenError, Sender

from tests.query.push.conftest import LOOPBACK, Endpoint


def test_the_signature_covers_stamp_and_body(endpoint: Endpoint) -> None:
    Sender(LOOPBACK, 5).send(endpoint.url, "whsec_x", "e1", b'{"a": 1}', 1_700_000_000)
    [(path, headers, body)] = endpoint.taken
    assert (path, body, headers[EVENT_ID], headers[STAMP]) == ("/hook?of=ann", b'{"a": 1}', "e1", "1700000000")
    signed = hmac.new(b"whsec_x", b'1700000000.{"a": 1}', hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == f"v1={signed}"


@pytest.mark.parametrize("status", [301, 307, 400, 500])
def test_only_2xx_is_taken_and_no_redirect_is_followed(endpoint: Endpoint, status: int) -> None:
    endpoint.status = status
    with pytest.raises(NotTakenError, match=str(status)):
        Sender(LOOPBACK, 5).send(endpoint.url, "s", "e1", b"{}", 1)
    assert [path for path, _, _ in endpoint.taken] == ["/hook?of=ann"]


def test_what_was_checked_is_what_is_connected_to(endpoint: Endpoint) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    url = f"http://hook.invalid:{endpoint.server_port}/"
    Sender(LOOPBACK, 5, resolve).send(url, "s", "e1", b"{}", 1)
    assert asked == ["hook.invalid"]
    assert endpoint.taken[0][1]["Host"] == f"hook.invalid:{endpoint.server_port}"


def test_an_endpoint_that_does_not_answer_is_given_up_in_time(endpoint: Endpoint) -> None:
    endpoint.waits = True
    began = time.monotonic()
    with pytest.raises(NotTakenError):
        Sender(LOOPBACK, 1).send(endpoint.url, "s", "e1", b"{}", 1)
    assert time.monotonic() - began < 10


NOT_PUBLIC = (
    "127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 ::1 :: "
    "fe80::1 fd00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:7f00:1:: ::127.0.0.1 "
    "fd00:ec2::254 192.0.2.1"
)


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_no_address_that_is_not_public_is_led_to(address: str) -> None:
    def alone(host: str, port: int) -> list[str]:
        return [address]

    def second(host: str, port: int) -> list[str]:
        return ["93.184.216.34", address]

    for resolve in (alone, second):
        with pytest.raises(RefusedAddressError):
            allowed_addresses(read_url("https://hook.example/"), (), resolve)


def test_public_addresses_are_sent_to_by_https_alone() -> None:
    def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "2606:4700::1111"]

    assert len(allowed_addresses(read_url("https://hook.example/"), (), resolve)) == 2
    with pytest.raises(RefusedAddressError):
        allowed_addresses(read_url("http://hook.example/"), (), resolve)


NO_WEBHOOKS = ["https://a.example/ x", "https://a.example/\r\nX: 1"]


@pytest.mark.parametrize(
    "url",
    [
        *"ftp://a.example/ https:///x https://u:p@a.example/ file:///etc/passwd x https://a.example:0/".split(),
        *NO_WEBHOOKS,
    ],
)
def test_what_is_no_address_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(BadInputError):
        read_url(url)
