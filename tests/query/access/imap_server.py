"""What the IMAP servers of the tests have in common: a process on loopback, and users that can be changed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE


@dataclass
class ImapServer(ABC):
    folder: Path
    port: int
    """Of IMAP without TLS, or with STARTTLS."""
    process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """With TLS of the kind that it has."""

    @property
    def addresses(self) -> list[str]:
        """Of every way in that it has."""
        return [self.address]

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def set_users(self, **passwords: str) -> None:
        """`anna="secret"` is the mailbox anna@a.example."""
        self.set_mailboxes({f"{name}@a.example": password for name, password in passwords.items()})

    @abstractmethod
    def set_mailboxes(self, passwords: dict[str, str]) -> None:
        """Address → password."""

    @abstractmethod
    def start(self) -> None:
        """Returns when it answers."""

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.last_words()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def last_words(self) -> str:
        """Why it ended, if it says so."""
        return ""
