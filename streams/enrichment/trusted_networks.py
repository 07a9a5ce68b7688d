"""Networks of the provider's own, whose clients' envelope senders are believed without a login."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.settings import split_list

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_KNOWN = 10_000


class TrustedNetworks:
    """Whether an address, as a log names it, is in one of the networks: `ip in networks`."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}
        """Answers given before: the judging runs for each row."""

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, ip: str) -> bool:
        known = self._known.get(ip)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[ip] = self._find(ip)
        return known

    def _find(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False  # somebody has masked it
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)


def parse_networks(text: str, where: str) -> TrustedNetworks:
    """`10.0.0.0/8, 2001:db8::/32` → these networks; a single address is one too. Raises BadInputError."""
    networks: list[Network] = []
    for word in split_list(text):
        try:
            network = ipaddress.ip_network(word)
        except ValueError as error:
            raise BadInputError(
                f"{where}: {word[:80]!r} is no network: {error}. Use CIDR form, such as 10.0.0.0/8, "
                "with commas between several"
            ) from None
        if network.prefixlen == 0:
            raise BadInputError(f"{where}: {word} is everybody: a stranger's envelope sender must not be believed")
        networks.append(network)
    return TrustedNetworks(networks)
