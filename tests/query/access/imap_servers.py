"""A real IMAP server for the tests of the log-in: Debian's Dovecot, and where it is not installed, pymap."""

from __future__ import annotations

from tests.query.access.dovecot import has_dovecot, make_dovecot
from tests.query.access.imap_server import ImapServer
from tests.query.access.pymap_server import make_pymap


def make_imap_server() -> ImapServer:
    return make_dovecot() if has_dovecot() else make_pymap()
