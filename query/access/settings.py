"""Settings of the log-in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may come in to `postwatch serve`, and what it remembers of them."""

    SECTION: ClassVar[str] = "access"

    state: str = setting(
        "/var/lib/postwatch/access.sqlite",
        doc="Where sessions, log-in tries, tokens and used links are kept: an SQLite file; for several servers"
        " postgresql://USER:PASSWORD@HOST/DATABASE.",
        secret=True,
    )
    public_url: str = setting(
        "", doc="The address of the pages as browsers see it, such as https://track.example.net. Empty: this machine's."
    )
    owners: str = setting(
        "",
        doc="The list of who owns which domain, lines `domain: owner` (cPanel's /etc/userdomains): a file or an http(s)"
        " address, looked at every 30 seconds. Empty: there are no owners.",
    )
    resellers: str = setting(
        "", doc="The list of who sold to which owner, lines `owner: reseller` (cPanel's /etc/trueuserowners), likewise."
    )
    engineers: tuple[str, ...] = setting(
        (), doc="Names and addresses of the provider's engineers, who see everything when they have logged in."
    )
    owners_by_imap: bool = setting(
        True, doc="Whether an owner or reseller may log in with his name and password at the IMAP server."
    )
    passwords: str = setting(
        "", doc="The password file of owners, resellers and engineers, lines of `postwatch password`. Empty: none."
    )
