"""pymap, an IMAP server in Python, as a process of its own on loopback: where Debian's Dovecot is not.

It knows STARTTLS alone. Its users can be changed while it runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from postwatch.deploy.embedded.ports import choose_port
from pysasl.hashing import BuiltinHash

from tests.query.access.certificates import make_certificates
from tests.waiting import wait_until


@dataclass
class Pymap:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"imap://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def set_users(self, **passwords: str) -> None:
        """`anna="secret"` is the mailbox anna@a.example."""
        self.set_mailboxes({f"{name}@a.example": password for name, password in passwords.items()})

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
        wait_until(self._answers, "pymap answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool:
        import socket

        assert self.process is not None
        assert self.process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def make_pymap() -> Pymap:
    folder = Path(tempfile.mkdtemp(prefix="postwatch-imap-"))
    make_certificates(folder)
    return Pymap(folder, choose_port())
