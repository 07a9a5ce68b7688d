"""What a client was told where Postfix filters its answers, and which refusals it is not tied to."""

from __future__ import annotations

import itertools

import pytest
from postwatch.streams.joining.answers import MOST_ANSWERS, MOST_REFUSALS, take_answer, take_refusal
from postwatch.streams.joining.message import begin_message
from postwatch.streams.parsers.events import FILTERED, TOLD, Refusal, Step

from tests.streams.joining.test_golden import rows_of

ANSWER = "554 5.7.1 <ann@bakery.example>: Recipient address rejected: not now"
KEY = "p:process 7"


def said(second: int, words: str, process: int = 7, queue_id: str = "NOQUEUE", daemon: str = "smtpd") -> str:
    return f"Nov 23 09:00:{second:02} mx postfix/{daemon}[{process}]: {queue_id}: {words}"


def refused(second: int, process: int = 7, to: str = "ann", queue_id: str = "NOQUEUE") -> str:
    words = (
        f"reject: RCPT from mx.far.example[192.0.2.5]: 554 5.7.1 <{to}@bakery.example>: Recipient address rejected: "
        f"not now; from=<x@far.example> to=<{to}@bakery.example> proto=ESMTP helo=<mx.far.example>"
    )
    return said(second, words, process, queue_id)


def filtered(second: int, out: str, process: int = 7, to: str = "ann", queue_id: str = "NOQUEUE") -> list[str]:
    answer = f"554 5.7.1 <{to}@bakery.example>: Recipient address rejected: not now"
    return [
        said(second, f"reply filter in: {answer}", process, queue_id),
        said(second, f"reply filter out: {out}", process, queue_id),
    ]


def codes(blocks: list[list[str]]) -> list[tuple[str, int, str]]:
    return sorted(
        (row["recipient"].partition("@")[0], row["smtp_code"], row["enhanced_code"]) for row in rows_of(blocks)
    )


def test_the_row_has_what_the_client_was_told() -> None:
    lines = [
        refused(1),
        *filtered(1, "450 4.7.1 later"),
        refused(1, to="bob"),
        *filtered(1, "550 5.1.1 none", to="bob"),
    ]
    expected = [("ann", 450, "4.7.1"), ("bob", 550, "5.1.1")]
    assert codes([lines]) == codes([[line] for line in lines]) == codes([lines, lines]) == expected
    for end, start in itertools.combinations_with_replacement(range(len(lines)), 2):
        assert codes([lines[:start], lines[end:]]) == expected  # the shipper begins anew at an earlier place
    [row] = rows_of([lines[:3]])
    assert row["status"] == "rejected"
    assert row["response"] == "450 4.7.1 later"
    assert row["log_lines"] == [lines[0], lines[2]]


def test_a_message_with_a_queue_id_is_tied_by_that() -> None:
    lines = [refused(1, 7, queue_id="6EB1A9D0B8D"), *filtered(5, "450 4.7.1 later", 7, queue_id="6EB1A9D0B8D")]
    assert codes([lines]) == [("ann", 450, "4.7.1")]


@pytest.mark.parametrize(
    "lines",
    [
        [refused(1), *filtered(1, "450 4.7.1 later", process=8)],  # another client's
        [refused(1, process=8, queue_id="6EB1A9D0B8D"), *filtered(1, "450 4.7.1 later", 8, queue_id="6EB1A9D0B8E")],
        [refused(1), *filtered(1, "450 4.7.1 later", to="bob")],  # another answer
        [*filtered(1, "450 4.7.1 later"), refused(2)],  # of a command that carries no mail, before
        [refused(1), filtered(1, "450 4.7.1 later")[1]],  # lines were lost
        [refused(1), filtered(1, "x")[0], filtered(9, "450 4.7.1 later")[1]],
        [
            refused(1),
            *filtered(1, "450 4.7.1 a"),
            *filtered(1, "450 4.7.2 b")[:0],
            said(1, "reply filter about: 450 x"),
        ][:1],
        [refused(1, to="ann").replace("helo=<mx.far.example>", "helo=<NOQUEUE: reply filter out: 450 4.7.1 x>")],
    ],
)
def test_what_is_not_shown_to_be_the_answer_changes_nothing(lines: list[str]) -> None:
    assert ("ann", 554, "5.7.1") in codes([lines])


def test_a_line_that_was_lost_gives_no_answer_to_the_one_before() -> None:
    lines = [refused(1), *filtered(1, "450 4.7.1 later"), filtered(1, "550 5.1.1 none", to="bob")[1]]
    assert codes([lines]) == [("ann", 450, "4.7.1")]


def test_an_answer_much_later_is_of_another_refusal() -> None:
    late = [line.replace("09:00:", "09:02:") for line in filtered(1, "450 4.7.1 later")]
    assert codes([[refused(1), *late]]) == [("ann", 554, "5.7.1")]


def refusal(number: int = 0, at: int = 1_000) -> Refusal:
    return Refusal(f"r:{number}", at, f"line {number}", response=ANSWER, recipient="ann@bakery.example")


def step(kind: str, words: str, at: int = 1_000) -> Step:
    return Step(KEY, at, f"{at} {kind} {words}", kind, words)


def test_two_answers_at_once_are_none() -> None:
    entry = begin_message("mx", KEY, 1_000)
    take_refusal(entry, refusal())
    for number, words in enumerate(("450 4.7.1 a", "450 4.7.1 b")):
        take_answer(entry, Step(KEY, 1_000, f"in {number}", FILTERED, ANSWER), -1)
        told = take_answer(entry, step(TOLD, words), -1)
    assert told == []


def test_what_is_read_again_after_a_crash_tells_the_same_and_is_of_no_later_answer() -> None:
    entry = begin_message("mx", KEY, 1_000)
    other = "550 5.1.1 other"
    take_refusal(entry, refusal())
    for at, words, out in ((1_000, ANSWER, "450 4.7.1 a"), (1_500, other, "")):
        take_answer(entry, step(FILTERED, words, at), 1)
        if out:
            take_answer(entry, step(TOLD, out, at), 1)
    entry.parked_at = entry.read_until
    [told] = take_answer(entry, step(TOLD, "450 4.7.1 a"), 1)
    assert told.response == "450 4.7.1 a"
    assert entry.tries is not None
    assert [len(one.steps) for one in entry.tries] == [1, 0]
    [again] = take_refusal(entry, refusal())
    assert again == told


def test_an_entry_is_bounded() -> None:
    entry = begin_message("mx", KEY, 1_000)
    for number in range(MOST_ANSWERS + MOST_REFUSALS):
        take_refusal(entry, refusal(number, at=1_000 + number))
        take_answer(entry, step(FILTERED, ANSWER, at=1_000 + number), -1)
    assert entry.refusals is not None
    assert entry.tries is not None
    assert (len(entry.refusals), len(entry.tries)) == (MOST_REFUSALS, MOST_ANSWERS)


def before_queue(login: str = "", helo: str = "mx.far.example") -> list[str]:
    name = f", sasl_method=PLAIN, sasl_username={login}" if login else ""
    end = f" sasl_username=<{login}>" if login else ""
    answer = "554 5.7.0 Reject, id=00201-05 - spam"
    return [
        said(1, f"client=mx.far.example[192.0.2.5]{name}"),
        "Nov 23 09:00:02 mx amavis[9]: (00201-05) Blocked SPAM {RejectedInbound}, [192.0.2.5]:4 [192.0.2.5] "
        "<x@far.example> -> <ann@bakery.example>,<bob@bakery.example>, Message-ID: <1@x>, Hits: 12, size: 9, 5 ms",
        f"Nov 23 09:00:02 mx postfix/smtpd[7]: proxy-reject: END-OF-MESSAGE: {answer}; from=<x@far.example> "
        f"to=<ann@bakery.example> proto=ESMTP helo=<{helo}>{end}",
        said(2, f"reply filter in: {answer}"),
        said(2, "reply filter out: 550 5.7.1 We do not want this"),
    ]


def test_all_recipients_that_a_filter_before_the_queue_refused_were_told_the_same() -> None:
    lines = before_queue()
    expected = [("ann", 550, "5.7.1"), ("bob", 550, "5.7.1")]
    late = [*lines[:1], *lines[2:], lines[1]]
    assert codes([lines]) == codes([[line] for line in lines]) == codes([lines, lines]) == codes([late]) == expected
    assert {row["client_ip"] for row in rows_of([lines])} == {"192.0.2.5"}


def test_a_refusal_of_another_login_has_not_the_client_of_the_process() -> None:
    forged = before_queue(helo="x> sasl_username=<ann@bakery.example")
    assert {(row["client_ip"], row["authenticated_as"]) for row in rows_of([forged])} == {("", "")}
    lines = [before_queue("ann@bakery.example")[0], *before_queue()[1:]]
    assert {(row["client_ip"], row["authenticated_as"]) for row in rows_of([lines])} == {("", "")}
