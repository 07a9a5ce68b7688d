"""Which commands and services answer by themselves, and which are the mailbox."""

from __future__ import annotations

import pytest
from postwatch.streams.parsers.programs import is_reply_service, what_runs


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("/usr/bin/vacation anna", "reply"),
        ('|"/usr/bin/vacation -a sales" anna', "reply"),
        ("exec /usr/bin/perl -w /var/spool/vacation/Vacation.pl -- a@b", "reply"),
        ("/usr/bin/python3.11 /home/anna/auto_reply.py", "reply"),
        ("/usr/local/cpanel/bin/autorespond sales@bakery.example", "reply"),
        ("out-of-office anna", "reply"),
        ("/home/vacation/bin/store", "aside"),
        ("/usr/bin/store vacation", "aside"),
        ('/usr/bin/store". Command output: /usr/bin/vacation', "aside"),
        ("sh -c vacation.d/store", "aside"),
        ("/usr/lib/dovecot/dovecot-lda -f a@b -d anna", ""),
        ("IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #anna", ""),
        ("/usr/bin/procmail-wrapper", "aside"),
        ("", "aside"),
    ],
)
def test_what_a_command_is(command: str, what: str) -> None:
    assert what_runs(command) == what


@pytest.mark.parametrize(
    ("name", "is_reply"),
    [
        ("vacation", True),
        ("userautoreply", True),
        ("address_reply", True),
        ("auto-responder", True),
        ("uservacation", True),
        ("virtual_user", False),
        ("dovecot", False),
        ("", False),
    ],
)
def test_which_services_answer(name: str, is_reply: bool) -> None:
    assert is_reply_service(name) is is_reply
