"""Whose mail it is: what the system knows comes before what a sender says."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import RECEIVED, SENT
from postwatch.streams.enrichment.accounts import Account, AccountBook, mailbox
from postwatch.streams.parsers.events import WHOLE

from tests.streams.joining.test_joiner import BOOK, SERVER, part, tried

ANYBODY = AccountBook(None)


def test_who_logged_in_comes_before_user_and_sender() -> None:
    said = {"sender": "boss@also.example", "system_user": "web7"}
    logged_in = part("Q1", 1, WHOLE, authenticated_as="ann@here.example", **said)
    assert BOOK.sender(logged_in, SERVER) == Account("ann@here.example", "here.example", SENT)
    assert BOOK.sender(part("Q1", 1, WHOLE, **said), SERVER) == Account("web7@mx1", "mx1", SENT)


def test_a_mailbox_is_in_lower_case() -> None:
    assert mailbox("Bob@Example.ORG", SERVER, SENT) == Account("bob@example.org", "example.org", SENT)


def test_a_system_user_is_known_on_one_server_only() -> None:
    assert mailbox("web7", "mx1", SENT) == Account("web7@mx1", "mx1", SENT)
    assert mailbox("web7", "mx2", SENT) != mailbox("web7", "mx1", SENT)


@pytest.mark.parametrize("address", ["root@mx1", "Root@MX1", "root@localhost", "root"])
@pytest.mark.parametrize("book", [BOOK, ANYBODY], ids=("list", "log"))
def test_mail_of_a_system_user_is_found_under_user_at_server(book: AccountBook, address: str) -> None:
    """With a list of hosted domains or without: no list holds the names of the servers."""
    assert book.receiver(address.lower(), tried("Q1", 1, address), SERVER) == Account("root@mx1", "mx1", RECEIVED)
    if book is BOOK:
        assert book.sender(part("Q1", 1, WHOLE, sender=address), SERVER) == Account("root@mx1", "mx1", SENT)


def test_a_command_or_another_servers_user_is_no_system_user_here() -> None:
    for address in ("|/usr/bin/vacation", "/dev/null", "root@mx2", "root@mx1.example"):
        assert BOOK.receiver(address, tried("Q1", 1, address), SERVER) is None


def test_a_sender_counts_where_its_domain_is_hosted() -> None:
    assert BOOK.sender(part("Q1", 1, WHOLE, sender="Ann@Here.example"), SERVER) == Account(
        "ann@here.example", "here.example", SENT
    )
    assert BOOK.sender(part("Q1", 1, WHOLE, sender="eve@far.example"), SERVER) is None
    assert BOOK.sender(part("Q1", 1, WHOLE, sender=""), SERVER) is None


def test_without_a_list_what_stayed_here_is_ours() -> None:
    here = tried("Q1", 1, "bob@here.example")
    away = tried("Q1", 1, "bob@far.example", remote_ip="192.0.2.1")
    assert ANYBODY.receiver("bob@here.example", here, SERVER) == Account("bob@here.example", "here.example", RECEIVED)
    assert ANYBODY.receiver("bob@far.example", away, SERVER) is None
