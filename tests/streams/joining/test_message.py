"""A message is a set of events: neither their order nor the copy that they came in tells anything."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, EXPIRED
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import WHOLE, Event, LifecycleEvent

from tests.streams.joining.test_golden import rows_of
from tests.streams.joining.test_joiner import BOOK, SERVER, Table, part, removed, tried

EXIM_ID = "1vwyDG-0003aB-1X"


def test_whoever_saw_more_arrivals_has_the_higher_version() -> None:
    arrival = part(EXIM_ID, 1000, WHOLE, sender="ann@here.example")
    whole, partial = Joiner(BOOK), Joiner(BOOK)
    whole.add(SERVER, [arrival, tried(EXIM_ID, 2000, "bob@far.example", DEFERRED)])
    partial.add(SERVER, [tried(EXIM_ID, 90_000, "bob@far.example"), removed(EXIM_ID, 90_000)])
    ((known,), _), ((unknown,), _) = whole.take_dirty(), partial.take_dirty()
    assert (known.account, unknown.account) == ("ann@here.example", "")
    assert known.version > unknown.version


@pytest.mark.parametrize(
    ("deferred_at", "is_attempt", "status"),
    [(2500, True, DELIVERED), (3000, True, DELIVERED), (4000, False, DELIVERED), (4000, True, DEFERRED)],
)
def test_the_last_final_attempt_decides(deferred_at: int, is_attempt: bool, status: str) -> None:
    """A real try behind it is about something else of the same address, such as the mailbox beside a reply."""
    arrival = part(EXIM_ID, 1000, WHOLE, sender="ann@here.example")
    attempts = [
        tried(EXIM_ID, 3000, "bob@far.example", BOUNCED, router="mailbox"),
        tried(EXIM_ID, 3000, "bob@far.example", DELIVERED, router="reply"),
        tried(EXIM_ID, deferred_at, "bob@far.example", DEFERRED, is_attempt=is_attempt, router="mailbox"),
    ]
    joiner = Joiner(BOOK)
    joiner.add(SERVER, [arrival, *attempts])
    ((row,), _) = joiner.take_dirty()
    assert (row.status, row.updated_at) == (status, max(3000, deferred_at) if is_attempt else 3000)


@pytest.mark.parametrize("end", [DEFERRED, BOUNCED, CANCELLED])
def test_a_mailbox_stays_its_owners_whatever_comes_of_it_beside_a_reply(end: str) -> None:
    """Without a list of hosted domains the reply alone tells that the address is one of ours."""
    joiner, table = Joiner(AccountBook(None)), Table()
    mailbox = tried(EXIM_ID, 4000, "bob@here.example", BOUNCED if end == BOUNCED else DEFERRED, router="mailbox")
    events: list[Event] = [
        part(EXIM_ID, 1000, WHOLE, sender="eve@far.example", client_ip="192.0.2.1"),
        tried(EXIM_ID, 2000, "bob@here.example", router="reply", transport="vacation"),
        mailbox,
    ]
    if end == CANCELLED:
        events += [LifecycleEvent(EXIM_ID, 5000, "cancelled", CANCELLED), removed(EXIM_ID, 6000)]
    for event in events:
        joiner.add(SERVER, [event])
        table.insert(joiner.take_dirty()[0])
    assert [(row.account, row.status) for row in table.rows()] == [("bob@here.example", end)]


def test_a_clock_that_was_set_back_makes_no_delivery_pending_again() -> None:
    arrival = part(EXIM_ID, 1000, WHOLE, sender="ann@here.example")
    joiner, table = Joiner(BOOK), Table()
    events: list[Event] = [
        arrival,
        tried(EXIM_ID, 3_602_000, "bob@far.example", DEFERRED),
        tried(EXIM_ID, 3_603_000, "carl@far.example", DEFERRED, is_attempt=False),
        tried(EXIM_ID, 4000, "carl@far.example", DEFERRED, is_attempt=False),
        tried(EXIM_ID, 5000, "bob@far.example"),
        tried(EXIM_ID, 6000, "carl@far.example", BOUNCED),
    ]
    for event in events:
        joiner.add(SERVER, [event])
        table.insert(joiner.take_dirty()[0])
    assert [(row.recipient, row.status, row.updated_at) for row in table.rows()] == [
        ("bob@far.example", DELIVERED, 3_602_000),
        ("carl@far.example", BOUNCED, 6000),
    ]


def test_a_timeout_ends_what_a_clock_that_was_set_back_put_behind_it() -> None:
    """The line that ends the message comes a moment later; it may be in another record, or in another log."""
    joiner = Joiner(BOOK)
    joiner.add(SERVER, [part(EXIM_ID, 1000, WHOLE, sender="ann@here.example")])
    joiner.add(SERVER, [tried(EXIM_ID, 3_602_000, "bob@far.example", DEFERRED, router="dnslookup")])
    joiner.add(SERVER, [tried(EXIM_ID, 90_000, "bob@far.example", EXPIRED)])
    ((row,), _) = joiner.take_dirty()
    assert row.status == EXPIRED


def test_a_message_that_is_done_is_not_under_way_whatever_the_clock_said() -> None:
    arrival = part(EXIM_ID, 1000, WHOLE, sender="ann@here.example")
    joiner = Joiner(BOOK)
    joiner.add(SERVER, [arrival, tried(EXIM_ID, 3_602_000, "bob@far.example", DEFERRED, router="mailbox")])
    joiner.add(SERVER, [tried(EXIM_ID, 3000, "bob@far.example", DELIVERED, router="reply")])
    ((in_flight,), _) = joiner.take_dirty()
    joiner.add(SERVER, [removed(EXIM_ID, 3001)])
    ((done,), _) = joiner.take_dirty()
    assert (in_flight.status, done.status) == (DEFERRED, DELIVERED)
    assert done.version > in_flight.version


@pytest.mark.parametrize(
    ("again", "is_retracted"),
    [
        ({"at": 9000}, True),
        ({"at": 9000, "is_attempt": False, "transport": ""}, True),
        ({"at": 9000, "transport": "vacation", "status": DELIVERED}, False),
        ({"at": 2000, "status": DELIVERED}, False),
        ({"at": 9000, "recipient": "eve@far.example"}, False),
    ],
)
def test_a_recipient_of_which_nothing_is_said_when_others_are_tried_again(
    again: dict[str, object], is_retracted: bool
) -> None:
    """It resolves to the same address as another one; that message may wait for days."""
    recipients = ("bob@far.example", "eve@far.example", "sales@here.example", "also@here.example")
    arrival = part(EXIM_ID, 1000, WHOLE, sender="ann@here.example", recipients=recipients)
    joiner, table = Joiner(BOOK), Table()
    joiner.add(SERVER, [arrival])
    for message in list(joiner.open_messages()):
        table.insert(joiner.pending_rows(message))
    tries = [
        tried(EXIM_ID, 2000, "bob@far.example", DEFERRED),
        tried(EXIM_ID, 2000, "carl@far.example", original_recipient="sales@here.example"),
        tried(EXIM_ID, **({"recipient": "bob@far.example", "status": DEFERRED} | again)),  # type: ignore[arg-type]
    ]
    joiner.add(SERVER, tries)
    table.insert(joiner.take_dirty()[0])
    assert ("also@here.example" in {row.recipient for row in table.rows()}) is not is_retracted


def test_a_message_that_an_operator_holds_before_its_first_try_is_deferred() -> None:
    recipients = ("bob@far.example", "sales@here.example")
    arrival = part(EXIM_ID, 1000, WHOLE, sender="ann@here.example", recipients=recipients)
    held = LifecycleEvent(EXIM_ID, 1001, "frozen by ACL", DEFERRED)
    away = LifecycleEvent(EXIM_ID, 9000, "removed", CANCELLED, closes=True)
    tries = [
        tried(EXIM_ID, 9000, "bob@far.example"),
        tried(EXIM_ID, 9000, "carl@far.example", original_recipient="sales@here.example"),
    ]
    for behind, expected in (
        ([], {"bob@far.example": DEFERRED, "sales@here.example": DEFERRED}),
        ([away], {"bob@far.example": CANCELLED, "sales@here.example": CANCELLED}),
        (tries, {"bob@far.example": DELIVERED, "carl@far.example": DELIVERED}),
    ):
        joiner, table = Joiner(BOOK), Table()
        events: list[Event] = [arrival, held, held, *behind]
        for event in events:
            joiner.add(SERVER, [event])
            table.insert(joiner.take_dirty()[0])
        found = {row.recipient: row.status for row in table.rows() if row.account == "ann@here.example"}
        assert found == expected


def test_an_address_that_was_an_alias_is_retracted_before_the_message_ends() -> None:
    arrival = part(EXIM_ID, 1000, WHOLE, sender="ann@here.example", recipients=("sales@far.example", "eve@far.example"))
    joiner = Joiner(BOOK)
    joiner.add(SERVER, [arrival, tried(EXIM_ID, 2000, "bob@far.example", original_recipient="sales@far.example")])
    rows, _ = joiner.take_dirty()
    assert {row.recipient: row.is_deleted for row in rows} == {"sales@far.example": 1, "bob@far.example": 0}


def test_an_alias_of_opensmtpd_may_have_a_target_beside_the_mailbox_of_its_name() -> None:
    session = "5df87c903d709601"

    def said(second: int, words: str) -> str:
        return f"Nov 23 09:00:{second:02} mx5 smtpd[7]: {session} {words}"

    sent = "mta delivery evpid=c405e30155555555 from=<x@far.example> to=<ann@phone.example> rcpt=<ann@shop.example> "
    sent += 'source="192.0.2.5" relay="198.51.100.9 (mx.phone.example)" delay=2s '
    lines = [
        said(1, "smtp connected address=192.0.2.80 host=mail.far.example"),
        said(1, "smtp message msgid=c405e301 size=900 nrcpt=1 proto=ESMTP"),
        said(1, "smtp envelope evpid=c405e30144444444 from=<x@far.example> to=<ann@shop.example>"),
        said(1, "smtp disconnected reason=quit"),
        said(
            2,
            "mda delivery evpid=c405e30144444444 from=<x@far.example> to=<ann@shop.example> rcpt=<ann@shop.example> "
            "user=vmail delay=0s result=Ok stat=Delivered",
        ),
        said(3, sent + 'result="TempFail" stat="451 later"'),
        said(9, sent + 'result="PermFail" stat="550 5.1.1 no such user"'),
    ]
    rows = rows_of([[line] for line in lines])
    assert rows == rows_of([lines])
    assert [(row["account"], row["recipient"], row["status"]) for row in rows] == [
        ("ann@shop.example", "ann@phone.example", "bounced"),
        ("ann@shop.example", "ann@shop.example", "delivered"),
    ]


def test_a_message_of_opensmtpd_5_has_a_line_for_each_recipient() -> None:
    accepted = (
        "smtp-in: Accepted message a1b2c301 on session 1f55bdcdf16e2801: from=<x@far.example>, to=<{}>, size=9, ndest=1"
    )
    taken = "relay: Ok for a1b2c301{}: session=1f55bdcdf16e2802, from=<x@far.example>, to=<{}>, rcpt=<->, "
    taken += "source=192.0.2.5, relay=198.51.100.25 (mx1.far.example), delay=1s, stat=250 taken"
    words = [
        "smtp-in: New session 1f55bdcdf16e2801 from host pc.home.example [198.51.100.7]",
        *(accepted.format(to) for to in ("bob@far.example", "carl@far.example")),
        "smtp-in: Closing session 1f55bdcdf16e2801",
        taken.format("11111111", "bob@far.example"),
        taken.format("22222222", "carl@far.example"),
    ]
    lines = [f"Nov 23 09:00:0{number} mx5 smtpd[7]: {text}" for number, text in enumerate(words)]
    rows = rows_of([[line] for line in lines])
    assert [(row["recipient"], row["status"], row["client_ip"]) for row in rows] == [
        ("bob@far.example", "delivered", "198.51.100.7"),
        ("carl@far.example", "delivered", "198.51.100.7"),
    ]
