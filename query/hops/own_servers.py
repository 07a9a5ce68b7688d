"""Which servers are ours: those that have sent logs, by their names, and what the setting names.

A name is a whole host name as the log of the server before has it; a network is in CIDR form. What is not ours by one
of them is a stranger's server, whatever its answer says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from postwatch.producers.service.errors import SettingsError
from postwatch.query.statements import SERVERS, Statement
from postwatch.query.viewer import ENGINEER

_HOST_NAME = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?", re.ASCII)
_OF_A_NAME = re.compile(r"[\w.-]+", re.ASCII)
_IS_NO_WORD = re.compile(r"[.\d]")
_MOST_TEXTS = 1_000
HIDDEN_SERVER = "(server hidden)"
_VARIABLE = "POSTWATCH_QUERY_OWN_SERVERS"


@dataclass(frozen=True, slots=True)
class OwnServers:
    """What the setting names, beside every server that has sent logs."""

    names: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def parameters(self) -> dict[str, Any]:
        """Of `statements.OURS`."""
        return {"own_names": list(self.names), "own_networks": list(self.networks)}


def read_own_servers(words: Sequence[str]) -> OwnServers:
    """Names and networks, in any order. Raises SettingsError that names the word."""
    names: list[str] = []
    networks: list[str] = []
    for word in words:
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError:
            if "/" in word or " " in word:
                raise SettingsError(f"{_VARIABLE}: {word!r} is neither a host's name nor a network") from None
            names.append(word.lower())
            continue
        if network.prefixlen == 0:
            raise SettingsError(f"{_VARIABLE}: {word} is everybody: a stranger's server is none of yours")
        networks.append(str(network))
    return OwnServers(tuple(names), tuple(networks))


class OwnNames:
    """Our servers' names, which are for engineers: what `statements.OURS` says in SQL, of the same words."""

    def __init__(self, servers: Iterable[str] = (), own: OwnServers | None = None) -> None:
        self.own = own or OwnServers()
        self._known_texts: dict[str, bool] = {}
        self._names = frozenset(name.lower() for name in (*servers, *self.own.names) if name)

    def is_ours(self, host: str, ip: str) -> bool:
        return host.lower() in self._names or (bool(ip) and bool(self._networks) and self._is_in_network(ip))

    def without_names(self, text: str) -> str:
        """The text without these names. A name that is a word of every text, such as `mail`, stays."""
        if not self._names:
            return text
        return _HOST_NAME.sub(lambda found: HIDDEN_SERVER if self._tells(found[0]) else found[0], text)

    def may_be_named_by(self, text: str) -> bool:
        """Whether a text may be sought for to find out one of these names: some of it may be a part of one."""
        known = self._known_texts.get(text)
        if known is None:  # an open page asks for each row that comes
            known = self._may_be_named_by(text)
            if len(self._known_texts) >= _MOST_TEXTS:
                self._known_texts.clear()
            self._known_texts[text] = known
        return known

    def _may_be_named_by(self, text: str) -> bool:
        words = _OF_A_NAME.findall(text.lower())
        if not words:
            return False
        first, *others = words
        if not others:
            return any(first in name for name in self._names)
        *whole, last = others
        return any(name.endswith(first) or name.startswith(last) for name in self._names) or any(
            self._tells(word) for word in whole
        )

    def _tells(self, word: str) -> bool:
        return word.lower() in self._names and _IS_NO_WORD.search(word) is not None

    def _is_in_network(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return not address.is_loopback and any(address in network for network in self._networks)

    @cached_property
    def _networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(one) for one in self.own.networks)


NO_NAMES = OwnNames()


def no_names() -> OwnNames:
    """Nothing is known of other servers than that of each row."""
    return NO_NAMES


def all_servers(database: str) -> Statement:
    """The names of the servers that have sent logs."""
    sql = f"SELECT DISTINCT server FROM {SERVERS}"
    return Statement(ENGINEER, sql, {"database": database})


def no_own_servers() -> OwnServers | None:
    """Nothing is followed."""
    return None
