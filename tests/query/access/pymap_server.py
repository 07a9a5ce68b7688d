"""pymap, an IMAP server in Python, as a process of its own on loopback: where Debian's Dovecot is not.

It knows STARTTLS alone. Its users can be changed while it runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from postwatch.deploy.embedded.ports import choose_port
from pysasl.hashing import BuiltinHash

from tests.certificates import make_certificates
from tests.query.access.imap_server import ImapServer
from tests.waiting import wait_until


class Pymap(ImapServer):
    @property
    def address(self) -> str:
        return f"imap://127.0.0.1:{self.port}"

    def set_mailboxes(self, passwords: dict[str, str]) -> None:
        hashes = {name: BuiltinHash(rounds=1000).hash(password) for name, password in passwords.items()}
        self._replace("pymap-etc-shadow", [f"{name}:{hash}" for name, hash in hashes.items()])
        self._replace("pymap-etc-passwd", [f"{name}:x::::{name}:" for name in hashes])

    def _replace(self, name: str, lines: list[str]) -> None:
        fresh = self.folder / f"{name}.new"
        fresh.write_text("".join(f"{line}\n" for line in lines))
        fresh.replace(self.folder / name)

    def start(self) -> None:
        command: list[str | Path] = [sys.executable, "-W", "ignore", "-c", "import pymap.main; pymap.main.main()"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--cert", self.folder / "server.pem", "--key", self.folder / "server.key", "maildir", self.folder]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, "pymap answers")


def make_pymap() -> Pymap:
    folder = Path(tempfile.mkdtemp(prefix="postwatch-imap-"))
    make_certificates(folder)
    return Pymap(folder, choose_port())
