"""One run of a real MTA: letters that were handed in, what must become of each recipient, and what witnesses saw.

A letter has a sender of its own. So a row belongs to a letter by its sender, also where no Message-ID was logged.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.real_mta.far_server import Accepted, FarServers, letter_of

LOCAL = "bakery.example"
"""The domain whose mailboxes are files on the server under test."""


class Letter(NamedTuple):
    name: str
    sender: str
    expected: Mapping[str, str]
    """Final recipient → status, and the code of the answer where that counts: `bounced 550`. Empty is a recipient that
    the log does not name."""


class Client:
    """An SMTP client that goes on after refusals and knows PRDR."""

    def __init__(
        self, port: int, source: str = "127.0.0.1", hello: str = "laptop.home.example", server: str = "127.0.0.1"
    ) -> None:
        self._socket = socket.create_connection((server, port), timeout=20, source_address=(source, 0))
        self._file = self._socket.makefile("rb")
        self._read()
        self.command(f"EHLO {hello}")

    def command(self, line: str) -> str:
        self._socket.sendall(line.encode() + b"\r\n")
        return self._read()

    def _read(self) -> str:
        lines: list[str] = []
        while line := self._file.readline().decode("utf-8", "replace"):
            lines.append(line.rstrip())
            if line[3:4] != "-":
                break
        return " ".join(lines)

    def submit(
        self, sender: str, recipients: Sequence[str], content: bytes, *, login: str = "", prdr: bool = False
    ) -> dict[str, str]:
        """The answer for each recipient: that to its RCPT, or the last one for the message."""
        if login:
            self.command("AUTH PLAIN " + base64.b64encode(f"\0{login}\0secret".encode()).decode())
        first = self.command(f"MAIL FROM:<{sender}>" + (" PRDR" if prdr else ""))
        is_taken = first.startswith("2")
        answers = {recipient: self.command(f"RCPT TO:<{recipient}>") if is_taken else first for recipient in recipients}
        taken = [recipient for recipient in recipients if answers[recipient].startswith("2")]
        if taken and (last := self.command("DATA")).startswith("354"):
            self._socket.sendall(content + b".\r\n")
            last = self._read()
            if last.startswith("353"):
                answers |= {recipient: self._read() for recipient in taken}
                overall = self._read()
                taken = [] if overall.startswith("2") else taken
                last = overall
            answers |= dict.fromkeys(taken, last)
        self.command("QUIT")
        self._file.close()
        self._socket.close()
        return answers


class Run:
    """Hands letters in, and judges the rows of the log against what is expected and what was seen."""

    def __init__(self, folder: Path, port: int, far: FarServers) -> None:
        self.folder, self.port, self.far = folder, port, far
        self.letters: list[Letter] = []
        self.wrong: list[str] = []
        self.server = "127.0.0.1"
        (folder / "mail").mkdir(exist_ok=True)

    def send(
        self,
        expected: Mapping[str, str],
        to: Sequence[str] = (),
        *,
        headers: str = "",
        body: str = "hello",
        prdr: bool = False,
        login: bool = False,
        source: str = "127.0.0.51",
        subject: str = "",
        port: int = 0,
    ) -> Letter:
        """Submit a letter over SMTP. `to` is what was submitted, where that is not what it becomes."""
        name = f"letter{len(self.letters) + 1}"
        letter = Letter(name, f"{name}@{LOCAL}", expected)
        self.letters.append(letter)
        content = (
            f"From: <{letter.sender}>\r\nTo: you\r\nSubject: {subject or f'News of {name}'}\r\n"
            f"Message-ID: <{name}.{len(self.letters)}@{LOCAL}>\r\nX-Letter: {name}\r\n{headers}\r\n{body}\r\n"
        ).encode()
        answers = Client(port or self.port, source, server=self.server).submit(
            letter.sender, list(to) or list(expected), content, login=letter.sender if login else "", prdr=prdr
        )
        for recipient, status in expected.items():
            answer = answers.get(recipient, "2")
            is_refused = answer.startswith(("4", "5") if status.startswith("rejected") else "5")
            if recipient and is_refused != status.startswith("rejected") and not headers.startswith("X-Fake"):
                self.wrong.append(f"{name} {recipient}: expected {status}, the client was told {answer}")
        return letter

    def wait(self, seconds: float, ready: Iterable[Letter] = ()) -> None:
        """Until the deliverable recipients of the letters have been seen, at most so long."""
        end = time.monotonic() + seconds
        waited_for = {
            Accepted(letter.name, recipient)
            for letter in ready or self.letters
            for recipient, status in letter.expected.items()
            if status == "delivered"
        }
        while time.monotonic() < end and not waited_for <= self.seen():
            time.sleep(0.1)

    def seen(self) -> set[Accepted]:
        """What the far servers and the mailboxes took."""
        boxes = {Accepted(letter_of(content), box) for box, content in self._mail() if not is_notice(content)}
        return set(self.far.accepted) | boxes

    def notices(self) -> list[str]:
        return [content.decode("utf-8", "replace") for _, content in self._mail() if is_notice(content)]

    def _mail(self) -> list[tuple[str, bytes]]:
        """Address and message. Mailboxes are files in the form of mbox, named after the whole address or in a folder
        named after its domain."""
        found: list[tuple[str, bytes]] = []
        for path in (self.folder / "mail").rglob("*"):
            if path.is_file():
                name = path.name if path.parent.name == "mail" else f"{path.name}@{path.parent.name}"
                content = b"\n" + path.read_bytes()
                parts = content.split(b"\nFrom ")[1:]
                found += [(name.replace("%", "@"), part.partition(b"\n")[2]) for part in parts]
        return found

    def settle(self, seconds: float) -> None:
        """Until everything that is expected has happened, and is logged, at most so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._unwitnessed():
            time.sleep(0.2)
        time.sleep(1)

    def check_witnesses(self) -> None:
        """What was expected must have happened; otherwise the scenario is wrong, not Postwatch."""
        self.wrong += self._unwitnessed()

    def _unwitnessed(self) -> list[str]:
        seen = self.seen()
        notices = self.notices()
        wrong: list[str] = []
        for letter in self.letters:
            for recipient, status in letter.expected.items():
                if not recipient:
                    continue
                if (Accepted(letter.name, recipient) in seen) != (status == "delivered"):
                    wrong.append(f"{letter.name} {recipient}: expected {status}, but the mailbox says otherwise")
                told = any(f"{letter.name}@" in notice and recipient in notice for notice in notices)
                if status.split()[0] in ("bounced", "expired") and not told:
                    wrong.append(f"{letter.name} {recipient}: expected {status}, but there is no notice of it")
        return wrong

    def compare(self, rows: Iterable[Mapping[str, str]]) -> tuple[int, list[str]]:
        """Recipients compared, and what is wrong of the rows."""
        found: dict[tuple[str, str], set[str]] = {}
        once: set[tuple[str, str, str, str]] = set()
        wrong: list[str] = []
        for row in rows:
            recipient = row["recipient"]
            if recipient and "@" not in recipient:
                recipient += f"@{LOCAL}"  # an address that a system filter made is logged by its local part
            told = found.setdefault((row["sender"], recipient), set())
            told |= {row["status"], f"{row['status']} {row['smtp_code'] or ''}"}
            again = (row["account"], row["sender"], recipient, row["direction"])
            if row["sender"] and again in once:
                wrong.append(f"{row['sender']} → {recipient}: two rows for one account")
            once.add(again)
        known = {(letter.sender, recipient) for letter in self.letters for recipient in letter.expected}
        for letter in self.letters:
            for recipient, status in letter.expected.items():
                told = found.get((letter.sender, recipient)) or found.get(("", recipient), set())
                if status not in told or len({words.split()[0] for words in told}) > 1:
                    wrong.append(f"{letter.sender} → {recipient}: {status}, but the rows say {sorted(told)}")
        senders = {letter.sender for letter in self.letters}
        wrong += [f"{key[0]} → {key[1]}: a row too many" for key in found if key[0] in senders and key not in known]
        return len(known), wrong


def is_notice(content: bytes) -> bool:
    return b"mailer-daemon@" in content.partition(b"\n\n")[0].lower()


def disguise(log: str, names: Mapping[str, str]) -> str:
    """The log as an engineer would have it: public names and addresses instead of the loopback's."""
    for old, new in names.items():
        log = re.sub(rf"(?<![\w.]){re.escape(old)}(?![\w]|\.\d)", new, log)
    return log


def rows_of(log: Path, log_format: str) -> list[dict[str, str]]:
    """The rows that `postwatch read` prints."""
    postwatch = str(Path(sys.executable).with_name("postwatch"))
    command = [postwatch, "read", "--format", log_format, "--server", "web7.hosting.example", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(done.stderr.strip().splitlines()[-1] if done.stderr else "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def make_certificate(folder: Path) -> Path:
    path = folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=far.example"
    subprocess.run(
        [*command.split(), "-keyout", str(path), "-out", str(folder / "public.pem")], capture_output=True, check=True
    )
    path.write_bytes(path.read_bytes() + (folder / "public.pem").read_bytes())
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
