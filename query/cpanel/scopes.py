"""Which rows a call is about: its window of time and the user that it names, as conditions of a statement. Pure.

The viewer's own condition stands before these in every statement; a scope only ever narrows what he sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postwatch.query.cpanel.errors import CallError
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.errors import FilterError
from postwatch.query.filters import Domain, Mailbox, OwnDomains, read_account

_USER_OF_SERVER = "substring(account, 1, length(account) - length(account_domain) - 1)"


@dataclass(frozen=True, slots=True)
class UserScope:
    """The accounts of a cPanel user: domains that are his, his own mail as a system user, or one mailbox."""

    domains: tuple[str, ...] = ()
    system_user: str = ""
    mailbox: str = ""

    def condition(self) -> tuple[str, dict[str, Any]]:
        any_of: list[str] = []
        parameters: dict[str, Any] = {}
        if self.domains:
            any_of.append("account_domain IN {user_domains:Array(String)}")
            parameters["user_domains"] = list(self.domains)
        if self.system_user:
            any_of.append(f"(account_domain = server AND {_USER_OF_SERVER} = {{system_user:String}})")
            parameters["system_user"] = self.system_user
        if self.mailbox:
            any_of.append("(account_domain = {mailbox_domain:String} AND account = {mailbox:String})")
            parameters |= {"mailbox": self.mailbox, "mailbox_domain": self.mailbox.rpartition("@")[2]}
        return f"({' OR '.join(any_of)})", parameters


def scope_of(user: str, names: OwnerNames) -> UserScope:
    """A user's name as the lists have it; else a mailbox, a domain or a system user. Raises CallError."""
    if domains := names.domains_of(user):
        return UserScope(tuple(domains), user.lower())
    try:
        account = read_account(user)
    except FilterError as error:
        raise CallError("user: %(words)s", words=str(error)) from error
    if isinstance(account, Mailbox):
        return UserScope(mailbox=account.name)
    if isinstance(account, OwnDomains):
        raise CallError("user: %(words)s", words="name one user")
    return UserScope((account.domain,)) if isinstance(account, Domain) else UserScope(system_user=account.user)


@dataclass(frozen=True, slots=True)
class Window:
    """When messages were sent, in ms: from `since_ms` on, and before `until_ms`. `kept_ms`: no row whose last event is
    older is read."""

    since_ms: int
    until_ms: int
    kept_ms: int

    def condition(self) -> tuple[str, dict[str, Any]]:
        return (
            "queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
            " AND queued_at < fromUnixTimestamp64Milli({until_ms:Int64})"
            " AND updated_at >= fromUnixTimestamp64Milli({kept_ms:Int64})"
        ), {"since_ms": self.since_ms, "until_ms": self.until_ms, "kept_ms": self.kept_ms}

    def condition_of_events(self) -> tuple[str, dict[str, Any]]:
        """Of the events of those messages: nothing happens to a message before it is there."""
        return (
            "at >= fromUnixTimestamp64Milli({since_ms:Int64})"
            " AND queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
            " AND queued_at < fromUnixTimestamp64Milli({until_ms:Int64})"
        ), {"since_ms": self.since_ms, "until_ms": self.until_ms}


def joined(*conditions: tuple[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """All of them, with an AND before each: behind the viewer's own."""
    text = "".join(f" AND {words}" for words, _ in conditions)
    return text, {name: value for _, values in conditions for name, value in values.items()}
