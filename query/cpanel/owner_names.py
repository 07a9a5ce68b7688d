"""Whose a domain is, by name: the system user who owns it and the reseller who sold it, as the lists say.

Names that the lists do not tell are empty; nothing is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

REMOTE = "-remote-"
"""The user of mail that came from outside, as cPanel writes it."""


@dataclass(frozen=True, slots=True)
class OwnerNames:
    """Both lists in use: hosted domain → owner, and owner → reseller."""

    domains: Mapping[str, str] = field(default_factory=dict)
    resellers: Mapping[str, str] = field(default_factory=dict)

    def owner(self, domain: str) -> str:
        """Empty: no list names one."""
        return self.domains.get(domain.lower(), "")

    def reseller(self, user: str) -> str:
        return self.resellers.get(user.lower(), "")

    def domains_of(self, user: str) -> list[str]:
        name = user.lower()
        return sorted(domain for domain, owner in self.domains.items() if owner.lower() == name)

    def sole_domain(self, user: str) -> str:
        """The domain of who has one alone: which of several is the primary one no list tells."""
        theirs = self.domains_of(user)
        return theirs[0] if len(theirs) == 1 else ""
