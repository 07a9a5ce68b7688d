"""Which messages are tied as one that a program or filter gave back, and which are not."""

from __future__ import annotations

from typing import Any

import pytest
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.returned import MOST_MEMBERS, Group

from tests.streams.joining.test_golden import rows_of

PIPE = "relay=filter, delay=2, delays=0/0/0/2, dsn=2.0.0, status=sent (delivered via filter service)"
NEAR = "relay=10.0.0.5[10.0.0.5]:10024, delay=2, delays=0/0/0/2, dsn=2.0.0, status=sent (250 2.0.0 taken)"
FULL = "relay=mx[private/lmtp], delay=1, delays=0/0/0/1, dsn=5.2.2, status=bounced (552 5.2.2 mailbox full)"
OUTSIDE = "client=mail.far.example[192.0.2.11]"


def at(second: int, daemon: str, text: str) -> str:
    return f"Nov 23 09:00:{second:02} mx postfix/{daemon}[7]: {text}"


def begin(second: int, queue_id: str, client: str, sender: str = "x@far.example", name: str = "m1@far") -> list[str]:
    by = "pickup" if client.startswith("uid=") else "smtpd"
    return [
        at(second, by, f"{queue_id}: {client}" + (f" from=<{sender}>" if by == "pickup" else "")),
        at(second, "cleanup", f"{queue_id}: message-id=<{name}>"),
        at(second, "qmgr", f"{queue_id}: from=<{sender}>, size=900, nrcpt=1 (queue active)"),
    ]


def end(second: int, queue_id: str, fate: str, to: str = "anna@bakery.example") -> list[str]:
    agent = "pipe" if fate == PIPE else "smtp"
    return [at(second, agent, f"{queue_id}: to=<{to}>, {fate}"), at(second, "qmgr", f"{queue_id}: removed")]


FIRST = begin(10, "4A00001", OUTSIDE)


def fates(blocks: list[list[str]]) -> list[tuple[str, str, str]]:
    rows: list[dict[str, Any]] = rows_of(blocks)
    return sorted((row["queue_id"], row["recipient"], row["status"]) for row in rows)


TIED = [("4A00001", "anna@bakery.example", "bounced")]


@pytest.mark.parametrize(("source", "fate"), [("uid=117", PIPE), ("client=a[10.0.0.5]", NEAR)])
def test_given_back_in_time_is_one_row(source: str, fate: str) -> None:
    second = begin(12, "4A00002", source)
    given, fate_here = end(12, "4A00001", fate), end(13, "4A00002", FULL)
    for lines in (
        [*FIRST, *second, *given, *fate_here],
        [*FIRST, *second, *fate_here, *given],
        [*second, *fate_here, *FIRST, *given],
        [*FIRST, *given, *second, *fate_here],
    ):
        assert fates([lines]) == TIED
        assert fates([[line] for line in lines]) == TIED
        assert fates([lines, lines]) == TIED


FAR = "relay=scan.example[203.0.113.5]:25, delay=2, delays=0/0/0/2, dsn=2.0.0, status=sent (250 2.0.0 taken)"
FROM_FAR = "client=scan.example[203.0.113.5]"


@pytest.mark.parametrize("first", [FIRST, begin(10, "4A00001", "uid=1000"), begin(10, "4A00001", "client=a[10.0.0.5]")])
def test_a_filter_with_a_public_address_gives_back_from_there_in_time(first: list[str]) -> None:
    second = begin(12, "4A00002", FROM_FAR)
    given, fate_here = end(12, "4A00001", FAR), end(13, "4A00002", FULL)
    for lines in (
        [*first, *second, *given, *fate_here],
        [*first, *second, *fate_here, *given],
        [*first, *second[:2], *given, second[2], *fate_here],
    ):
        assert [fate for fate in fates([lines]) if fate[0] != "4A00001"] == []
        assert fates([lines]) == fates([[line] for line in lines]) == fates([lines, lines]) == TIED


@pytest.mark.parametrize(
    "second",
    [
        begin(12, "4A00002", "client=scan.example[203.0.113.6]"),  # another public address
        begin(12, "4A00002", f"{FROM_FAR}, sasl_method=PLAIN, sasl_username=u@far.example"),
        begin(12, "4A00002", FROM_FAR, sender="y@far.example"),
        begin(12, "4A00002", FROM_FAR, name="m2@far"),
        begin(20, "4A00002", FROM_FAR),  # a far server that sends it back when it has taken it
    ],
)
def test_what_a_stranger_at_a_public_address_sends_is_not_given_back(second: list[str]) -> None:
    early, late = (second, []) if "09:00:12" in second[0] else ([], second)
    lines = [*FIRST, *early, *end(12, "4A00001", FAR), *late, *end(21, "4A00002", FULL)]
    assert ("4A00001", "anna@bakery.example", "delivered") in fates([lines])
    assert fates([lines]) == fates([[line] for line in lines])


def test_a_far_server_that_forwards_to_another_recipient_gives_nothing_back() -> None:
    lines = [
        *FIRST,
        *begin(12, "4A00002", FROM_FAR),
        *end(12, "4A00001", FAR),
        *end(13, "4A00002", FULL, to="bob@bakery.example"),
    ]
    assert ("4A00001", "anna@bakery.example", "delivered") in fates([lines])


def test_of_two_messages_from_the_address_of_a_public_filter_none_is_tied() -> None:
    lines = [
        *FIRST,
        *begin(12, "4A00002", FROM_FAR),
        *begin(12, "4A00003", FROM_FAR),
        *end(12, "4A00001", FAR),
        *end(13, "4A00002", FULL),
        *end(13, "4A00003", FULL),
    ]
    assert ("4A00001", "anna@bakery.example", "delivered") in fates([lines])


@pytest.mark.parametrize(
    ("second", "fate"),
    [
        (begin(12, "4A00002", OUTSIDE), PIPE),  # a stranger connects in the same second
        (begin(12, "4A00002", OUTSIDE), NEAR),
        (begin(12, "4A00002", "client=b[10.0.0.6]"), NEAR),  # another address
        (begin(12, "4A00002", "client=b[10.0.0.5], sasl_method=PLAIN, sasl_username=u@far.example"), NEAR),
        (begin(20, "4A00002", "client=a[10.0.0.5]"), NEAR),  # too late
        (begin(20, "4A00002", "uid=117"), PIPE),
        (begin(12, "4A00002", "uid=117"), NEAR),  # a program has not the filter's address
        (begin(12, "4A00002", "uid=117", sender="y@far.example"), PIPE),
        (begin(12, "4A00002", "uid=117", name="m2@far"), PIPE),
    ],
)
def test_what_is_not_shown_to_be_given_back_stays_by_itself(second: list[str], fate: str) -> None:
    lines = [*FIRST, *second, *end(12, "4A00001", fate), *end(21, "4A00002", FULL)]
    assert ("4A00001", "anna@bakery.example", "delivered") in fates([lines])


def test_a_rule_of_a_mailbox_that_sends_a_copy_on_is_no_filter() -> None:
    lines = [
        *FIRST,
        *begin(12, "4A00002", "uid=5000"),
        *end(12, "4A00001", PIPE),
        *end(13, "4A00002", FULL, to="bob@elsewhere.example"),
    ]
    assert ("4A00001", "anna@bakery.example", "delivered") in fates([lines])


def test_of_two_that_may_be_it_none_is() -> None:
    lines = [
        *FIRST,
        *begin(12, "4A00002", "uid=117"),
        *begin(12, "4A00003", "uid=1000"),
        *end(12, "4A00001", PIPE),
        *end(13, "4A00002", FULL),
        *end(13, "4A00003", FULL),
    ]
    assert ("4A00001", "anna@bakery.example", "delivered") in fates([lines])


def test_two_copies_from_outside_are_not_told_apart() -> None:
    lines = [
        *FIRST,
        *begin(10, "4A00009", OUTSIDE),
        *begin(12, "4A00002", "uid=117"),
        *begin(12, "4A00003", "uid=117"),
        *end(12, "4A00001", PIPE),
        *end(12, "4A00009", PIPE),
        *end(13, "4A00002", FULL),
        *end(13, "4A00003", FULL),
    ]
    assert [status for _, _, status in fates([lines])].count("delivered") == 2


def test_two_passes_in_a_row_are_one_row() -> None:
    lines = [
        *FIRST,
        *begin(12, "4A00002", "uid=117"),
        *end(12, "4A00001", PIPE),
        *begin(15, "4A00003", "client=a[10.0.0.5]"),
        *end(15, "4A00002", NEAR),
        *end(16, "4A00003", FULL),
    ]
    assert fates([lines]) == TIED
    assert fates([[line] for line in lines]) == TIED


def test_each_recipient_may_come_back_by_itself() -> None:
    lines = [
        *begin(10, "4A00001", OUTSIDE),
        *begin(12, "4A00002", "uid=117"),
        at(12, "pipe", f"4A00001: to=<anna@bakery.example>, {PIPE}"),
        *begin(14, "4A00003", "uid=117"),
        *end(14, "4A00001", PIPE, to="bea@bakery.example"),
        *end(15, "4A00002", FULL),
        *end(15, "4A00003", FULL, to="bea@bakery.example"),
    ]
    assert fates([lines]) == [*TIED, ("4A00001", "bea@bakery.example", "bounced")]


STAMP = "2026-11-21 10:00:0"
SCANNED = "U=mail P=spam-scanned"


def exim(second: str, how: str, to: str = "anna <anna@bakery.example> R=check T=check") -> list[str]:
    first, next_id = "1xUht2-0000000GFxD-3Ryp", "1xUht4-0000000GFxE-0aaa"
    return [
        f"{STAMP}0 {first} <= x@far.example H=m [192.0.2.11] P=esmtps S=2 id=e1@far for anna@bakery.example",
        f"{STAMP}{second} {next_id} <= x@far.example {how} S=2 id=e1@far for anna@bakery.example",
        f"{STAMP}2 {first} => {to}",
        f"{STAMP}2 {first} Completed",
        f"{STAMP}9 {next_id} ** anna@bakery.example R=user T=local: mailbox is full",
        f"{STAMP}9 {next_id} Completed",
    ]


TO_FILTER = 'anna@bakery.example R=f T=f H=127.0.0.1 [127.0.0.1] C="250 OK (20A9)"'


def test_exim_gets_back_what_it_gave_to_a_program_or_a_filter() -> None:
    for lines in (exim("2", SCANNED), exim("2", "H=localhost [127.0.0.1] P=esmtp", TO_FILTER)):
        for blocks in ([lines], [[line] for line in lines], [lines, lines]):
            assert fates(blocks) == [("1xUht2-0000000GFxD-3Ryp", "anna@bakery.example", "bounced")]


@pytest.mark.parametrize(
    ("second", "how", "to"),
    [
        ("2", "H=m [192.0.2.11] P=esmtps", "anna <anna@bakery.example> R=check T=check"),
        ("2", "U=bob P=local", "anna <anna@bakery.example> R=check T=check"),  # any user of the server may do so
        ("5", SCANNED, "anna <anna@bakery.example> R=check T=check"),
        ("5", "H=localhost [127.0.0.1] P=esmtp", TO_FILTER),
        ("2", "H=m [192.0.2.11] P=esmtps", TO_FILTER),
        ("2", SCANNED, TO_FILTER),
    ],
)
def test_exim_keeps_apart_what_a_stranger_could_send(second: str, how: str, to: str) -> None:
    rows = fates([exim(second, how, to)])
    assert ("1xUht2-0000000GFxD-3Ryp", "anna@bakery.example", "delivered") in rows


def test_a_group_that_a_stranger_fills_is_given_up() -> None:
    group = Group({}, {})
    for number in range(MOST_MEMBERS + 1):
        group.taken[str(number)] = Message("mx", str(number), 0)
    assert group.is_crowded()


SAVED = (
    "relay=mx[private/dovecot-lmtp], delay=1, delays=0/0/0/1, dsn=2.0.0, "
    "status=sent (250 2.0.0 <anna@bakery.example> x Saved)"
)
RULE = (
    "Nov 23 09:00:11 mx dovecot: lmtp(anna@bakery.example)<9><x>: "
    "sieve: msgid=<m1@far>: forwarded to <anna@else.example>"
)


def redirected(
    source: str = "uid=5000",
    second: int = 11,
    rule: str = RULE,
    fate: str = SAVED,
    name: str = "m1@far",
    to: str = "anna@else.example",
) -> list[str]:
    return [
        *FIRST,
        *begin(second, "4A00002", source, name=name),
        rule,
        at(11, "lmtp", f"4A00001: to=<anna@bakery.example>, {fate}"),
        at(11, "qmgr", "4A00001: removed"),
        *end(13, "4A00002", FULL, to=to),
    ]


@pytest.mark.parametrize("source", ["uid=5000", "client=localhost[127.0.0.1]"])
@pytest.mark.parametrize(
    "rule",
    [
        RULE,
        RULE.replace("forwarded", "redirect action: forwarded"),
        RULE.replace("lmtp(anna@bakery.example)<9><x>:", "lmtp(9, anna@bakery.example): x+/1:"),
        RULE.replace("lmtp(anna@bakery.example)<9><x>", "lda(anna)"),
    ],
)
def test_what_a_rule_of_a_mailbox_sent_on_belongs_to_the_mailbox(source: str, rule: str) -> None:
    lines = redirected(source, rule=rule)
    for blocks in ([lines], [[line] for line in lines], [lines, lines]):
        assert fates(blocks) == [
            ("4A00001", "anna@bakery.example", "delivered"),
            ("4A00001", "anna@else.example", "bounced"),
        ]
        assert {row["account"] for row in rows_of(blocks)} == {"anna@bakery.example"}


@pytest.mark.parametrize(
    "lines",
    [
        redirected(OUTSIDE),  # a stranger sends the same Message-ID in the same second
        redirected("client=a[10.0.0.5]"),
        redirected("client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=u@far.example"),
        redirected(second=20),  # too late
        redirected(name="m2@far"),
        redirected(to="x@else.example"),
        redirected(rule=RULE.replace("anna@bakery", "berta@bakery")),  # the rule of somebody else
        redirected(rule=RULE.replace("09:00:11", "09:01:11")),
        redirected(rule=RULE.replace("dovecot: lmtp(anna@bakery.example)<9><x>", "mailer: lmtp(anna@bakery.example)")),
        redirected(rule=RULE.replace("forwarded to <anna@else.example>", "stored mail into mailbox 'INBOX'")),
        redirected(rule=RULE.replace("m1@far", "m1@far>: forwarded to <x@else.example")),
        redirected(rule=RULE + ": sent vacation response to <x@far.example>"),
        redirected(fate=SAVED.replace("private/dovecot-lmtp", "192.0.2.77")),  # another server has the mailbox
    ],
)
def test_a_copy_is_not_a_mailbox_s_because_a_stranger_says_so(lines: list[str]) -> None:
    assert ("4A00002", "bounced") in [(queue_id, fate) for queue_id, _, fate in fates([lines])]


def test_of_two_copies_that_a_rule_may_have_made_none_is_the_mailbox_s() -> None:
    lines = [*redirected()]
    lines[-2:-2] = [*begin(11, "4A00003", "uid=1000"), *end(12, "4A00003", FULL, to="anna@else.example")]
    assert [queue_id for queue_id, recipient, _ in fates([lines]) if recipient == "anna@else.example"] != ["4A00001"]
    assert ("4A00003", "anna@else.example", "bounced") in fates([[*lines[-4:], *lines[:-4]]])
