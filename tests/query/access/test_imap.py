"""IMAP servers that say something else than a password is right or wrong, or never come to an end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from postwatch.query.access.imap import ImapCheck, Verdict

from tests.waiting import PATIENCE

_GREETING = b"* OK " + b"x" * 500
_TLS_RECORD = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x03" * 500


def _begin_tls(connection: socket.socket) -> None:
    connection.sendall(b"* OK ready\r\n")
    with connection.makefile("rb") as lines:
        for line in lines:
            tag, _, command = line.partition(b" ")
            if command.startswith(b"CAPABILITY"):
                connection.sendall(b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n")
            connection.sendall(tag + b" OK done\r\n")
            if command.startswith(b"STARTTLS"):
                return


@contextlib.contextmanager
def trickling(scheme: str, words: bytes) -> Iterator[int]:
    """A server that sends a byte at a time, each well within the timeout of a socket."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                if scheme == "imap":
                    _begin_tls(connection)
                for number in range(len(words)):
                    connection.sendall(words[number : number + 1])
                    if ended.wait(0.2):
                        return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join(PATIENCE)


@pytest.mark.parametrize(
    ("scheme", "words"), [("imap+plain", _GREETING), ("imaps", _TLS_RECORD), ("imap", _TLS_RECORD)]
)
def test_a_server_that_never_comes_to_an_end_is_cut_off(scheme: str, words: bytes) -> None:
    with trickling(scheme, words) as port:
        check = ImapCheck(f"{scheme}://127.0.0.1:{port}", "", timeout_seconds=1, connections=1)
        began = time.monotonic()
        assert check.check("anna@a.example", "words") is Verdict.UNKNOWN
        assert time.monotonic() - began < 5


@contextlib.contextmanager
def answering(greeting: str, capabilities: str, to_authenticate: str) -> Iterator[int]:
    """A server that says these words to one client."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            connection.sendall(f"{greeting}\r\n".encode())
            for line in lines:
                tag, _, command = line.decode().partition(" ")
                if command.startswith("CAPABILITY"):
                    connection.sendall(f"* CAPABILITY IMAP4rev1 {capabilities}\r\n{tag} OK done\r\n".encode())
                elif command.startswith("AUTHENTICATE"):
                    connection.sendall(b"+ \r\n")
                    next(lines)
                    connection.sendall(f"{tag} {to_authenticate}\r\n".encode())
                else:
                    connection.sendall(f"{tag} OK done\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


@pytest.mark.parametrize(
    ("greeting", "capabilities", "to_authenticate", "verdict"),
    [
        ("* OK ready", "AUTH=PLAIN", "OK welcome", Verdict.RIGHT),
        ("* OK ready", "AUTH=PLAIN", "NO who?", Verdict.WRONG),
        ("* OK ready", "AUTH=PLAIN", "NO [AUTHENTICATIONFAILED] who?", Verdict.WRONG),
        ("* OK ready", "AUTH=PLAIN", "NO [UNAVAILABLE] later", Verdict.UNKNOWN),
        ("* OK ready", "AUTH=PLAIN", "BAD what?", Verdict.UNKNOWN),
        ("* OK ready", "AUTH=XOAUTH2", "NO", Verdict.UNKNOWN),
        ("* BYE Too many connections", "AUTH=PLAIN", "NO", Verdict.UNKNOWN),
        ("* PREAUTH welcome", "AUTH=PLAIN", "NO", Verdict.UNKNOWN),
        ("* NO idea", "AUTH=PLAIN", "NO", Verdict.UNKNOWN),
        ("220 mail.example.org ESMTP", "AUTH=PLAIN", "NO", Verdict.UNKNOWN),
    ],
)
def test_only_the_answer_to_the_password_says_something_of_it(
    greeting: str, capabilities: str, to_authenticate: str, verdict: Verdict
) -> None:
    with answering(greeting, capabilities, to_authenticate) as port:
        check = ImapCheck(f"imap+plain://127.0.0.1:{port}", "", timeout_seconds=5, connections=1)
        assert check.check("anna@a.example", "words") is verdict


def test_a_server_without_starttls_says_nothing_of_a_password() -> None:
    with answering("* OK ready", "AUTH=PLAIN", "OK welcome") as port:
        check = ImapCheck(f"imap://127.0.0.1:{port}", "", timeout_seconds=5, connections=1)
        assert check.check("anna@a.example", "words") is Verdict.UNKNOWN
