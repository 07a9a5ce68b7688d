"""Settings of the log-in by OpenID Connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting


@dataclass(frozen=True, slots=True)
class OpenIdSettings:
    """The OpenID provider that users may log in with, and what its groups mean."""

    SECTION: ClassVar[str] = "openid"

    issuer: str = setting("", doc="The provider's issuer, as it writes it: https://… Empty: no log-in by OpenID.")
    client_id: str = setting("", doc="The provider's name for Postwatch.")
    client_secret_file: str = setting("", doc="A file with the client's secret. Empty: a public client.")
    scopes: tuple[str, ...] = setting(("openid", "email", "profile"), doc="What is asked for.")
    groups_claim: str = setting(
        "groups", doc="The claim that lists a user's groups; a path with dots, such as realm_access.roles, is followed."
    )
    engineer_groups: tuple[str, ...] = setting((), doc="Whoever is in one of these groups is an engineer.")
    reseller_groups: tuple[str, ...] = setting(
        (), doc="Whoever is in one of these groups is the reseller of his name in POSTWATCH_ACCESS_RESELLERS."
    )
    owner_groups: tuple[str, ...] = setting(
        (), doc="Whoever is in one of these groups is the owner of his name in POSTWATCH_ACCESS_OWNERS."
    )
    name_claim: str = setting(
        "preferred_username",
        doc="The claim with the name of an owner or reseller. Users must not be able to change it.",
    )
    mailboxes: bool = setting(True, doc="Whether an address that the provider has verified opens the mailbox's mail.")
