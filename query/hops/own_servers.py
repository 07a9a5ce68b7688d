"""Which servers are ours: those that have sent logs, by their names, and what the setting names.

A name is a whole host name as the log of the server before has it; a network is in CIDR form. What is not ours by one
of them is a stranger's server, whatever its answer says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from postwatch.producers.service.errors import SettingsError
from postwatch.query.statements import SERVERS, Statement
from postwatch.query.viewer import ENGINEER

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


def some_servers(database: str) -> Statement:
    """The names of two servers that have sent logs, if there are so many."""
    sql = f"SELECT DISTINCT server FROM {SERVERS} LIMIT 2"
    return Statement(ENGINEER, sql, {"database": database})


def no_own_servers() -> OwnServers | None:
    """Nothing is followed."""
    return None
