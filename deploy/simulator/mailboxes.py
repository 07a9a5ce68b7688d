"""The simulated provider's IMAP server: it checks passwords, so that one can log in to a demo, and holds no mail.

It listens on the loopback alone and knows CAPABILITY, AUTHENTICATE PLAIN and LOGOUT. It takes no name but those that it
was given.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import socketserver
import threading
from collections.abc import Mapping
from typing import Self

_LOOPBACK = "127.0.0.1"
_MOST_BYTES = 4096
_SECONDS = 30.0


class _Conversation(socketserver.StreamRequestHandler):
    timeout = _SECONDS
    server: _Server

    def handle(self) -> None:
        self._say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] simulated")
        while True:
            tag, _, words = self._hear().partition(" ")
            command, _, argument = words.partition(" ")
            match command.upper():
                case "CAPABILITY":
                    self._say("* CAPABILITY IMAP4rev1 AUTH=PLAIN")
                    self._say(f"{tag} OK done")
                case "AUTHENTICATE" if argument.upper() == "PLAIN":
                    self._say("+ ")
                    is_right = self.server.takes(self._hear())
                    self._say(f"{tag} OK done" if is_right else f"{tag} NO [AUTHENTICATIONFAILED] no such name")
                case "LOGOUT":
                    self._say("* BYE")
                    self._say(f"{tag} OK done")
                    return
                case "":
                    return
                case _:
                    self._say(f"{tag} BAD only passwords are checked here")

    def _hear(self) -> str:
        return self.rfile.readline(_MOST_BYTES).decode("latin-1").strip()

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    passwords: Mapping[str, str]

    def takes(self, answer: str) -> bool:
        """Whether an answer of SASL PLAIN (RFC 4616) names someone and his password."""
        try:
            _, name, password = base64.b64decode(answer, validate=True).decode().split("\0")
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(self.passwords.get(name, "").encode(), password.encode()) and bool(password)


class SimulatedMailboxes:
    """The server, in a thread, until the `with` block ends."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        """Name → password."""
        self._server = _Server((_LOOPBACK, 0), _Conversation)
        self._server.passwords = passwords

    @property
    def address(self) -> str:
        """For POSTWATCH_ACCESS_IMAP."""
        return f"imap+plain://{_LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
