"""A message that goes through a filter with an id of its own: the answer and the filter's lines meet in any order."""

from __future__ import annotations

import itertools

import pytest
from postwatch.streams.contracts.outcome import DELIVERED, DISCARDED, REJECTED, Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

SERVER = "gw.example"
PASSAGE = "5F2D41665C0E1A7B2"
ARRIVAL = (
    "Nov 24 08:00:01 gw postfix/smtpd[1]: 7D31C0A84F: client=mx.far.example[192.0.2.99]",
    "Nov 24 08:00:01 gw postfix/cleanup[2]: 7D31C0A84F: message-id=<one@far.example>",
    "Nov 24 08:00:01 gw postfix/qmgr[3]: 7D31C0A84F: from=<carl@far.example>, size=900, nrcpt=1 (queue active)",
)
ANSWER = (
    "Nov 24 08:00:03 gw postfix/lmtp[4]: 7D31C0A84F: to=<anna@bakery.example>, relay=127.0.0.1[127.0.0.1]:10024, "
    f"delay=2, delays=0/0/0/2, dsn=2.5.0, status=sent (250 2.5.0 OK ({PASSAGE}))"
)
REMOVED = "Nov 24 08:00:03 gw postfix/qmgr[3]: 7D31C0A84F: removed"
MOVED = (
    f"Nov 24 08:00:03 gw pmg-smtp-filter[5]: {PASSAGE}: moved mail for <anna@bakery.example> to spam quarantine - "
    "8E42D1B961 (rule: Spam)"
)


def table(blocks: list[list[str]]) -> list[Outcome]:
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(1_795_500_000_000)
    parser = make_parser("auto", stamps)
    joiner = Joiner(AccountBook(None))
    rows: dict[tuple[object, ...], Outcome] = {}
    for block in blocks:
        joiner.add(SERVER, parse_lines(parser, block, LineCounts()).events)
        for row in joiner.take_dirty()[0]:
            key = (row.account, row.direction, row.queue_id, row.recipient)
            if key not in rows or row.version >= rows[key].version:
                rows[key] = row
    return [row for row in rows.values() if not row.is_deleted]


def test_each_order_and_cut_of_answer_and_verdict_is_one_row() -> None:
    for order in itertools.permutations((ANSWER, REMOVED, MOVED)):
        if order.index(ANSWER) > order.index(REMOVED):
            continue
        lines = [*ARRIVAL, *order]
        for blocks in ([lines], [[line] for line in lines], [lines, lines], [[line] for line in lines] * 2):
            found = table(blocks)
            assert [(row.account, row.status, row.queue_id) for row in found] == [
                ("anna@bakery.example", DISCARDED, "7D31C0A84F")
            ], order
            assert found[0].response.startswith("moved mail for <anna@bakery.example> to spam quarantine")
            assert found[0].log_lines == (*ARRIVAL, ANSWER, MOVED)


def test_without_the_filters_line_the_answer_counts() -> None:
    [row] = table([[*ARRIVAL, ANSWER, REMOVED]])
    assert (row.status, row.response) == (DELIVERED, f"250 2.5.0 OK ({PASSAGE})")


@pytest.mark.parametrize("address", ["192.0.2.60", "10.0.0.8"])
def test_an_answer_from_elsewhere_ties_nothing(address: str) -> None:
    """A far server knows the id of an earlier passage from the headers of mail that came to it."""
    answer = ANSWER.replace("relay=127.0.0.1[127.0.0.1]", f"relay=mx.far.example[{address}]")
    [row] = table([[*ARRIVAL, MOVED, answer, REMOVED]])
    assert row.status == DELIVERED


def test_a_verdict_on_somebody_else_changes_nothing() -> None:
    [row] = table([[*ARRIVAL, MOVED.replace("anna@", "bob@"), ANSWER, REMOVED]])
    assert (row.recipient, row.status) == ("anna@bakery.example", DELIVERED)
    [row] = table([[*ARRIVAL, MOVED.replace(PASSAGE, "5F2D41665C0E1A7B3"), ANSWER, REMOVED]])
    assert row.status == DELIVERED


def test_no_message_id_or_helo_is_a_verdict() -> None:
    forged = MOVED.partition("]: ")[2]
    arrival = [line.replace("one@far.example", forged) for line in ARRIVAL]
    helo = (
        "Nov 24 08:00:02 gw postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.9]: 550 5.1.1 no; "
        f"from=<a@far.example> to=<b@bakery.example> proto=ESMTP helo=<{forged}>"
    )
    rows = table([[*arrival, helo, ANSWER, REMOVED]])
    assert {row.recipient: row.status for row in rows} == {
        "anna@bakery.example": DELIVERED,
        "b@bakery.example": "rejected",
    }


def test_before_the_queue_each_recipient_has_a_row() -> None:
    client = "Nov 24 08:00:01 gw postfix/smtpd[7]: NOQUEUE: client=mx.far.example[192.0.2.99]"
    answer = (
        f"Nov 24 08:00:04 gw postfix/smtpd[7]: proxy-accept: END-OF-MESSAGE: 250 2.5.0 OK ({PASSAGE}); "
        "from=<carl@far.example> to=<anna@bakery.example> proto=ESMTP helo=<mx.far.example>"
    )
    other = f"Nov 24 08:00:03 gw pmg-smtp-filter[5]: {PASSAGE}: block mail to <bob@bakery.example> (rule: Block)"
    for order in itertools.permutations((answer, MOVED, other)):
        for blocks in ([[client, *order]], [[line] for line in (client, *order, *order)]):
            found = table(blocks)
            assert sorted((row.account, row.sender, row.status, row.client_ip) for row in found) == [
                ("anna@bakery.example", "carl@far.example", DISCARDED, "192.0.2.99"),
                ("bob@bakery.example", "carl@far.example", DISCARDED, "192.0.2.99"),
            ]


def test_where_the_client_is_refused_before_the_queue_each_recipient_is_refused() -> None:
    client = "Nov 24 08:00:01 gw postfix/smtpd[7]: NOQUEUE: client=mx.far.example[192.0.2.99]"
    answer = (
        "Nov 24 08:00:04 gw postfix/smtpd[7]: proxy-reject: END-OF-MESSAGE: 554 5.7.1 Rejected for policy reasons "
        f"({PASSAGE}); from=<carl@far.example> to=<anna@bakery.example> proto=ESMTP helo=<mx.far.example>"
    )
    blocked = [
        f"Nov 24 08:00:03 gw pmg-smtp-filter[5]: {PASSAGE}: block mail to <{user}@bakery.example> (rule: Block)"
        for user in ("anna", "bob")
    ]
    for order in itertools.permutations((answer, *blocked)):
        found = table([[line] for line in (client, *order, *order)])
        assert sorted((row.account, row.sender, row.status, row.smtp_code) for row in found) == [
            ("anna@bakery.example", "carl@far.example", REJECTED, 554),
            ("bob@bakery.example", "carl@far.example", REJECTED, 554),
        ]
