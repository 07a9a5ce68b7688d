"""A real IMAP server for the tests of the log-in: Debian's Dovecot, and where it is not installed, pymap."""

from __future__ import annotations

import shutil

from tests.query.access.dovecot import Dovecot, has_dovecot, make_dovecot
from tests.query.access.pymap_server import Pymap, make_pymap

ImapServer = Dovecot | Pymap


def make_imap_server() -> ImapServer:
    return make_dovecot() if has_dovecot() else make_pymap()


def remove(server: ImapServer) -> None:
    server.stop()
    shutil.rmtree(server.folder)
