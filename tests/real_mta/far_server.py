"""The far side of a real MTA under test: SMTP and LMTP servers on the loopback whose answers a script decides.

They are the witnesses of a run: whatever they accepted was delivered, whatever the MTA logs about it.
"""

from __future__ import annotations

import email
import email.policy
import smtplib
import socketserver
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Script(NamedTuple):
    """What a server answers; empty is its usual answer. An answer `drop` closes the connection."""

    banner: str = ""
    ehlo: str = ""
    starttls: str = ""
    auth: str = ""
    mail: str = ""
    rcpt: str = ""
    data: str = ""
    dot: str = ""
    offers_tls: bool = False
    offers_prdr: bool = False
    lmtp: bool = False
    gives_back_to: int = 0
    """A content filter: the port on this machine that every message goes back to."""


USUAL_SCRIPTS = {
    "ok": Script(),
    "down": Script(),  # nobody listens there
    "banner421": Script(banner="421 4.3.2 too busy"),
    "banner554": Script(banner="554 5.7.1 your network is listed"),
    "ehlo421": Script(ehlo="421 4.7.0 try later"),
    "nostarttls": Script(starttls="454 4.7.0 TLS not available", offers_tls=True),
    "notls": Script(),
    "tls": Script(offers_tls=True),
    "mail451": Script(mail="451 4.3.0 sender check failed"),
    "rcpt451": Script(rcpt="451 4.2.0 greylisted, come back"),
    "rcpt421": Script(rcpt="421 4.7.0 closing"),
    "data451": Script(data="451 4.3.0 no room"),
    "data550": Script(data="550 5.5.0 no data, please"),
    "dot451": Script(dot="451 4.3.5 later"),
    "drops": Script(dot="drop"),
    "lmtp": Script(lmtp=True),
    "ours535": Script(auth="535 5.7.8 authentication failed"),
}
"""Far servers that every real mail server is run against."""


class Accepted(NamedTuple):
    """One recipient of one letter that the far side took."""

    letter: str
    recipient: str


RCPT_ANSWERS = {
    "gone": "550 5.1.1 <{}>: no such user here",
    "full": "452 4.2.2 <{}>: mailbox full",
    "shut": "554 5.7.1 <{}>: => not you R=x T=y; status=sent",
}
"""By the first word of the local part (`gone-1@…`), on every server."""
DOT_ANSWERS = {"spam": "550 5.7.1 <{}> looks like spam", "slow": "450 4.2.1 <{}> too fast"}
"""For each recipient after the end of data: LMTP and PRDR."""


def letter_of(content: bytes) -> str:
    """The name of a letter, from its own header or from what a notice quotes of it."""
    message = email.message_from_bytes(content, policy=email.policy.compat32)
    return str(message.get("X-Letter", "")).strip()


def give_back(port: int, sender: str, recipients: list[str], content: bytes) -> str:
    """Hand a message over as a content filter does, and answer what the next hop said."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="filter.hosting.example", timeout=20) as client:
        client.mail(sender)
        for recipient in recipients:
            client.rcpt(recipient)
        code, words = client.data(content)
    return f"{code} {words.decode()}"


class FarServers:
    """One listener for each script, each on an address of its own, all on one port."""

    def __init__(self, port: int, scripts: Mapping[str, Script], certificate: Path) -> None:
        self.accepted: list[Accepted] = []
        self._lock = threading.Lock()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._servers = [self._serve(address, port, script) for address, script in scripts.items()]

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, address: str, port: int, script: Script) -> socketserver.BaseServer:
        owner = self

        class Session(_Session):
            servers = owner
            answers = script

        server = _Server((address, port), Session)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    def took(self, letter: str, recipients: list[str]) -> None:
        with self._lock:
            self.accepted += [Accepted(letter, recipient) for recipient in recipients]

    def wrap(self, session: _Session) -> None:
        secured = self._context.wrap_socket(session.connection, server_side=True, do_handshake_on_connect=False)
        session.connection = session.request = secured
        secured.do_handshake()
        session.rfile = secured.makefile("rb")
        session.wfile = secured.makefile("wb", buffering=0)  # type: ignore[assignment]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of the scenarios."""


class _Dropped(Exception):
    """The script closes the connection here."""


class _Session(socketserver.StreamRequestHandler):
    servers: FarServers
    answers: Script
    timeout = 20
    _sender = ""

    def handle(self) -> None:
        try:
            self._talk()
        except (_Dropped, OSError):
            return
        finally:
            self.connection.close()  # after STARTTLS it is another one than the server knows

    def _answer(self, scripted: str, usual: str) -> bool:
        """Whether the answer was a good one."""
        words = scripted or usual
        if words == "drop":
            raise _Dropped
        self.wfile.write(words.replace("\n", "\r\n").encode() + b"\r\n")
        if words.startswith("421"):
            raise _Dropped
        return words[0] in "23"

    def _talk(self) -> None:
        script = self.answers
        recipients: list[str] = []
        prdr = False
        secured = False
        if not self._answer(script.banner, "220 far.example ESMTP"):
            raise _Dropped
        while line := self.rfile.readline().decode("utf-8", "replace").rstrip("\r\n"):
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb in ("EHLO", "LHLO", "HELO"):
                self._answer(script.ehlo, self._greeting(secured))
            elif verb == "STARTTLS":
                if self._answer(script.starttls, "220 2.0.0 go ahead"):
                    self.servers.wrap(self)
                    secured = True
            elif verb == "AUTH":
                self._answer(script.auth, "235 2.7.0 welcome")
            elif verb == "MAIL":
                recipients, prdr = [], " PRDR" in line.upper()
                self._sender = line[line.index("<") + 1 : line.index(">")]
                self._answer(script.mail, "250 2.1.0 ok")
            elif verb == "RCPT":
                recipient = line[line.index("<") + 1 : line.rindex(">")]
                word = recipient.split("-")[0].split("@")[0]
                known = {} if script.gives_back_to else RCPT_ANSWERS
                if self._answer(script.rcpt or known.get(word, "").format(recipient), "250 2.1.5 ok"):
                    recipients.append(recipient)
            elif verb == "DATA":
                if self._answer(script.data if recipients else "503 5.5.1 no recipients", "354 go on"):
                    self._data(recipients, prdr)
            elif verb == "QUIT":
                self._answer("", "221 2.0.0 bye")
                return
            else:
                self._answer("", "250 2.0.0 ok")

    def _greeting(self, secured: bool) -> str:
        words = ["far.example", "PIPELINING" if not self.answers.offers_prdr else "8BITMIME"]
        words += ["STARTTLS"] if self.answers.offers_tls and not secured else []
        words += ["AUTH PLAIN LOGIN"] if self.answers.auth else []
        words += ["PRDR"] if self.answers.offers_prdr else []
        return "\n".join([f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"])

    def _data(self, recipients: list[str], prdr: bool) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        if self.answers.gives_back_to:
            self._answer("", give_back(self.answers.gives_back_to, self._sender, recipients, b"".join(lines)))
            return
        letter = letter_of(b"".join(lines))
        if not (self.answers.lmtp or prdr):
            word = recipients[0].split("-")[0] if len(recipients) == 1 else ""
            scripted = self.answers.dot or DOT_ANSWERS.get(word, "").format(*recipients)
            if self._answer(scripted, f"250 2.0.0 taken as {len(self.servers.accepted) + 1000:X}"):
                self.servers.took(letter, recipients)
            return
        if prdr:
            self._answer("", "353 content analysis has started")
        for recipient in recipients:
            word = recipient.split("-")[0].split("@")[0]
            if self._answer(
                self.answers.dot or DOT_ANSWERS.get(word, "").format(recipient), f"250 2.1.5 <{recipient}> Saved"
            ):
                self.servers.took(letter, [recipient])
        if prdr:
            self._answer("", "250 2.0.0 the message is taken")
