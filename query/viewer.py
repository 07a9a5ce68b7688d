"""Who asks, and whose mail he may see. Every statement and every answer is made for one viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_TARGETS = ("recipient", "original_recipient")


@dataclass(frozen=True, slots=True)
class Viewer:
    """A mailbox owner, the owner of domains, a reseller, a dashboard, or an engineer.

    A viewer sees the rows of his accounts. Only an engineer also sees the log lines and the names of servers. Names are
    lower-case, as the join stores them.
    """

    name: str
    """For the audit log."""
    mailboxes: frozenset[str] = frozenset()
    """Accounts: `user@domain`, or `user@server` for a system user."""
    domains: frozenset[str] = frozenset()
    """Every account of these domains."""
    system_users: frozenset[str] = frozenset()
    """System users, on every server."""
    sees_all: bool = False
    """Every account."""
    is_engineer: bool = False

    def owns(self, address: str) -> bool:
        """Whether an address is one of the viewer's mailboxes, or of his domains."""
        name = address.lower()
        return self.sees_all or name in self.mailboxes or name.rpartition("@")[2] in self.domains

    def condition(self) -> tuple[str, dict[str, Any]]:
        """SQL that is true for the rows that the viewer may see, and its parameters."""
        if self.sees_all:
            return "1", {}
        any_of: list[str] = []
        parameters: dict[str, Any] = {}
        if self.mailboxes:
            # Both lists, for the primary key to be used.
            any_of.append(
                "account_domain IN {viewer_mailbox_domains:Array(String)}"
                " AND account IN {viewer_mailboxes:Array(String)}"
            )
            parameters["viewer_mailboxes"] = sorted(self.mailboxes)
            parameters["viewer_mailbox_domains"] = sorted({name.rpartition("@")[2] for name in self.mailboxes})
        if self.domains:
            any_of.append("account_domain IN {viewer_domains:Array(String)}")
            parameters["viewer_domains"] = sorted(self.domains)
        if self.system_users:
            # A system user's domain is the server, so no hosted domain is equal to it.
            any_of.append(
                "account_domain = server"
                " AND substring(account, 1, length(account) - length(account_domain) - 1)"
                " IN {viewer_system_users:Array(String)}"
            )
            parameters["viewer_system_users"] = sorted(self.system_users)
        return f"({' OR '.join(any_of) or '0'})", parameters

    def shown_recipient(self) -> tuple[str, dict[str, Any]]:
        """SQL of the recipient that the viewer may see, and its parameters: what privacy.py says of a row."""
        if self.sees_all:
            return "recipient", {}
        shown, parameters = self.sees_target()
        return f"if({shown}, recipient, original_recipient)", parameters

    def sees_target(self) -> tuple[str, dict[str, Any]]:
        """SQL that is true where the viewer may know where an alias or a forward leads, over deliveries and states."""
        if self.sees_all:
            return "1", {}
        # Lists that would be empty are left out: a statement names this many times, and ClickHouse takes longer to
        # plan than to read.
        any_of = ["direction != 'sent'", "original_recipient = ''"]
        parameters: dict[str, Any] = {}
        if self.mailboxes:
            any_of += [f"lower({name}) IN {{viewer_mailboxes:Array(String)}}" for name in _TARGETS]
            parameters["viewer_mailboxes"] = sorted(self.mailboxes)
        if self.domains:
            domain = "substringIndex(lower({}), '@', -1) IN {{viewer_domains:Array(String)}}"
            any_of += [domain.format(name) for name in _TARGETS]
            parameters["viewer_domains"] = sorted(self.domains)
        return f"({' OR '.join(any_of)})", parameters

    def sees_target_of_event(self) -> tuple[str, dict[str, Any]]:
        """The same over events, which have no addresses: true less often, and never where the other is false."""
        if self.sees_all:
            return "1", {}
        return (
            "(NOT is_aliased OR recipient_domain IN {viewer_domains:Array(String)})",
            {"viewer_domains": sorted(self.domains)},
        )


ENGINEER = Viewer("engineer", sees_all=True, is_engineer=True)
"""Whoever runs the command: he has the password of ClickHouse."""
