"""Sendmail makes several envelopes of one message, and its submission program names whom it was told: one message."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.streams.joining.parked_table import Table
from tests.streams.joining.test_golden import rows_of

_HANDED_IN = (
    "Nov 23 08:00:00 mx sendmail[11]: 6AN80000000011: from=web, size=9, class=0, nrcpts=1, msgid=<m@mx>, "
    "relay=web@localhost"
)
_ARRIVED = (
    "Nov 23 08:00:00 mx sm-mta[12]: 6AN80000000012: from=<web@mx.bakery.example>, size=99, class=0, nrcpts=1, "
    "msgid=<m@mx>, proto=ESMTP, daemon=MTA, relay=localhost [127.0.0.1]"
)
_FROM_OUTSIDE = (
    "Nov 23 08:00:00 mx sm-mta[12]: 6AN80000000012: from=<ann@far.example>, size=99, class=0, nrcpts=1, msgid=<m@far>, "
    "proto=ESMTP, daemon=MTA, relay=mail.far.example [192.0.2.7]"
)
_CLONE = "Nov 23 08:00:01 mx sm-mta[13]: 6AN80000000012: 6AN80100000013: clone: owner=owner-staff"
_MEMBER = (
    "Nov 23 08:00:02 mx sm-mta[13]: 6AN80100000013: to=m1@x.example, ctladdr=boss (1001/1001), delay=00:00:01, "
    "xdelay=00:00:01, mailer=esmtp, pri=91, relay=mx.x.example. [192.0.2.60], dsn=5.1.1, stat=User unknown"
)


def _handed_over(typed: str) -> str:
    return (
        f"Nov 23 08:00:01 mx sendmail[11]: 6AN80000000011: to={typed}, ctladdr=web (1007/1007), delay=00:00:01, "
        "xdelay=00:00:01, mailer=relay, pri=30, relay=[127.0.0.1] [127.0.0.1], dsn=2.0.0, "
        "stat=Sent (6AN80000000012 Message accepted for delivery)"
    )


def _fate(to: str, status: str = "dsn=5.1.1, stat=User unknown") -> str:
    return (
        f"Nov 23 08:00:02 mx sm-mta[13]: 6AN80000000012: to={to}, ctladdr=<web@mx.bakery.example> (1007/1007), "
        f"delay=00:00:02, xdelay=00:00:02, mailer=local, pri=30, {status}"
    )


def _told(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in ("queue_id", "recipient", "original_recipient", "status")) for row in rows]


def _in_any_order(*messages: list[str]) -> list[list[tuple[str, ...]]]:
    """What is told at last, however the messages are interleaved. Lines of one keep their order; each is a record."""
    turns = [number for number, lines in enumerate(messages) for _ in lines]
    found = []
    for order in sorted(set(itertools.permutations(turns))):
        lines = [iter(one) for one in messages]
        found.append(_told(rows_of([[next(lines[number])] for number in order])))
    return found


@pytest.mark.parametrize(
    ("typed", "to", "wanted"),
    [
        ("root", "<root@mx.bakery.example>", ("root@mx.bakery.example", "")),
        ("Root R <root>", "<root@mx.bakery.example>", ("root@mx.bakery.example", "")),
        ("root", "anna", ("anna", "root")),
        ("root", '"|/usr/bin/filter"', ('"|/usr/bin/filter"', "root")),
        ("eve@far.example", "<eve@far.example>", ("eve@far.example", "")),
    ],
)
def test_a_recipient_that_was_typed_without_a_domain_is_one_row(typed: str, to: str, wanted: tuple[str, str]) -> None:
    for told in _in_any_order([_HANDED_IN, _handed_over(typed)], [_ARRIVED, _fate(to)]):
        assert set(told) == {("6AN80000000011", *wanted, "bounced")}


def test_of_several_typed_names_each_goes_its_way() -> None:
    lines = [
        _HANDED_IN,
        _ARRIVED.replace("nrcpts=1", "nrcpts=2"),
        _handed_over("root,eve@far.example"),
        _fate("<root@mx.bakery.example>"),
    ]
    assert ("6AN80000000011", "root@mx.bakery.example", "", "bounced") in _told(rows_of([lines]))
    assert not [row for row in _told(rows_of([lines])) if row[1] == "root"]
    assert [row[3] for row in _told(rows_of([lines])) if row[1] == "eve@far.example"] == ["pending"]


def test_an_envelope_is_the_message_that_it_was_made_of() -> None:
    for told in _in_any_order([_FROM_OUTSIDE, _CLONE], [_MEMBER]):
        assert told == [("6AN80000000012", "m1@x.example", "", "bounced")]


_SPLIT = (
    "Nov 23 08:00:01 mx sm-mta[12]: 6AN80000000012: split: maxrcpts=1, rcpts=3, count=2, "
    "ids=6AN80100000013; 6AN80100000014"
)


@pytest.mark.parametrize("made", [_CLONE, _SPLIT])
def test_what_is_parked_between_the_parts_of_a_message_is_the_same(made: str) -> None:
    lines = [_HANDED_IN, _handed_over("staff"), _ARRIVED, made, _MEMBER]
    if made == _SPLIT:
        lines += [_fate("m0@x.example"), _MEMBER.replace("00000013: to=m1", "00000014: to=m2")]
    whole = _of_table(Table().read(lines))
    assert {row[:2] for row in whole} >= {("6AN80000000011", "m1@x.example")}
    for first in range(1, len(lines)):
        assert _of_table(Table().read(lines[:first]).park().read(lines[first:])) == whole, first
    table = Table()
    for line in lines:
        table.read([line]).park()
    assert _of_table(table) == whole


def _of_table(table: Table) -> set[tuple[str, ...]]:
    return {(row.queue_id, row.recipient, row.account, row.direction, row.status) for row in table.rows()}


def test_an_envelope_goes_back_to_the_submission_whenever_that_is_told() -> None:
    for told in _in_any_order([_HANDED_IN, _handed_over("staff")], [_ARRIVED, _CLONE], [_MEMBER]):
        assert ("6AN80000000011", "m1@x.example", "", "bounced") in [(*row[:2], "", row[3]) for row in told]
        assert {row[0] for row in told} == {"6AN80000000011"}


def test_a_sender_who_is_a_user_here_is_no_alias() -> None:
    """Sendmail names him as the controlling user of whatever an alias made."""
    arrived = _ARRIVED.replace("localhost [127.0.0.1]", "home.example [192.0.2.8]")
    told = _told(rows_of([[arrived, _fate("a@far.example", "dsn=2.0.0, stat=Sent")]]))
    assert told == [("6AN80000000012", "a@far.example", "", "delivered")]
    [row] = _told(rows_of([[_FROM_OUTSIDE, _fate("a@far.example", "dsn=2.0.0, stat=Sent")]]))
    assert row[2] == "web@mx.bakery.example"


def test_no_far_server_names_the_envelope_that_goes_on() -> None:
    """Only the daemon of this machine, to which the submission program hands everything, names an id of it."""
    forged = _handed_over("root").replace("[127.0.0.1] [127.0.0.1]", "mx.far.example. [192.0.2.9]")
    told = _told(rows_of([[_HANDED_IN, forged, _ARRIVED, _fate("<root@mx.bakery.example>")]]))
    assert ("6AN80000000011", "root", "", "delivered") in told
    assert {row[0] for row in told} == {"6AN80000000011", "6AN80000000012"}


_LOOP = "Nov 23 08:00:01 mx sm-mta[13]: 6AN80000000012: 6AN80100000014: DSN: aliasing/forwarding loop broken"
_TO_FAR = (
    "Nov 23 08:00:01 mx sm-mta[13]: 6AN80000000012: to=<{}>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=91, "
    "relay=mx.x.example. [192.0.2.60], {}"
)
_SENT, _FAILED = "dsn=2.0.0, stat=Sent (ok)", "dsn=5.1.1, stat=User unknown"


@pytest.mark.parametrize(
    ("count", "lines", "wanted"),
    [
        (1, [], [("", "bounced")]),
        (2, [_TO_FAR.format("a@x.example", _SENT)], [("", "bounced"), ("a@x.example", "delivered")]),
        (1, [_TO_FAR.format("a@x.example", "stat=queued")], [("a@x.example", "bounced")]),
        (1, [_TO_FAR.format("a@x.example", _FAILED)], [("a@x.example", "bounced")]),
        (1, [_TO_FAR.format("a@x.example", _SENT)], [("a@x.example", "delivered")]),
        (
            2,
            [_TO_FAR.format("a@x.example", _SENT), _TO_FAR.format("b@x.example", _FAILED)],
            [("a@x.example", "delivered"), ("b@x.example", "bounced")],
        ),
    ],
)
def test_a_bounce_that_names_nobody_is_a_row_without_a_recipient(
    count: int, lines: list[str], wanted: list[tuple[str, str]]
) -> None:
    arrived = _FROM_OUTSIDE.replace("nrcpts=1", f"nrcpts={count}")
    for order in itertools.permutations([*lines, _LOOP]):
        told = _told(rows_of([[arrived], *([line] for line in order)]))
        assert sorted((row[1], row[3]) for row in told) == wanted


def test_a_bounce_that_names_nobody_is_about_him_who_was_handed_in_alone() -> None:
    for told in _in_any_order([_HANDED_IN, _handed_over("staff")], [_ARRIVED, _LOOP]):
        assert told == [("6AN80000000011", "staff", "", "bounced")]


@pytest.mark.parametrize("words", ["sender notify: Warning: could not send message", "DSN: Return receipt"])
def test_a_notice_of_no_failure_is_no_bounce(words: str) -> None:
    notice = _LOOP.replace("DSN: aliasing/forwarding loop broken", words)
    assert _told(rows_of([[_FROM_OUTSIDE, notice]])) == []


def test_a_bounce_of_a_further_envelope_is_about_whom_the_message_names() -> None:
    notice = _LOOP.replace("6AN80000000012", "6AN80100000013", 1)
    member = _MEMBER.replace("dsn=5.1.1, stat=User unknown", "dsn=2.0.0, stat=Sent (ok)")
    told = _told(rows_of([[_FROM_OUTSIDE, _CLONE, member, notice]]))
    assert [row[1:] for row in told] == [("m1@x.example", "", "delivered")]
