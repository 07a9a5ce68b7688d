"""Messages whose log tells the arrival in parts, queue ids that are used again, and messages that pass a filter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    EXPIRED,
    KEY,
    PENDING,
    REJECTED,
    Outcome,
)
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.trusted_networks import parse_networks
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.stored_message import decode_stored, encode_stored
from postwatch.streams.parsers.events import (
    CLIENT,
    ENVELOPE,
    FILTER,
    FORWARD,
    HELD,
    IDENTITY,
    LINK,
    LOGIN,
    MESSAGE_ID,
    OWN_NOTICE,
    PARENT,
    PROXIED,
    QUEUE,
    WHOLE,
    Arrival,
    Attempt,
    Event,
    LifecycleEvent,
    Refusal,
)
from postwatch.streams.parsers.queue_ids import RETURN_PREFIX, queued_at

SERVER = "mx1"
BOOK = AccountBook({"here.example": "", "also.example": ""}, parse_networks("192.0.2.7", "the test"))
"""Its clients are its own."""


def part(queue_id: str, at: int, name: str, **fields: object) -> Arrival:
    return Arrival(queue_id, at, f"{at} {name} {queue_id} {fields}", part=name, **fields)  # type: ignore[arg-type]


def client(queue_id: str, at: int, **fields: object) -> Arrival:
    return part(queue_id, at, CLIENT, **({"client_ip": "192.0.2.7"} | fields))


def arrived(queue_id: str, at: int, sender: str = "ann@here.example", **fields: object) -> list[Event]:
    """The three lines of an ordinary arrival."""
    return [
        client(queue_id, at, **fields),
        part(queue_id, at + 1, MESSAGE_ID, message_id="m@here.example"),
        part(queue_id, at + 2, QUEUE, sender=sender, size_bytes=500),
    ]


def tried(queue_id: str, at: int, recipient: str, status: str = DELIVERED, **fields: object) -> Attempt:
    line = f"{at} to {recipient} {queue_id} {status} {fields}"
    fields = {"transport": "smtp"} | fields
    return Attempt(queue_id, at, line, status, recipient=recipient, **fields)  # type: ignore[arg-type]


def removed(queue_id: str, at: int) -> LifecycleEvent:
    return LifecycleEvent(queue_id, at, f"{at} removed {queue_id}", closes=True)


class Table:
    """What ReplacingMergeTree makes of the rows: of each key the highest version, unless that is deleted."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], Outcome] = {}

    def insert(self, rows: Iterable[Outcome]) -> None:
        for row in rows:
            key = tuple(getattr(row, name) for name in KEY)
            known = self._rows.get(key)
            if known is None or row.version >= known.version:
                self._rows[key] = row

    def rows(self) -> list[Outcome]:
        return sorted((row for row in self._rows.values() if not row.is_deleted), key=lambda row: row[:2] + row[4:9])


def joined(batches: Iterable[Sequence[Event]], joiner: Joiner | None = None) -> list[Outcome]:
    joiner = joiner or Joiner(BOOK)
    table = Table()
    for batch in batches:
        joiner.add(SERVER, batch)
        table.insert(joiner.take_dirty()[0])
    return table.rows()


def one_by_one(events: Iterable[Event]) -> list[Outcome]:
    return joined([event] for event in events)


def parked_from(events: Sequence[Event], place: int) -> list[Outcome]:
    """The rows where all messages are parked after each event from this one on."""
    stored: dict[tuple[str, str], bytes] = {}

    def find(server: str, queue_id: str) -> Message | None:
        value = stored.pop((server, queue_id), None)
        return decode_stored(value).message if value else None

    joiner, table = Joiner(BOOK, find), Table()
    for number, event in enumerate(events):
        joiner.add(SERVER, [event])
        table.insert(joiner.take_dirty()[0])
        for message in list(joiner.open_messages()) if number >= place else ():
            stored[message.server, message.queue_id] = encode_stored(message)
            joiner.forget(message)
    return table.rows()


MESSAGE = [
    *arrived("A1", 1000, authenticated_as="ann@here.example", auth_method="LOGIN"),
    tried("A1", 2000, "bob@far.example", DEFERRED),
    tried("A1", 3000, "carl@far.example"),
    tried("A1", 9000, "bob@far.example", BOUNCED),
    removed("A1", 9001),
]


def test_the_parts_of_an_arrival_become_one() -> None:
    rows = joined([MESSAGE])
    assert [(row.account, row.recipient, row.status, row.size_bytes, row.message_id) for row in rows] == [
        ("ann@here.example", "bob@far.example", BOUNCED, 500, "m@here.example"),
        ("ann@here.example", "carl@far.example", DELIVERED, 500, "m@here.example"),
    ]
    assert [one.status for one in rows[0].attempts] == [DEFERRED, BOUNCED]
    assert rows[0].queued_at == 1000
    assert rows[0].log_lines == tuple(MESSAGE[place].line for place in (0, 1, 2, 3, 5))


@given(st.sets(st.integers(1, len(MESSAGE) - 1)), st.integers(0, len(MESSAGE)))
def test_cuts_and_a_repeated_beginning_change_no_row(cuts: set[int], repeated: int) -> None:
    events = [*MESSAGE[:repeated], *MESSAGE]
    edges = [0, *sorted(cuts), len(events)]
    assert joined(events[a:b] for a, b in itertools.pairwise(edges)) == joined([MESSAGE])


EXIM_ID = "1xVful-000EBg-Ey"
EXIM_AT = queued_at(EXIM_ID)
EXIM: list[Event] = [
    part(EXIM_ID, EXIM_AT + 1000, "", authenticated_as="ann@here.example", sender="ann@here.example"),
    tried(EXIM_ID, EXIM_AT + 2000, "bob@far.example", DEFERRED),
    tried(EXIM_ID, EXIM_AT + 3000, "carl@far.example"),
    tried(EXIM_ID, EXIM_AT + 9000, "bob@far.example", BOUNCED),
    removed(EXIM_ID, EXIM_AT + 9001),
]


@given(st.lists(st.booleans(), min_size=10, max_size=10), st.sets(st.integers(1, 9)))
def test_two_shippers_of_one_file_change_no_row(turns: list[bool], cuts: set[int]) -> None:
    one, other = list(EXIM), list(EXIM)
    events: list[Event] = []
    for turn in turns:
        queue = (one or other) if turn else (other or one)
        events.append(queue.pop(0))
    edges = [0, *sorted(cuts), len(events)]
    assert joined(events[a:b] for a, b in itertools.pairwise(edges)) == joined([EXIM])


_2026_MS = 1_795_420_800_000


@pytest.mark.parametrize("queue_id", ["zzzzzz-000EBg-Ey", "000001-000EBg-Ey"])
def test_a_time_that_can_not_be_that_of_the_arrival_is_not_taken_from_an_id(queue_id: str) -> None:
    """The clock was wrong when the id was made, or somebody else wrote it: the row keeps id and the line's own time."""
    events: list[Event] = [
        part(queue_id, _2026_MS, "", authenticated_as="ann@here.example", sender="ann@here.example"),
        tried(queue_id, _2026_MS + 2000, "bob@far.example"),
        removed(queue_id, _2026_MS + 2001),
    ]
    [row] = joined([events])
    assert (row.queue_id, row.queued_at, row.delay_ms) == (queue_id, _2026_MS, 2000)
    assert joined([events, events]) == [row]
    assert joined([events[1:], events]) == [row._replace(queued_at=_2026_MS + 2000, delay_ms=0)]


def test_an_id_whose_clock_is_an_hour_ahead_tells_the_time() -> None:
    arrival = part(EXIM_ID, EXIM_AT - 3_600_000, "", authenticated_as="ann@here.example", sender="ann@here.example")
    [row] = joined([[arrival, tried(EXIM_ID, EXIM_AT - 3_600_000, "bob@far.example")]])
    assert row.queued_at == EXIM_AT


@pytest.mark.parametrize("behind", [1, 2])
def test_a_second_shipper_that_is_ahead_with_the_end_of_a_message_leaves_no_row_of_no_account(behind: int) -> None:
    assert joined([EXIM[behind:], EXIM]) == joined([EXIM])


@pytest.mark.parametrize("others", [0, 100])
def test_an_arrival_is_tied_to_an_end_that_was_seen_before_other_messages_came_and_went(others: int) -> None:
    between: list[list[Event]] = [_whole(f"1xXKRB-{number:06}-12", 2000 + number) for number in range(others)]
    rows = joined([EXIM[1:], *between, EXIM])
    assert [row for row in rows if row.queue_id == EXIM[0].queue_id] == joined([EXIM])
    assert len(rows) == len(joined([EXIM])) + others


def _whole(queue_id: str, at: int) -> list[Event]:
    """All three lines of a message of Exim's."""
    return [
        Arrival(queue_id, at, f"{at} in", sender="ann@here.example", client_ip="192.0.2.7"),
        tried(queue_id, at, "bob@far.example"),
        removed(queue_id, at),
    ]


def test_a_queue_id_may_be_used_again() -> None:
    again = [
        *arrived("A1", 50_000, sender="dora@here.example"),
        tried("A1", 51_000, "bob@far.example"),
        removed("A1", 51_001),
    ]
    rows = one_by_one([*MESSAGE, *again])
    assert [(row.queued_at, row.account, row.recipient, row.status) for row in rows] == [
        (1000, "ann@here.example", "bob@far.example", BOUNCED),
        (1000, "ann@here.example", "carl@far.example", DELIVERED),
        (50_000, "dora@here.example", "bob@far.example", DELIVERED),
    ]
    assert joined([[*MESSAGE, *again]]) == rows


def test_a_queue_id_is_used_again_although_its_end_was_never_logged() -> None:
    again = [*arrived("A1", 50_000, sender="dora@here.example"), tried("A1", 51_000, "x@far.example")]
    rows = one_by_one([*MESSAGE[:4], *again])
    assert [(row.queued_at, row.recipient, row.status) for row in rows] == [
        (1000, "bob@far.example", DEFERRED),
        (50_000, "x@far.example", DELIVERED),
    ]


def test_a_repeated_older_message_of_the_same_queue_id_changes_nothing() -> None:
    again = [
        *arrived("A1", 50_000, sender="dora@here.example"),
        tried("A1", 51_000, "bob@far.example", DEFERRED),
        tried("A1", 52_000, "bob@far.example"),
        removed("A1", 52_001),
    ]
    wanted = one_by_one([*MESSAGE, *again])
    assert one_by_one([*MESSAGE, *again[:4], *MESSAGE, *again]) == wanted
    assert one_by_one([*MESSAGE, *again[:4], *MESSAGE, *again[4:]]) == wanted


def test_a_message_that_began_before_the_log_stands_under_no_account_or_that_of_its_mailbox() -> None:
    queued = part("A1", 5000, QUEUE, sender="ann@here.example")
    for fields, account in (({"remote_ip": "192.0.2.1"}, ""), ({"transport": "lmtp"}, "bob@also.example")):
        rows = one_by_one([queued, tried("A1", 6000, "bob@also.example", **fields), removed("A1", 6001)])
        assert [(row.account, row.status) for row in rows] == [(account, DELIVERED)]


def test_what_was_told_of_this_machines_mail_is_taken_back_when_a_mailbox_has_it() -> None:
    """Without a list: pending it is the sender's, for it may be for a far host."""
    waits = tried("B2", 1500, "lea@club.example", DEFERRED, transport="lmtp")
    saved = tried("B2", 2500, "lea@club.example", transport="lmtp", remote_ip="172.22.1.250")
    events = [*arrived("B2", 1000, client_ip="127.0.0.1"), waits, saved, removed("B2", 2501)]
    for batches in ([[event] for event in events], [events]):
        (row,) = joined(batches, Joiner(AccountBook(None)))
        assert (row.account, row.direction, row.status) == ("lea@club.example", "received", DELIVERED)
    (row,) = joined([events[:4]], Joiner(AccountBook(None)))
    assert (row.account, row.direction, row.status) == ("ann@here.example", "sent", DEFERRED)


def test_what_was_told_without_the_arrival_is_taken_back() -> None:
    rows = one_by_one([tried("4jYCZM64N0z6HRR", 3000, "carl@far.example"), *arrived("4jYCZM64N0z6HRR", 2000)])
    assert [(row.account, row.status) for row in rows] == [("ann@here.example", DELIVERED)]


BEFORE = [
    *arrived("A1", 1000, authenticated_as="ann@here.example"),
    tried("A1", 1500, "x@far.example", DEFERRED, response="filter is down"),
    tried("A1", 2000, "x@far.example", next_queue_id="B2", handover=FILTER, remote_ip="127.0.0.1"),
    tried("A1", 2000, "bob@also.example", next_queue_id="B2", handover=FILTER, remote_ip="127.0.0.1"),
    tried("A1", 2000, "fwd@far.example", original_recipient="list@here.example", next_queue_id="B2", handover=FILTER),
    removed("A1", 2001),
]
BEHIND = [
    *arrived("B2", 1990, client_ip="127.0.0.1"),
    tried("B2", 1995, "x@far.example", DEFERRED),
    tried("B2", 1996, "bob@also.example", transport="lmtp"),
    tried("B2", 1997, "fwd@far.example", BOUNCED),
    tried("B2", 9000, "x@far.example", EXPIRED),
    removed("B2", 9001),
]
LOOSE = [
    (row.account, row.direction, row.queue_id, row.queued_at, row.recipient, row.original_recipient, row.status)
    for row in one_by_one([*BEHIND[:3], *BEFORE, *BEHIND[3:]])
]


def test_a_message_that_passed_a_filter_is_one_row_for_each_recipient() -> None:
    rows = one_by_one([*BEHIND[:3], *BEFORE, *BEHIND[3:]])
    assert LOOSE == [
        ("ann@here.example", "sent", "A1", 1000, "bob@also.example", "", DELIVERED),
        ("ann@here.example", "sent", "A1", 1000, "fwd@far.example", "list@here.example", BOUNCED),
        ("ann@here.example", "sent", "A1", 1000, "x@far.example", "", EXPIRED),
        ("bob@also.example", "received", "A1", 1000, "bob@also.example", "", DELIVERED),
        ("list@here.example", "received", "A1", 1000, "fwd@far.example", "list@here.example", BOUNCED),
    ]
    late = rows[2]
    assert late.next_queue_id == "B2"
    assert late.authenticated_as == "ann@here.example"
    assert [one.at for one in late.attempts] == [1500, 1995, 9000]
    assert late.log_lines == tuple(
        event.line for event in (*BEFORE[:3], *BEFORE[3:5], *BEHIND[:3], BEHIND[3], BEHIND[6])
    )


@given(st.lists(st.booleans(), min_size=16, max_size=16), st.sets(st.integers(1, 15)))
def test_whichever_comes_first_of_a_message_and_its_second_passage(turns: list[bool], cuts: set[int]) -> None:
    before, behind = list(BEFORE), list(BEHIND)
    events: list[Event] = []
    for turn in turns:
        queue = (before or behind) if turn else (behind or before)
        events.append(queue.pop(0))
    edges = [0, *sorted(cuts), len(events)]
    rows = joined(events[a:b] for a, b in itertools.pairwise(edges))
    assert [
        (row.account, row.direction, row.queue_id, row.queued_at, row.recipient, row.original_recipient, row.status)
        for row in rows
    ] == LOOSE


def test_a_hop_whose_log_is_not_here_is_the_end_of_what_is_known() -> None:
    rows = one_by_one(BEFORE)
    assert {row.status for row in rows} == {DELIVERED}
    assert {row.next_queue_id for row in rows} == {"B2"}


def test_a_proxy_names_the_queue_id_that_it_took_the_message_from() -> None:
    behind = [client("B2", 1990, client_ip="198.51.100.1", earlier_queue_id="A1"), *BEHIND[1:]]
    rows = one_by_one([*BEFORE[:3], *behind])
    assert {row.queue_id for row in rows} == {"A1"}
    assert {row.authenticated_as for row in rows} == {"ann@here.example"}


def test_a_requeued_message_goes_on_under_its_new_queue_id() -> None:
    joiner = Joiner(BOOK)
    rows = joined(
        [
            BEFORE[:4],
            [
                part("B2", 5000, CLIENT, system_user="root", earlier_queue_id="A1"),
                part("B2", 5001, MESSAGE_ID, message_id="m@here.example"),
                part("B2", 5002, QUEUE, sender="ann@here.example"),
            ],
            [tried("B2", 6000, "x@far.example"), removed("B2", 6001)],
        ],
        joiner,
    )
    assert [(row.queue_id, row.recipient, row.status, row.next_queue_id) for row in rows] == [
        ("A1", "x@far.example", DELIVERED, "B2")
    ]
    assert [(message.queue_id, message.is_complete()) for message in joiner.open_messages()] == [("A1", True)]


def requeued(queue_id: str, at: int, earlier: str) -> list[Event]:
    return [
        part(queue_id, at, CLIENT, system_user="uid89", earlier_queue_id=earlier),
        part(queue_id, at + 1, MESSAGE_ID, message_id="m@here.example"),
        part(queue_id, at + 2, QUEUE, sender="ann@here.example"),
    ]


REQUEUED_TWICE: list[Event] = [
    *arrived("A1", 1000),
    tried("A1", 2000, "gone@far.example", BOUNCED),
    tried("A1", 2001, "x@far.example", DEFERRED, transport="smtp"),
    tried("A1", 2002, "y@far.example", DEFERRED, transport="smtp"),
    *requeued("B2", 5000, "A1"),
    tried("A1", 5500, "late@far.example", DELIVERED),
    tried("B2", 6000, "x@far.example", DELIVERED),
    *requeued("C3", 7000, "B2"),
    tried("C3", 8000, "y@far.example", BOUNCED),
    removed("C3", 8001),
]


@given(st.sets(st.integers(1, len(REQUEUED_TWICE) - 1)), st.integers(0, len(REQUEUED_TWICE)))
def test_a_message_requeued_twice_keeps_what_was_final(cuts: set[int], repeated: int) -> None:
    bounds = [0, *sorted(cuts), len(REQUEUED_TWICE)]
    batches = [REQUEUED_TWICE[start:end] for start, end in itertools.pairwise(bounds)]
    rows = joined([REQUEUED_TWICE[:repeated], *batches])
    assert sorted((row.queue_id, row.recipient, row.status, row.next_queue_id, len(row.attempts)) for row in rows) == [
        ("A1", "gone@far.example", BOUNCED, "", 1),
        ("A1", "late@far.example", DELIVERED, "", 1),
        ("A1", "x@far.example", DELIVERED, "B2", 2),
        ("A1", "y@far.example", BOUNCED, "B2 C3", 2),
    ]


@pytest.mark.parametrize("place", range(len(REQUEUED_TWICE)))
def test_a_requeued_message_may_be_parked_at_any_time(place: int) -> None:
    rows = parked_from(REQUEUED_TWICE, place)
    assert sorted((row.recipient, row.status, len(row.attempts)) for row in rows) == [
        ("gone@far.example", BOUNCED, 1),
        ("late@far.example", DELIVERED, 1),
        ("x@far.example", DELIVERED, 2),
        ("y@far.example", BOUNCED, 2),
    ]


def test_a_bounce_points_at_the_message_that_it_is_about() -> None:
    notice = part("C3", 9100, PARENT, parent_queue_id="A1")
    bounce: list[Event] = [
        part("C3", 9050, MESSAGE_ID, message_id="b@here.example"),
        part("C3", 9051, QUEUE),
        tried("C3", 9060, "ann@here.example", transport="lmtp"),
        removed("C3", 9061),
    ]
    for place in range(len(bounce) + 1):
        events: list[Event] = [*bounce[:place], notice, *bounce[place:]]
        (row,) = one_by_one(events)
        assert (row.account, row.parent_queue_id, row.queued_at, row.status) == (
            "ann@here.example", "A1", 9050, DELIVERED,
        )  # fmt: skip


def test_a_notice_to_the_postmaster_is_the_servers_own() -> None:
    """Postfix sends it as double-bounce@, which is nobody's mail and no more one of its own than a bounce."""
    told = part("C3", 9060, PARENT, parent_queue_id="A1", sender=OWN_NOTICE)
    notice: list[Event] = [
        part("C3", 9050, MESSAGE_ID, message_id="n@mx1"),
        part("C3", 9051, QUEUE, sender="double-bounce@mx1.here.example"),
        tried("C3", 9060, "postmaster@here.example", transport="virtual"),
        removed("C3", 9061),
    ]
    for place in range(len(notice) + 1):
        (row,) = one_by_one([*notice[:place], told, *notice[place:]])
        assert (row.account, row.sender, row.parent_queue_id) == ("postmaster@here.example", "", "A1")


FORWARDED_FROM: list[Event] = [
    *arrived("A1", 1000, sender="far@far.example"),
    tried("A1", 2000, "bob@here.example", transport="local", next_queue_id="D4", handover=FORWARD),
    removed("A1", 2001),
]
FORWARDED_TO: list[Event] = [
    part("D4", 1990, MESSAGE_ID, message_id="m@here.example"),
    part("D4", 1991, QUEUE, sender="owner-bob@here.example"),
    tried("D4", 1995, "bob@far.example", DEFERRED, transport="smtp"),
    tried("D4", 9000, "bob@far.example", BOUNCED, transport="smtp"),
    removed("D4", 9001),
]
FORWARDED_ROWS = [("bob@here.example", "A1", "bob@here.example", "bob@far.example", BOUNCED, "D4", 2)]


def forwarded_rows(rows: Iterable[Outcome]) -> list[tuple[object, ...]]:
    return [
        (
            row.account,
            row.queue_id,
            row.original_recipient,
            row.recipient,
            row.status,
            row.next_queue_id,
            len(row.attempts),
        )
        for row in rows
    ]


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 10))
def test_what_a_forward_made_is_the_mailboxs_whichever_line_comes_first(turns: list[bool], parked: int) -> None:
    parent, made = FORWARDED_FROM[:], FORWARDED_TO[:]
    events = []
    for turn in turns:
        source = parent if turn else made
        if source:
            events.append(source.pop(0))
    events += [*parent, *made]
    assert forwarded_rows(one_by_one(events)) == FORWARDED_ROWS
    assert forwarded_rows(joined([events])) == FORWARDED_ROWS
    assert forwarded_rows(joined([events[:parked], events])) == FORWARDED_ROWS
    assert forwarded_rows(parked_from(events, parked)) == FORWARDED_ROWS


def test_a_forward_of_a_message_that_began_before_the_log_stands_alone() -> None:
    rows = one_by_one([*FORWARDED_FROM[3:], *FORWARDED_TO])
    assert [(row.queue_id, row.parent_queue_id, row.recipient) for row in rows if row.queue_id == "D4"] == [
        ("D4", "A1", "bob@far.example")
    ]


def test_what_was_forwarded_and_not_yet_tried_is_as_the_forward_says() -> None:
    joiner = Joiner(BOOK)
    rows = joined([FORWARDED_FROM, FORWARDED_TO[:2]], joiner)
    assert [(row.recipient, row.status) for row in rows] == [("bob@here.example", DELIVERED)]
    assert [message.queue_id for message in joiner.open_messages()] == ["A1", "D4"]
    assert forwarded_rows(joined([FORWARDED_FROM, FORWARDED_TO], joiner)) == FORWARDED_ROWS
    assert list(joiner.open_messages()) == []


def test_a_queue_id_that_is_used_again_is_no_parent() -> None:
    """The message that a forward made is tried for days; its parent's id is another message's by then."""
    again: list[Event] = [
        client("A1", 5_000_000),
        part("A1", 5_000_001, MESSAGE_ID, message_id="n@here.example"),
        part("A1", 5_000_002, QUEUE, sender="x@far.example"),
        tried("A1", 5_000_003, "bob@here.example", transport="local"),
        removed("A1", 5_000_004),
    ]
    rows = one_by_one([*FORWARDED_FROM, *FORWARDED_TO[:3], *again[:4], *FORWARDED_TO[3:], again[4]])
    assert forwarded_rows(rows) == [
        *FORWARDED_ROWS,
        ("bob@here.example", "A1", "", "bob@here.example", DELIVERED, "", 1),
    ]


def test_what_expired_or_was_cancelled_as_a_whole() -> None:
    head = MESSAGE[:5]
    expired = LifecycleEvent("A1", 8000, "expired", EXPIRED)
    rows = one_by_one([*head, expired, removed("A1", 8001)])
    assert [row.status for row in rows] == [EXPIRED, DELIVERED]
    rows = one_by_one([*head, LifecycleEvent("A1", 8000, "postsuper", CANCELLED, closes=True)])
    assert [row.status for row in rows] == [CANCELLED, DELIVERED]


SPLIT: list[Event] = [
    *arrived("A1", 1000, authenticated_as="ann@here.example"),
    client("B2", 2000, client_ip="127.0.0.1"),
    part("B2", 2001, MESSAGE_ID, message_id="m@here.example"),
    part("B2", 2002, QUEUE, sender="ann@here.example", size_bytes=600),
    tried("B2", 2003, "bob@far.example", DEFERRED),
    client("C3", 2010, client_ip="127.0.0.1"),
    part("C3", 2011, MESSAGE_ID, message_id="m@here.example"),
    part("C3", 2012, QUEUE, sender="ann@here.example", size_bytes=600),
    part("B2", 2050, LINK, earlier_queue_id="A1"),
    part("C3", 2050, LINK, earlier_queue_id="A1"),
    tried("A1", 3000, "bob@far.example", next_queue_id="C3", handover=FILTER),
    tried("A1", 3000, "carl@far.example", next_queue_id="C3", handover=FILTER),
    removed("A1", 3001),
]


def test_a_filter_makes_two_messages_of_one_and_names_the_second() -> None:
    """What the first of them tells of its recipient stays, though the second was said to have it."""
    later: list[Event] = [tried("C3", 3000, "carl@far.example", DEFERRED)]
    for events in (SPLIT, [*SPLIT, *later], [*SPLIT[:8], *later, *SPLIT[8:]]):
        rows = one_by_one(events)
        assert {row.queue_id for row in rows} == {"A1"}
        assert {row.account for row in rows} == {"ann@here.example"}
        told = {row.recipient: (row.status, row.next_queue_id) for row in rows}
        assert told["bob@far.example"] == (DEFERRED, "B2")
        assert told["carl@far.example"] == (DEFERRED if later[0] in events else PENDING, "C3")
        assert any("link" in line for row in rows for line in row.log_lines)


@pytest.mark.parametrize("place", range(4))
def test_what_a_filter_made_may_show_before_what_it_was_made_of(place: int) -> None:
    """Whichever lines come first, and though it was delivered before."""
    made: list[Event] = [
        client("B2", 2000, client_ip="198.51.100.9", earlier_queue_id="A1"),
        part("B2", 2001, MESSAGE_ID, message_id="m@here.example"),
        part("B2", 2002, QUEUE, sender="ann@here.example", size_bytes=600),
        tried("B2", 2003, "bob@far.example"),
        removed("B2", 2004),
    ]
    first: list[Event] = [
        *arrived("A1", 1000, authenticated_as="ann@here.example"),
        tried("A1", 3000, "bob@far.example"),
    ]
    rows = one_by_one([*first[:place], *made, *first[place:]])
    (row,) = [row for row in rows if row.next_queue_id == "B2"]
    assert (row.account, row.queue_id, row.recipient, row.authenticated_as) == (
        "ann@here.example", "A1", "bob@far.example", "ann@here.example",
    )  # fmt: skip
    assert {row.queue_id for row in rows} == {"A1"}


def test_an_id_that_never_shows_leaves_the_answer_and_the_attempt() -> None:
    """What looks like a hand-over to a filter may be the last hop, behind a filter too."""
    events = [
        *SPLIT[:4],
        part("B2", 2002, QUEUE, sender="ann@here.example"),
        tried("A1", 3000, "bob@far.example", next_queue_id="B2", handover=FILTER),
        tried("B2", 3001, "bob@far.example", next_queue_id="6666AA", handover=FILTER),
        removed("B2", 3002),
    ]
    (row,) = one_by_one(events)
    assert (row.queue_id, row.status, row.next_queue_id) == ("A1", DELIVERED, "B2 6666AA")
    assert [attempt.at for attempt in row.attempts] == [3001]


def test_a_delivery_under_way_when_a_message_was_deleted_counts() -> None:
    deleted = [
        *MESSAGE[:5],
        LifecycleEvent("A1", 8000, "postsuper", CANCELLED, closes=True),
        tried("A1", 8001, "bob@far.example"),
    ]
    assert [row.status for row in one_by_one(deleted)] == [row.status for row in joined([deleted])] == [
        DELIVERED, DELIVERED,
    ]  # fmt: skip


def test_the_login_before_a_filter_is_the_submitters() -> None:
    """The filter hands in over the loopback; its answer, which names login and id, may come behind the delivery."""
    proxied: list[Event] = [
        client("B2", 2000, client_ip="192.0.2.7", earlier_queue_id=PROXIED),
        part("B2", 2001, MESSAGE_ID, message_id="m@here.example"),
        part("B2", 2002, QUEUE, sender="odd@elsewhere.example", size_bytes=600),
        tried("B2", 2003, "bob@far.example", remote_ip="198.51.100.1"),
        removed("B2", 2004),
    ]
    login = part("B2", 2004, LOGIN, authenticated_as="ann@here.example")
    for book in (BOOK, AccountBook(None)):
        for place in (3, 4, 5):
            events = [*proxied[:place], login, *proxied[place:]]
            rows = joined(([event] for event in events), Joiner(book))
            assert [(row.account, row.direction, row.recipient, row.client_ip) for row in rows] == [
                ("ann@here.example", "sent", "bob@far.example", "192.0.2.7")
            ]


def test_a_refusal_of_what_was_submitted_here_bounces() -> None:
    refusal = Refusal(
        "A1",
        1500,
        "spam",
        sender="ann@here.example",
        recipient="bob@far.example",
        client_ip="127.0.0.1",
        smtp_code=550,
        enhanced_code="5.7.1",
        response="spam",
        status=REJECTED,
        closes=True,
    )
    events: list[Event] = [
        part("A1", 1000, CLIENT, system_user="uid33"),
        part("A1", 1001, MESSAGE_ID, message_id="m@here.example"),
        refusal,
        tried("A1", 1501, "bob@far.example", BOUNCED, transport="cleanup"),
        tried("A1", 1501, "carl@far.example", BOUNCED, transport="cleanup"),
    ]
    rows = one_by_one(events)
    assert [(row.account, row.recipient, row.status, row.message_id) for row in rows] == [
        ("uid33@mx1", "bob@far.example", BOUNCED, "m@here.example"),
        ("uid33@mx1", "carl@far.example", BOUNCED, "m@here.example"),
    ]


def held(queue_id: str, at: int, recipient: str) -> list[Event]:
    """A message that waits for an operator: qmgr has not said whom it is from."""
    return [
        client(queue_id, at),
        part(queue_id, at + 1, MESSAGE_ID, message_id="m@here.example"),
        part(queue_id, at + 2, HELD, sender="ann@here.example"),
        tried(queue_id, at + 2, recipient, DEFERRED, is_attempt=False, transport=""),
    ]


def test_a_message_on_hold_is_its_senders_and_ends_as_it_is_let_go_or_deleted() -> None:
    waiting = held("A1", 1000, "all@here.example")
    wanted = ("ann@here.example", "all@here.example", "m@here.example")
    cancelled = LifecycleEvent("A1", 8000, "postsuper", CANCELLED, closes=True)
    for events, status in ((waiting, DEFERRED), ([*waiting, cancelled], CANCELLED)):
        (row,) = [row for row in one_by_one(events) if row.account == "ann@here.example"]
        assert (row.account, row.recipient, row.message_id, row.status) == (*wanted, status)
        assert not row.attempts
    released: list[Event] = [
        part("A1", 9000, QUEUE, sender="ann@here.example", size_bytes=500),
        tried("A1", 9100, "bob@far.example", original_recipient="all@here.example"),
        removed("A1", 9101),
    ]
    rows = [row for row in one_by_one([*waiting, *released]) if row.account == "ann@here.example"]
    assert [(row.recipient, row.status, row.size_bytes) for row in rows] == [("bob@far.example", DELIVERED, 500)]


def test_a_log_that_begins_with_a_message_on_hold() -> None:
    (row,) = one_by_one(held("A1", 1000, "all@here.example")[2:])
    assert (row.account, row.recipient, row.status) == ("", "all@here.example", DEFERRED)


def test_what_an_alias_made_stays_its_own_when_later_lines_do_not_name_it() -> None:
    tries = [
        tried("A1", 2500, "dora@far.example", DEFERRED, original_recipient="list@here.example"),
        tried("A1", 3500, "dora@far.example"),
    ]
    rows = [row for row in one_by_one([*MESSAGE[:3], *tries]) if row.recipient == "dora@far.example"]
    assert [(row.account, row.status, row.original_recipient) for row in rows] == [
        ("ann@here.example", DELIVERED, "list@here.example"),
        ("list@here.example", DELIVERED, "list@here.example"),
    ]


def test_a_recipient_that_was_taken_off_alone() -> None:
    """What was already delivered stays so; what an alias made comes to the alias's end."""
    made = tried("A1", 2500, "dora@far.example", DEFERRED, original_recipient="list@here.example")
    left = tried("A1", 2600, "emil@far.example", DEFERRED)
    off = [
        LifecycleEvent("A1", 8000, f"8000 {recipient}", CANCELLED, recipient=recipient)
        for recipient in ("bob@far.example", "carl@far.example", "list@here.example")
    ]
    rows = one_by_one([*MESSAGE[:5], made, left, *off])
    assert {row.recipient: row.status for row in rows} == {
        "bob@far.example": CANCELLED,
        "carl@far.example": DELIVERED,
        "dora@far.example": CANCELLED,
        "emil@far.example": DEFERRED,
    }
    assert rows == one_by_one([*MESSAGE[:5], made, left, *off, *off, made])
    assert "8000 bob@far.example" in rows[0].log_lines


def test_a_refusal_in_a_session_that_has_a_queue_id_is_the_submitters() -> None:
    refusal = Refusal(
        "A1",
        1500,
        "refused",
        sender="ann@here.example",
        recipient="no@here.example",
        client_ip="192.0.2.7",
        smtp_code=550,
        enhanced_code="5.1.1",
        response="550 5.1.1 no",
    )
    rows = one_by_one([client("A1", 1000, authenticated_as="ann@here.example"), refusal])
    assert [(row.account, row.status, row.recipient) for row in rows] == [
        ("ann@here.example", REJECTED, "no@here.example")
    ]


def test_a_refusal_of_all_closes_the_message() -> None:
    joiner = Joiner(BOOK)
    refusal = Refusal(
        "A1",
        1500,
        "spam",
        sender="s@far.example",
        recipient="ann@here.example",
        client_ip="192.0.2.7",
        smtp_code=550,
        enhanced_code="5.7.1",
        response="spam",
        status=REJECTED,
        closes=True,
    )
    joined([[client("A1", 1000), refusal]], joiner)
    assert list(joiner.open_messages()) == []


def test_a_completed_message_is_kept_for_the_line_that_may_claim_it() -> None:
    joiner = Joiner(BOOK)
    joined([BEHIND], joiner)
    kept, listed = joiner.open_messages()
    assert listed.queue_id.startswith(RETURN_PREFIX)
    assert kept.is_complete()
    assert not kept.is_closed()
    joined([BEFORE], joiner)
    assert list(joiner.open_messages()) == []


@pytest.mark.parametrize("place", range(len(BEFORE) + 1))
def test_a_message_may_be_parked_at_any_time(place: int) -> None:
    stored: dict[tuple[str, str], bytes] = {}

    def find(server: str, queue_id: str) -> Message | None:
        value = stored.pop((server, queue_id), None)
        return decode_stored(value).message if value else None

    joiner = Joiner(BOOK, find)
    events = [*BEFORE[:place], *BEHIND[:4], *BEFORE[place:], *BEHIND[4:]]
    table = Table()
    for event in events:
        joiner.add(SERVER, [event])
        table.insert(joiner.take_dirty()[0])
        for message in list(joiner.open_messages()):
            stored[message.server, message.queue_id] = encode_stored(message)
            joiner.forget(message)
    found = [
        (row.account, row.direction, row.queue_id, row.queued_at, row.recipient, row.original_recipient, row.status)
        for row in table.rows()
    ]
    assert found == LOOSE


SHARED = "1vxPgL-000000001Xq-0aBc"
SCRIPT: list[Event] = [
    part(SHARED, 1000, WHOLE, sender="nobody@mx1", system_user="nobody", recipients=("bob@far.example",)),
    part(SHARED, 1001, IDENTITY, system_user="bakery"),
    tried(SHARED, 2000, "bob@far.example", DEFERRED),
    tried(SHARED, 9000, "bob@far.example"),
]


@given(st.permutations(SCRIPT))
def test_a_script_of_a_shared_user_is_reported_under_the_account_that_the_control_panel_names(
    events: list[Event],
) -> None:
    [row] = one_by_one(events)
    assert (row.account, row.status) == ("bakery@mx1", DELIVERED)
    assert row.log_lines == tuple(event.line for event in SCRIPT)


def test_whoever_logged_in_is_the_account_whatever_the_control_panel_says() -> None:
    arrival = part(SHARED, 1000, WHOLE, sender="ann@here.example", authenticated_as="ann@here.example")
    assert [row.account for row in one_by_one([arrival, *SCRIPT[1:]])] == ["ann@here.example"]


def test_a_parked_message_keeps_what_the_control_panel_said() -> None:
    joiner = Joiner(BOOK)
    joiner.add(SERVER, SCRIPT[:2])
    [message] = joiner.take_dirty()[1]
    assert decode_stored(encode_stored(message)).message.submitted() == message.submitted()


def counted(events: Sequence[Event]) -> Joiner:
    """Events of a message of two recipients whose log tells no end."""
    joiner = Joiner(BOOK)
    joined([[event] for event in (part("A1", 1000, "", sender="ann@here.example", recipient_count=2), *events)], joiner)
    return joiner


def test_a_message_is_done_when_as_many_recipients_are_as_it_took() -> None:
    later = tried("A1", 2000, "b@far.example", DEFERRED)
    events = [tried("A1", 2000, "a@far.example"), later, tried("A1", 3000, "b@far.example", BOUNCED)]
    for known in (events[:1], events[:2]):
        assert len(list(counted(known).open_messages())) == 1
    assert list(counted(events).open_messages()) == []


def test_what_an_alias_made_counts_for_nothing() -> None:
    made = tried("A1", 2000, "a@far.example", original_recipient="sales@here.example", is_expanded=True)
    first, second = tried("A1", 2000, "b@far.example"), tried("A1", 2000, "c@far.example")
    assert len(list(counted([made, first]).open_messages())) == 1
    assert list(counted([made, first, second]).open_messages()) == []


CONNECTION: list[Event] = [
    client("s:1", 1000),
    part("s:1", 1001, LOGIN, authenticated_as="ann@here.example"),
    part("a1b2c3d4", 2000, QUEUE, size_bytes=500, recipient_count=2, session_id="s:1"),
    part("a1b2c3d4", 2000, ENVELOPE, sender="ann@here.example", recipients=("b@far.example",)),
    part("a1b2c3d4", 2000, ENVELOPE, sender="ann@here.example", recipients=("c@far.example",)),
    removed("s:1", 2001),
    tried("a1b2c3d4", 3000, "b@far.example"),
    tried("a1b2c3d4", 3001, "c@far.example", BOUNCED),
]


def test_a_message_is_of_whoever_logged_in_on_its_connection() -> None:
    joiner = Joiner(BOOK)
    rows = joined(([event] for event in CONNECTION), joiner)
    assert [(row.account, row.client_ip, row.recipient, row.status) for row in rows] == [
        ("ann@here.example", "192.0.2.7", "b@far.example", DELIVERED),
        ("ann@here.example", "192.0.2.7", "c@far.example", BOUNCED),
    ]
    assert rows[0].log_lines == tuple(CONNECTION[place].line for place in (0, 1, 2, 3, 6))
    assert list(joiner.open_messages()) == []


@pytest.mark.parametrize("parked_after", range(1, len(CONNECTION)))
def test_a_connection_may_be_parked_at_any_time(parked_after: int) -> None:
    parked: dict[tuple[str, str], bytes] = {}

    def find(server: str, queue_id: str) -> Message | None:
        value = parked.get((server, queue_id))
        return decode_stored(value).message if value else None

    joiner = Joiner(BOOK, find)
    table = Table()
    for count, event in enumerate(CONNECTION, 1):
        joiner.add(SERVER, [event])
        table.insert(joiner.take_dirty()[0])
        if count == parked_after:
            for message in list(joiner.open_messages()):
                parked[message.server, message.queue_id] = encode_stored(message)
                joiner.forget(message)
    assert table.rows() == joined([event] for event in CONNECTION)


def test_a_refusal_is_of_whoever_logged_in_on_its_connection() -> None:
    refused = Refusal("s:1", 1500, "refused", recipient="x@far.example", smtp_code=550, response="no")
    [row] = one_by_one([*CONNECTION[:2], refused])
    assert (row.account, row.client_ip, row.status) == ("ann@here.example", "192.0.2.7", REJECTED)


def login(at: int, name: str) -> list[Event]:
    key = "l:2013@192.0.2.7"
    known = part(key, at, LOGIN, authenticated_as=name, auth_method="PLAIN")
    return [known, LifecycleEvent(key, at, known.line, closes=True)]


def taken(queue_id: str, at: int, session_id: str = "l:2013@192.0.2.7") -> list[Event]:
    whole = part(queue_id, at, WHOLE, sender="boss@here.example", client_ip="192.0.2.7", session_id=session_id)
    return [whole, tried(queue_id, at + 1, "bob@far.example", remote_ip="192.0.2.1")]


def test_messages_of_a_process_are_of_whom_logged_in_there_last() -> None:
    """The number of a process, and the same client, come again with another login."""
    events = [
        *login(10, "ann@here.example"),
        *taken("Q1", 20),
        *taken("Q2", 30),
        *login(40, "eve@here.example"),
        *taken("Q3", 50),
        *taken("Q4", 60, session_id=""),
    ]
    for times in (1, 2):
        rows = [row for row in one_by_one([event for event in events for _ in range(times)]) if not row.is_deleted]
        accounts = {row.queue_id: (row.account, row.authenticated_as) for row in rows}
        assert accounts == {
            "Q1": ("ann@here.example", "ann@here.example"),
            "Q2": ("ann@here.example", "ann@here.example"),
            "Q3": ("eve@here.example", "eve@here.example"),
            "Q4": ("boss@here.example", ""),
        }


def test_a_login_that_the_process_did_not_tell_is_nobodys() -> None:
    """Postfix with a filter before the queue: a greeting may end in ` sasl_username=<victim>`."""
    served = part("l:303", 10, LOGIN, client_ip="192.0.2.7", auth_method="PLAIN", authenticated_as="ann@here.example")
    for claimed, told in (("ann@here.example", "ann@here.example"), ("victim@here.example", "")):
        passed = part("Q1", 21, LOGIN, authenticated_as=claimed, session_id="l:303")
        events = [served, *arrived("Q1", 20, sender="x@far.example"), passed, tried("Q1", 22, "bob@far.example")]
        [row] = {row.authenticated_as for row in one_by_one(events) if not row.is_deleted}
        assert row == told
        refusal = Refusal(
            "r:1",
            21,
            "no",
            sender="x@far.example",
            recipient="bob@far.example",
            authenticated_as=claimed,
            smtp_code=554,
            response="no",
            session_id="l:303",
        )
        [refused] = one_by_one([served, refusal])
        assert (refused.authenticated_as, refused.client_ip) == (told, "192.0.2.7" if told else "")
