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
        "",
        doc="The address of the pages as browsers see it, such as https://track.example.net or, with a base path,"
        " https://panel.example.net/postwatch. Empty: this machine's.",
    )
    public_names: tuple[str, ...] = setting((), doc="More host names that the pages may be asked for by.")
    trusted_proxies: tuple[str, ...] = setting(
        (),
        doc="Addresses or networks of the proxies that are believed what X-Forwarded-For and X-Forwarded-Proto say.",
    )
    imap: str = setting(
        "",
        doc="The IMAP server that checks passwords: imaps://HOST:993, or imap://HOST:143 for STARTTLS; for loopback"
        " also imap+plain://127.0.0.1:143. Empty: no log-in by IMAP.",
    )
    imap_ca_file: str = setting("", doc="The CA of the IMAP server's certificate, as PEM. Empty: the system's CAs.")
    imap_timeout_seconds: float = setting(10.0, doc="How long the IMAP server may take for an answer.", least=1)
    imap_connections: int = setting(8, doc="Most connections to the IMAP server at a time.", least=1)
    idle_minutes: int = setting(60, doc="A session ends when nothing was asked for so long.", least=1)
    session_hours: int = setting(12, doc="A session ends after so long.", least=1)
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
