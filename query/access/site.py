"""How the pages are reached: the public address, the base path, and the proxies that are believed.

The invariant: only a trusted proxy says where a request came from and whether it came over TLS; the client is the
right-most address of its X-Forwarded-For that is no trusted proxy. What a client wrote there itself counts for nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from postwatch.producers.service.errors import SettingsError
from starlette.datastructures import Headers
from starlette.types import Scope

PUBLIC_VARIABLE = "POSTWATCH_ACCESS_PUBLIC_URL"
PROXIES_VARIABLE = "POSTWATCH_ACCESS_TRUSTED_PROXIES"

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is loopback; no DNS query is made."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """'[::1]:8080' → '::1', 'localhost:8080' → 'localhost'."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from."""

    address: str
    is_local: bool
    """From this machine, and through no proxy."""
    is_secure: bool
    """Over TLS, as far as a trusted proxy says."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the pages are. Without a public address: on this machine alone."""

    url: str = ""
    """Without a slash at its end; empty: this machine's."""
    names: frozenset[str] = frozenset()
    base_path: str = ""
    """'' or '/postwatch'."""
    proxies: tuple[_Network, ...] = ()

    @property
    def is_secure(self) -> bool:
        return self.url.startswith("https:")

    def knows_host(self, header: str) -> bool:
        name = host_name(header).lower().rstrip(".")
        return name in self.names or is_loopback(name)

    def inside(self, scope: Scope) -> Scope:
        """The request without the base path, which a proxy may have left out already."""
        path, base = scope["path"], self.base_path
        if not base or not (path == base or path.startswith(f"{base}/")):
            return scope
        path, raw_path = path[len(base) :] or "/", scope.get("raw_path") or b""
        # A client may spell the base path in other ways.
        raw_path = raw_path[len(base) :] if raw_path.startswith(f"{base}/".encode()) else quote(path).encode()
        return {**scope, "path": path, "raw_path": raw_path}

    def caller(self, scope: Scope) -> Caller:
        peer = (scope.get("client") or ("", 0))[0]
        headers = Headers(scope=scope)
        if not self._is_proxy(peer):
            return Caller(peer, is_loopback(peer) and not _is_forwarded(headers), scope.get("scheme") == "https")
        chain = [one.strip() for line in headers.getlist("x-forwarded-for") for one in line.split(",")]
        for address in reversed(chain):
            if not _is_address(address):
                break  # what stands left of it may be anything
            if not self._is_proxy(address):
                peer = address
                break
        protocols = headers.getlist("x-forwarded-proto")
        is_secure = bool(protocols) and protocols[-1].rpartition(",")[2].strip().lower() == "https"
        return Caller(_normal(peer), is_loopback(peer) and not _is_forwarded(headers), is_secure)

    def _is_proxy(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ipaddress.ip_address(_normal(address))
        return any(parsed in network for network in self.proxies if network.version == parsed.version)


def _is_forwarded(headers: Headers) -> bool:
    """Whether any proxy says that it handed the request on."""
    return any(name in _FORWARDED or name.startswith("x-forwarded-") for name in headers)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _normal(address: str) -> str:
    """'::ffff:192.0.2.1' is 192.0.2.1."""
    if not _is_address(address):
        return address
    parsed = ipaddress.ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def client_network(address: str) -> str:
    """What tries are counted by: an address, of IPv6 its /64, which one customer has."""
    normal = _normal(address)
    if ":" not in normal:
        return normal
    return str(ipaddress.ip_network((normal.partition("%")[0], 64), strict=False))


def read_site(url: str, other_names: Sequence[str], proxies: Sequence[str]) -> Site:
    """Raises SettingsError that names the setting."""
    networks = []
    for proxy in proxies:
        try:
            networks.append(ipaddress.ip_network(proxy, strict=False))
        except ValueError as error:
            raise SettingsError(f"{PROXIES_VARIABLE}: {proxy!r} is no address or network: {error}") from error
    if not url:
        return Site(proxies=tuple(networks))
    parts = urlsplit(url)
    host, base = (parts.hostname or "").lower(), parts.path.rstrip("/")
    if parts.scheme not in ("http", "https") or not host or parts.query or not _BASE_PATH.fullmatch(base):
        raise SettingsError(f"{PUBLIC_VARIABLE}={url!r} is not an address: use https://track.example.net")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(f"{PUBLIC_VARIABLE}={url!r} would take passwords unencrypted: use https://{host}")
    names = frozenset({host, *(name.lower() for name in other_names)})
    return Site(url.rstrip("/"), names, base, tuple(networks))
