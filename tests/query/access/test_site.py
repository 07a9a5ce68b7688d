from __future__ import annotations

import pytest
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.imap import ImapAddress, is_askable
from postwatch.query.access.site import Site, client_network, read_site
from postwatch.query.guards import listen_address
from starlette.types import Scope

SITE = read_site("https://track.example.net/postwatch", ("other.example.net",), ("127.0.0.1", "10.0.0.0/8"))


def request(peer: str, *forwarded: str, proto: str = "") -> Scope:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    headers += [(b"x-forwarded-proto", proto.encode())] if proto else []
    return {"type": "http", "client": (peer, 1), "headers": headers, "scheme": "http"}


def test_only_a_trusted_proxy_is_believed() -> None:
    caller = SITE.caller(request("192.0.2.1", "203.0.113.9", proto="https"))
    assert (caller.address, caller.is_local, caller.is_secure) == ("192.0.2.1", False, False)
    caller = SITE.caller(request("127.0.0.1", "203.0.113.9", proto="https"))
    assert (caller.address, caller.is_local, caller.is_secure) == ("203.0.113.9", False, True)


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (("1.1.1.1, 203.0.113.9",), "203.0.113.9"),
        (("1.1.1.1", "203.0.113.9, 10.1.2.3"), "203.0.113.9"),
        (("127.0.0.1, 203.0.113.9",), "203.0.113.9"),
        (("evil, 10.0.0.9",), "127.0.0.1"),
        (("::ffff:203.0.113.9",), "203.0.113.9"),
    ],
)
def test_the_client_is_the_right_most_that_is_no_proxy(lines: tuple[str, ...], address: str) -> None:
    caller = SITE.caller(request("127.0.0.1", *lines))
    assert caller.address == address
    assert not caller.is_local


def test_who_comes_through_a_proxy_that_is_not_trusted_is_not_from_this_machine() -> None:
    assert Site().caller(request("127.0.0.1")).is_local
    assert not Site().caller(request("127.0.0.1", "203.0.113.9")).is_local


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via"]
)
def test_what_any_proxy_hands_on_is_not_from_this_machine(name: str) -> None:
    scope = request("127.0.0.1")
    assert SITE.caller(scope).is_local
    scope["headers"] = [(name.lower().encode(), b"203.0.113.9")]
    assert not SITE.caller(scope).is_local
    assert not Site().caller(scope).is_local


@pytest.mark.parametrize(
    ("path", "raw_path", "inside"),
    [
        ("/postwatch", b"/postwatch", ("/", b"/")),
        ("/postwatch/servers", b"/postwatch/servers", ("/servers", b"/servers")),
        ("/postwatch/a b", b"/%70ostwatch/a%20b", ("/a b", b"/a%20b")),
        ("/servers", b"/servers", ("/servers", b"/servers")),
        ("/postwatches", b"/postwatches", ("/postwatches", b"/postwatches")),
    ],
)
def test_the_base_path_is_left_out_once(path: str, raw_path: bytes, inside: tuple[str, bytes]) -> None:
    found = SITE.inside({"type": "http", "path": path, "raw_path": raw_path})
    assert (found["path"], found["raw_path"]) == inside


@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        ("track.example.net", True),
        ("TRACK.example.net:443", True),
        ("other.example.net", True),
        ("localhost:8080", True),
        ("evil.example", False),
        ("track.example.net.evil.example", False),
        ("", False),
    ],
)
def test_names_of_the_site(header: str, is_known: bool) -> None:
    assert SITE.knows_host(header) is is_known


def test_clients_are_counted_by_address_or_by_64() -> None:
    assert client_network("2001:db8:0:1::5") == client_network("2001:db8:0:1:ffff::")
    assert client_network("2001:db8:0:1::5") != client_network("2001:db8:0:2::5")
    assert client_network("::ffff:192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    "url",
    [
        "track.example.net",
        "ftp://x",
        "http://track.example.net",
        "https://",
        "https://x/a b",
        'https://x/"',
        "https://x?y",
    ],
)
def test_a_public_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_ACCESS_PUBLIC_URL"):
        read_site(url, (), ())


def test_a_proxy_that_is_no_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_ACCESS_TRUSTED_PROXIES"):
        read_site("", (), ("proxy.example.net",))


def test_others_are_let_in_with_log_in_and_a_public_address_alone() -> None:
    assert listen_address("0.0.0.0:80", SITE, has_log_in=True) == ("0.0.0.0", 80)
    with pytest.raises(SettingsError, match="POSTWATCH_ACCESS_PUBLIC_URL"):
        listen_address("0.0.0.0:80", Site(), has_log_in=True)
    with pytest.raises(SettingsError, match="log-in is off"):
        listen_address("0.0.0.0:80", SITE, has_log_in=False)


@pytest.mark.parametrize(
    "address", ["imap.example.net", "pop3://x", "imaps://user@x", "imap+plain://192.0.2.1", "imaps://x:99999"]
)
def test_an_imap_address_that_is_none_or_not_encrypted_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_ACCESS_IMAP"):
        ImapAddress.read(address)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("", "x"),
        ("a" * 255, "x"),
        ("a", ""),
        ("a", "x" * 1025),
        ("a", "x\0y"),
        ("a", "x\ry"),
        ("a", "x\ny"),
        ("a\0b", "x"),
        ("a\tb", "x"),
        ("\ud800", "x"),
        ("a", "\ud800"),
        ("\u212aate@a.example", "x"),  # Kelvin's sign is k in lower-case
    ],
)
def test_what_no_server_is_asked(name: str, password: str) -> None:
    assert not is_askable(name, password)


@pytest.mark.parametrize(
    ("name", "password"), [("anna@a.example", "sécret"), ("größe@a.example", " "), ("anna", "\x01")]
)
def test_what_a_server_is_asked(name: str, password: str) -> None:
    assert is_askable(name, password)
