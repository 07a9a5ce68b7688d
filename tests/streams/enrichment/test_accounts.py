"""Whose mail it is: what the system knows comes before what a sender says."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import RECEIVED, SENT
from postwatch.streams.enrichment.accounts import UNKNOWN, Account, AccountBook, is_account, is_into_mailbox, mailbox
from postwatch.streams.enrichment.trusted_networks import parse_networks
from postwatch.streams.parsers.events import WHOLE, Attempt, Refusal

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


@pytest.mark.parametrize(
    "name",
    [
        "ann@here.example",
        "ann+tag@here.example",
        "web7",
        "jörg@bücher.example",
        '"a b"@here.example',
        '"a@b"@here.example',
        "user%here.example",
        r"here\ann",
    ],
)
def test_what_can_be_an_account(name: str) -> None:
    assert is_account(name)


NO_ACCOUNTS = [
    "foo bar",
    "a@b@c",
    "ann@here.example@also.example",
    "foo bar@here.example",
    "ann@here example",
    "ann\t@here.example",
    "ann\xa0@here.example",
    '"a b@here.example',
    '"a"b c"@here.example',
    "ann@",
    "@here.example",
    "@",
]


@pytest.mark.parametrize("name", [*NO_ACCOUNTS, ""])
def test_what_can_be_no_account(name: str) -> None:
    assert not is_account(name)


@pytest.mark.parametrize("name", NO_ACCOUNTS)
@pytest.mark.parametrize("book", [BOOK, ANYBODY], ids=("list", "log"))
def test_a_name_that_can_be_no_account_gets_no_rows(book: AccountBook, name: str) -> None:
    login = part("Q1", 1, WHOLE, authenticated_as=name)
    assert book.of_delivery(login, "bob@far.example", None, SERVER) in (
        (UNKNOWN,),
        (mailbox("bob@far.example", SERVER, RECEIVED),),
    )
    assert book.of_delivery(part("Q1", 1, WHOLE), name, tried("Q1", 1, name), SERVER) == (UNKNOWN,)
    assert book.of_refusal(Refusal("r:1", 1, "no", recipient=name, authenticated_as=name), SERVER) == (UNKNOWN,)


def test_a_login_that_can_be_no_account_leaves_the_word_to_the_sender() -> None:
    told = part("Q1", 1, WHOLE, authenticated_as="a@b@c", sender="ann@here.example")
    assert BOOK.sender(told, SERVER) == Account("ann@here.example", "here.example", SENT)


def test_an_alias_of_what_can_be_no_account_is_the_address_as_submitted() -> None:
    delivered = tried("Q1", 1, "foo bar", original_recipient="ann@here.example")
    assert ANYBODY.receiver("foo bar", delivered, SERVER) == Account("ann@here.example", "here.example", RECEIVED)


FORGED = {"sender": "ann@here.example"}
LISTED = AccountBook({"here.example": ""}, parse_networks("10.1.0.0/16, 2001:db8:1::/48, 203.0.113.5", "the test"))
SENT_BY_ANN = Account("ann@here.example", "here.example", SENT)


@pytest.mark.parametrize(
    "client",
    [
        {"client_ip": "192.0.2.66"},
        {"client_ip": "2001:db8:2::7"},
        {"client_ip": "203.0.113.6"},
        {"client_ip": "192.0.2.66", "client_host": "localhost"},
        {"client_ip": "192.0.2.66", "client_host": "127.0.0.1"},
        {"client_ip": "::1:2"},
        {"client_ip": "12.7.0.1"},
        {"client_ip": "10.x.0.1"},
        {"client_host": "unknown"},
        {"client_host": "localhost"},
        {"parent_queue_id": "Q0"},
    ],
    ids=str,
)
def test_nobodys_envelope_sender_is_believed_from_outside(client: dict[str, str]) -> None:
    """Not by the host's name either, which its owner chooses."""
    told = part("Q1", 1, WHOLE, **FORGED, **client)
    assert LISTED.sender(told, SERVER) is None
    assert LISTED.of_delivery(told, "bob@here.example", None, SERVER) == (
        mailbox("bob@here.example", SERVER, RECEIVED),
    )
    assert LISTED.of_delivery(told, "bob@far.example", None, SERVER) == (UNKNOWN,)


@pytest.mark.parametrize(
    "client",
    [
        {},
        {"client_ip": "127.0.0.1"},
        {"client_ip": "127.0.1.1", "client_host": "web7.hosting.example"},
        {"client_ip": "::1"},
        {"client_ip": "10.1.2.3"},
        {"client_ip": "::ffff:10.1.2.3"},
        {"client_ip": "2001:db8:1:2::7"},
        {"client_ip": "203.0.113.5"},
        {"client_ip": "192.0.2.66", "auth_method": "plain"},
        {"client_ip": "192.0.2.66", "auth_method": "plain", "authenticated_as": "a@b@c"},
    ],
    ids=str,
)
def test_this_machine_trusted_networks_and_who_logged_in_are_believed(client: dict[str, str]) -> None:
    assert LISTED.sender(part("Q1", 1, WHOLE, **FORGED, **client), SERVER) == SENT_BY_ANN


def refused(recipient: str, client_ip: str, client_host: str = "") -> Refusal:
    said = "ann@here.example"
    return Refusal("r:1", 1, "no", said, recipient, client_host=client_host, client_ip=client_ip)


def test_a_strangers_refusal_is_not_the_forged_senders() -> None:
    for recipient, wanted in (
        ("bob@here.example", mailbox("bob@here.example", SERVER, RECEIVED)),
        ("victim@far.example", UNKNOWN),
    ):
        assert LISTED.of_refusal(refused(recipient, "192.0.2.66", "localhost"), SERVER) == (wanted,)
        assert LISTED.of_refusal(refused(recipient, ""), SERVER) == (wanted,)
    assert LISTED.of_refusal(refused("victim@far.example", "10.1.2.3"), SERVER) == (SENT_BY_ANN,)


REWRITTEN = [
    "SRS0=Kq1b=HQ=far.example=x@here.example",
    "srs0+kq1b+hq+far.example=x@here.example",
    "SRS1-abc=mid.example==Kq1b=HQ=far.example=x@here.example",
    "prvs=1234abcdef=ann@here.example",
    "btv1==08152faba2f==ann@here.example",
    "bounces+ann=far.example@here.example",
    "bounces+ann=far@here.example",
    "bounce-77-ann=far.example@here.example",
    "news-return-12-ann=far.example@here.example",
    "ann+7=far.example@here.example",
]


@pytest.mark.parametrize("address", REWRITTEN)
@pytest.mark.parametrize("book", [LISTED, ANYBODY], ids=("list", "log"))
def test_an_address_made_for_one_message_is_nobodys(book: AccountBook, address: str) -> None:
    assert book.sender(part("Q1", 1, WHOLE, sender=address), SERVER) is None
    lower = address.lower()
    assert book.receiver(lower, tried("Q1", 1, lower), SERVER) is None
    back = tried("Q1", 1, "x@far.example", original_recipient=lower, remote_ip="192.0.2.1")
    assert book.receiver("x@far.example", back, SERVER) is None
    assert book.of_refusal(Refusal("r:1", 1, "no", recipient=lower), SERVER) == (UNKNOWN,)


@pytest.mark.parametrize(
    "address",
    ["ann+tag@here.example", "a=b@here.example", "srs0@here.example", "prvs@here.example", "btv1@here.example"],
)
def test_what_only_looks_like_one_is_an_account(address: str) -> None:
    assert LISTED.sender(part("Q1", 1, WHOLE, sender=address), SERVER) == Account(address, "here.example", SENT)


@pytest.mark.parametrize("login", ["__cpanel__service__auth__icontact__Xy12", "_cpanel_0a1b2c"])
def test_a_login_of_cpanels_services_is_no_account(login: str) -> None:
    told = part("Q1", 1, WHOLE, sender="ann@here.example", authenticated_as=login, client_ip="127.0.0.1")
    assert LISTED.sender(told, SERVER) == SENT_BY_ANN
    assert LISTED.sender(part("Q1", 1, WHOLE, authenticated_as=login), SERVER) is None


def test_the_servers_own_notices_are_nobodys() -> None:
    for sender in ("double-bounce@here.example", "MAILER-DAEMON@here.example"):
        assert LISTED.sender(part("Q1", 1, WHOLE, sender=sender), SERVER) is None


@pytest.mark.parametrize(
    ("attempt", "is_in"),
    [
        (tried("Q1", 1, "a@x", transport="lmtp", remote_ip="203.0.113.9"), True),
        (tried("Q1", 1, "a@x", transport="my_LMTP_store", remote_ip="10.0.0.9"), True),
        (tried("Q1", 1, "a@x", transport="cyrusv2", remote_ip="10.0.0.9"), True),
        (tried("Q1", 1, "a@x", transport="dovecot", remote_ip="127.0.0.1", response="250 2.0.0 <a@x> b Saved"), True),
        (
            tried("Q1", 1, "a@x", transport="dovecot", remote_ip="203.0.113.9", response="250 2.0.0 <a@x> b Saved"),
            False,
        ),
        (tried("Q1", 1, "a@x", transport="virtual"), True),
        (tried("Q1", 1, "a@x", transport="remote", remote_ip="203.0.113.9", response="250 2.0.0 <a@x> b Saved"), False),
        (tried("Q1", 1, "a@x", transport="smtp", remote_ip="127.0.0.1", response="250 2.0.0 <a@x> b Saved"), False),
        (tried("Q1", 1, "a@x", transport="lmtp", remote_ip="10.0.0.9", next_queue_id="7D00C4C0E2"), False),
        (tried("Q1", 1, "a@x", "bounced", transport="lmtp", remote_ip="10.0.0.9"), False),
    ],
)
def test_what_is_a_delivery_into_a_mailbox(attempt: Attempt, is_in: bool) -> None:
    assert is_into_mailbox(attempt) is is_in


def test_without_a_list_what_this_machine_hands_in_is_its_senders_unless_a_mailbox_here_has_it() -> None:
    away = tried("Q1", 1, "bob@far.example", remote_ip="192.0.2.1")
    near = tried("Q1", 1, "bob@far.example", transport="lmtp")
    bob = mailbox("bob@far.example", SERVER, RECEIVED)
    for ip in ("127.0.0.1", "::1"):
        told = part("Q1", 1, WHOLE, client_ip=ip, **FORGED)
        assert ANYBODY.of_delivery(told, "bob@far.example", away, SERVER) == (SENT_BY_ANN,)
        assert ANYBODY.of_delivery(told, "bob@far.example", None, SERVER) == (SENT_BY_ANN,)
        assert ANYBODY.of_delivery(told, "bob@far.example", near, SERVER) == (bob,)
        eve = mailbox("eve@here.example", SERVER, RECEIVED)
        inside = tried("Q1", 1, "eve@here.example", transport="lmtp")
        assert ANYBODY.of_delivery(told, "eve@here.example", inside, SERVER) == (SENT_BY_ANN, eve)
    forged = part("Q1", 1, WHOLE, client_ip="192.0.2.66", client_host="localhost", **FORGED)
    assert ANYBODY.of_delivery(forged, "bob@far.example", away, SERVER) == (bob,)
    notice = part("Q1", 1, WHOLE, sender="double-bounce@mx1.here.example")
    assert ANYBODY.of_delivery(notice, "bob@far.example", away, SERVER) == (UNKNOWN,)
