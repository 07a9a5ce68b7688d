"""Where a webhook may lead: to public addresses, and to networks that a setting allows.

Invariant: what was checked is what is connected to. A name is resolved once for each try, every address that it has
must be allowed, and the connection goes to one of those; so a name that changes its address leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, urlsplit

from postwatch.producers.service.errors import BadInputError, SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))
"""They hold an IPv4 address, which a gateway may lead to."""


class RefusedAddressError(BadInputError):
    """A webhook that leads where none may lead."""


def read_networks(words: Sequence[str]) -> tuple[Network, ...]:
    """Raises SettingsError."""
    try:
        return tuple(ipaddress.ip_network(word) for word in words)
    except ValueError as error:
        raise SettingsError(f"POSTWATCH_PUSH_ALLOWED_NETWORKS: {error}") from error


def read_url(url: str) -> SplitResult:
    """A webhook's address. Raises BadInputError for what can be none."""
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError as error:
        raise BadInputError(f"{url!r} is not an address: {error}") from error
    if found.scheme not in ("https", "http") or not found.hostname or port == 0:
        raise BadInputError(f"{url!r} is not an address of a webhook: use https://HOST/PATH")
    if found.username is not None or found.fragment or any(ord(one) <= 32 or ord(one) > 126 for one in url):
        raise BadInputError(f"{url!r} is not an address of a webhook: no user, no fragment, no blank")
    return found


def allowed_addresses(url: SplitResult, networks: Sequence[Network], resolve: Resolve) -> Sequence[str]:
    """The addresses of the host, each of which may be connected to. Raises RefusedAddressError, OSError."""
    host = url.hostname or ""
    found = resolve(host, url.port or (443 if url.scheme == "https" else 80))
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        if any(address in network for network in networks):
            continue
        if not _is_public(address):
            raise RefusedAddressError(f"{host} has the address {text}, which is not public")
        if url.scheme == "http":
            raise RefusedAddressError(f"{host} is public, so only https:// may be used")
    if not found:
        raise OSError(f"{host} has no address")
    return found


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if any(address in network for network in _EMBEDDING):
            return False
    return address.is_global and not address.is_multicast


def resolve_name(host: str, port: int) -> Sequence[str]:
    """Every address of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))
