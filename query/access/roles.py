"""Who logged in, and by what → whose mail he may see. The one place that says so, for every way to log in.

The invariant: a name gets what the lists in use say at that moment, so a domain that changes hands changes hands in
sessions too. Pure: it reads no file and asks no server.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Self

from postwatch.query.access.owners import Owned, OwnerLists
from postwatch.query.viewer import Viewer

Method = Literal["imap", "password", "openid", "hand-over"]
Role = Literal["engineer", "reseller", "owner"]
ROLES: tuple[Role, ...] = ("engineer", "reseller", "owner")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a log-in has proved. A session keeps this, and not what it may see."""

    name: str
    """An address, the name of an owner or reseller, or of an engineer. Lower-case."""
    method: Method
    mailbox: str = ""
    """The mailbox that is his, or none. Lower-case."""
    roles: frozenset[Role] = frozenset()
    """What the password file or the groups of the provider say; an owner owns only what the list says."""

    def to_text(self) -> str:
        return json.dumps([self.name, self.method, self.mailbox, sorted(self.roles)])

    @classmethod
    def from_text(cls, text: str) -> Self:
        name, method, mailbox, roles = json.loads(text)
        return cls(name, method, mailbox, frozenset(roles))


def of_imap(name: str, owners_by_imap: bool) -> Identity:
    """The name that the IMAP server took: a mailbox, or a system user, who is an owner if the list says so."""
    name = name.lower()
    roles: frozenset[Role] = frozenset({"owner", "reseller"}) if owners_by_imap else frozenset()
    return Identity(name, "imap", name if is_address(name) else "", roles)


def of_hand_over(mailbox: str) -> Identity:
    return Identity(mailbox.lower(), "hand-over", mailbox.lower())


def is_address(name: str) -> bool:
    local, at, domain = name.rpartition("@")
    return bool(local and at and domain)


def keeps_its_letters(name: str) -> bool:
    """Whether lower-case is the same name: the Kelvin sign becomes a 'k', and so somebody else's name."""
    return sum(map(str.isascii, name.lower())) == sum(map(str.isascii, name)) and len(name.lower()) == len(name)


def viewer_of(identity: Identity, lists: OwnerLists, engineers: Collection[str] = ()) -> Viewer | None:
    """Whose mail this is; None: nobody's, so he may not come in. `engineers`: names in lower-case."""
    if "engineer" in identity.roles or _proven_name(identity) in engineers:
        return Viewer(identity.name, sees_all=True, is_engineer=True)
    owned = Owned()
    if "reseller" in identity.roles:
        owned = lists.of_reseller(identity.name)
    elif "owner" in identity.roles:
        owned = lists.of_owner(identity.name)
    mailboxes = frozenset({identity.mailbox} if identity.mailbox else ())
    if not mailboxes and owned == Owned():
        return None
    return Viewer(identity.name, mailboxes, owned.domains, owned.system_users)


def _proven_name(identity: Identity) -> str:
    """The name that may be an engineer's. A provider's users may choose their names, but not a verified address. A name
    without a domain is a mailbox's at an IMAP server that is not asked for owners."""
    if identity.method == "hand-over":
        return ""
    if identity.method == "imap" and not identity.mailbox and not identity.roles:
        return ""
    return identity.mailbox if identity.method == "openid" else identity.name
