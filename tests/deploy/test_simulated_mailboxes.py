from __future__ import annotations

import socket

from postwatch.deploy.simulator.mailboxes import SimulatedMailboxes
from postwatch.query.access.imap import ImapCheck, Verdict

PASSWORDS = {"anna@bakery.example": "a password", "bakery": "another"}


def test_the_log_in_takes_it_for_an_imap_server() -> None:
    with SimulatedMailboxes(PASSWORDS) as mailboxes:
        check = ImapCheck(mailboxes.address, "", timeout_seconds=5, connections=2)
        for name, password in PASSWORDS.items():
            assert check.check(name, password) is Verdict.RIGHT
        for name, password in (("bakery", "a password"), ("nobody", "another"), ("nobody", "x")):
            assert check.check(name, password) is Verdict.WRONG


def test_what_it_does_not_know_lets_nobody_in() -> None:
    with (
        SimulatedMailboxes(PASSWORDS) as mailboxes,
        socket.create_connection(("127.0.0.1", int(mailboxes.address.rpartition(":")[2])), 5) as connection,
        connection.makefile("rwb") as stream,
    ):
        assert stream.readline().startswith(b"* OK")
        for line in (b'a LOGIN bakery "another"\r\n', b"b SELECT INBOX\r\n"):
            stream.write(line)
            stream.flush()
            assert stream.readline()[2:5] == b"BAD"
        for words in (b"!!", b"AGJha2VyeQBh", b""):
            stream.write(b"c AUTHENTICATE PLAIN\r\n" + words + b"\r\n")
            stream.flush()
            assert stream.readline().startswith(b"+")
            assert stream.readline().startswith(b"c NO")
