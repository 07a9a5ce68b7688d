"""A process that names a message only where it begins to try it: whose line is whose, whatever a far server answers."""

from __future__ import annotations

import msgspec
import pytest

from tests.streams.joining.parked_table import Table

A, B = "1795420002.100", "1795420002.200"
SENDER, CHILD = 811, 812


def head(process: int | None, second: int = 2) -> str:
    program = "nullmailer" if process is None else f"nullmailer-send[{process}]"
    return f"2026-11-23T08:00:{second:02}+00:00 web7 {program}: "


def begun(file: str, to: str, is_numbered: bool, second: int = 2, sender: str = "app@bakery.example") -> list[str]:
    at = head(SENDER if is_numbered else None, second)
    return [
        f"{at}Starting delivery: host: smtp.smarthost.example protocol: smtp file: {file}",
        f"{at}From: <{sender}> to: {to}",
        f"{at}Message-ID: <{file}@bakery.example>",
    ]


def ended(answer: list[str], said: list[str], is_numbered: bool, second: int = 2) -> list[str]:
    child = head(CHILD if is_numbered else None, second)
    sender = head(SENDER if is_numbered else None, second)
    return [*(child + words for words in answer), *(sender + words for words in said)]


TAKEN = ["smtp: Succeeded: 250 2.0.0 Ok: queued as B37572963D"]
REFUSED = ["smtp: Failed: 550 5.1.1 No such user"]
BUSY = ["smtp: Failed: 450 4.2.1 busy"]
SENT = ["Sent file."]
PERMANENT = ["Sending failed: Permanent error in sending the message"]
TEMPORARY = ["Sending failed: Temporary error in sending the message"]


def moved(file: str) -> list[str]:
    return [f"Moving message {file} into failed", f"Generating bounce for {file}"]


both = pytest.mark.parametrize("is_numbered", [True, False], ids=("journald", "logger"))


@both
def test_all_recipients_of_a_file_have_one_status(is_numbered: bool) -> None:
    lines = begun(A, "<ann@far.example>, <bob@far.example>", is_numbered)
    lines += ended(REFUSED, PERMANENT + moved(A), is_numbered)
    rows = Table().read(lines).rows()
    assert {row.recipient for row in rows} == {"ann@far.example", "bob@far.example"}
    for row in rows:
        assert (row.account, row.status, row.smtp_code, row.enhanced_code) == (
            "app@bakery.example",
            "bounced",
            550,
            "5.1.1",
        )
        assert (row.reason, row.remote_host, row.message_id) == (
            "unknown-user",
            "smtp.smarthost.example",
            f"{A}@bakery.example",
        )
        assert str(row.queued_at).startswith("2026-11-23") or row.queued_at == 1_795_420_002_000


NOTICE = "1795420803.200"
"""Made at 08:00:03."""


def notice(file: str, second: int = 2, to: str = "<app@bakery.example>") -> list[str]:
    return [*begun(file, to, True, second, sender=""), *ended(TAKEN, SENT, True, second)]


def refused(file: str, to: str = "<ann@far.example>", second: int = 2) -> list[str]:
    return [*begun(file, to, True, second), *ended(REFUSED, PERMANENT + moved(file), True, second)]


def parents(lines: list[str]) -> dict[str, str]:
    return {row.queue_id: row.parent_queue_id for row in Table().read(lines).rows() if not row.sender}


def test_a_notice_leads_to_its_message() -> None:
    assert parents([*refused(A), *notice(NOTICE, 3)]) == {NOTICE: A}


@pytest.mark.parametrize(
    "lines",
    [
        [*refused(A), *notice("1795420810.1", 10)],  # too late
        [*refused(A), *notice(NOTICE, 3, "<boss@bakery.example>")],  # to another
        [*refused(A), *notice(NOTICE, 3, "<app@bakery.example>, <x@bakery.example>")],
        [*refused(A), *refused("1795420002.101", "<bob@far.example>"), *notice(NOTICE, 3)],  # two may be meant
        [*begun(A, "<ann@far.example>", True), *ended(TAKEN, SENT, True), *notice(NOTICE, 3)],  # none was given up
    ],
)
def test_what_only_looks_like_a_notice_leads_nowhere(lines: list[str]) -> None:
    assert parents(lines) == dict.fromkeys(parents(lines), "") != {}


def test_of_two_notices_the_second_leads_nowhere() -> None:
    assert parents([*refused(A), *notice(NOTICE, 3), *notice("1795420803.300", 3)])["1795420803.300"] == ""


@both
def test_what_is_tried_for_too_long_is_expired_with_the_last_answer(is_numbered: bool) -> None:
    lines = begun(A, "<ann@far.example>", is_numbered) + ended(BUSY, TEMPORARY + moved(A), is_numbered)
    [row] = Table().read(lines).rows()
    assert (row.status, row.response) == ("expired", "450 4.2.1 busy")


@both
@pytest.mark.parametrize(
    "forged",
    [
        "Sent file.",
        f"Moving message {A} into failed",
        f"Moving message {B} into failed",
        f"Starting delivery: host: x protocol: smtp file: {B}",
        "From: <app@bakery.example> to: <victim@bank.example>",
        "Message-ID: <forged@bank.example>",
        "smtp: Succeeded: 250 2.0.0 Ok",
        "Sending failed: Permanent error in sending the message",
    ],
)
def test_a_far_server_forges_no_line(is_numbered: bool, forged: str) -> None:
    """The second line of an answer is written as it came."""
    answer = ["smtp: Failed: 550-5.7.1 no", forged]
    said = ["Sending failed: Protocol error"]
    lines = begun(A, "<ann@far.example>", is_numbered) + ended(answer, said, is_numbered)
    [row] = Table().read(lines).rows()
    assert (row.queue_id, row.recipient, row.status) == (A, "ann@far.example", "deferred")
    assert row.response == f"550-5.7.1 no\\n{forged}"
    assert row.message_id == f"{A}@bakery.example"
    lines += begun(B, "<bob@far.example>", is_numbered, 5) + ended(TAKEN, SENT, is_numbered, 5)
    assert Table().read(lines).told()[B, "bob@far.example"] == "delivered"


def test_an_answer_that_breaks_off_takes_no_line_of_the_process() -> None:
    """It announces another line that never came; the number shows that the next line is the sending process's."""
    lines = begun(A, "<ann@far.example>", True) + ended(["smtp: Failed: 550-5.7.1 no"], PERMANENT + moved(A), True)
    [row] = Table().read(lines).rows()
    assert (row.status, row.response) == ("bounced", "550-5.7.1 no")


def test_a_success_that_only_the_child_tells_is_none() -> None:
    lines = begun(A, "<ann@far.example>", True) + ended(["Sent file."], [], True)
    assert "delivered" not in Table().read(lines).told().values()


def test_a_success_without_an_answer_is_believed_of_the_process_alone() -> None:
    assert Table().read(begun(A, "<ann@far.example>", True) + ended([], SENT, True)).told() == {
        (A, "ann@far.example"): "delivered"
    }
    assert Table().read(begun(A, "<ann@far.example>", False) + ended([], SENT, False)).told() == {}


@both
def test_a_success_behind_a_refusal_is_none(is_numbered: bool) -> None:
    """Lines of two tries, of which the beginning of the second was lost."""
    lines = begun(A, "<ann@far.example>", is_numbered) + ended(REFUSED, SENT, is_numbered)
    assert Table().read(lines).told() == {}


@both
def test_behind_lost_lines_nothing_is_told_until_a_try_begins(is_numbered: bool) -> None:
    """Of the first try all is lost behind its beginning, and of the second one the beginning."""
    first = begun(A, "<ann@far.example>", is_numbered)
    second = begun(B, "<bob@far.example>", is_numbered)[1:] + ended(REFUSED, PERMANENT, is_numbered)
    assert Table().read(first + second).told() == {}
    third = begun(B, "<bob@far.example>", is_numbered, 4) + ended(TAKEN, SENT, is_numbered, 4)
    assert Table().read(first + second + third).told() == {(B, "bob@far.example"): "delivered"}


TWO = [
    *begun(A, "<ann@far.example>", False),
    *ended(BUSY, TEMPORARY, False),
    *begun(B, "<bob@far.example>", False),
    *ended(TAKEN, SENT, False),
    *begun(A, "<ann@far.example>", False, 3),
    *ended(REFUSED, PERMANENT + moved(A), False, 3),
]
TRUE = {(A, "ann@far.example"): "bounced", (B, "bob@far.example"): "delivered"}


@pytest.mark.parametrize("cut", range(1, len(TWO)))
@pytest.mark.parametrize("ahead", [0, 1, 2, 4, 7, len(TWO)])
def test_lines_that_are_read_again_behind_what_was_parked(cut: int, ahead: int) -> None:
    """A crash: what was parked may know more than was acknowledged, and all lines are of the same seconds."""
    table = Table().read(TWO[: cut + ahead], 0).park()
    assert table.read(TWO[cut:], cut).told() == TRUE
    assert table.park().read(TWO, 0).told() == TRUE


def test_identical_lines_of_one_second_are_told_apart_by_their_order() -> None:
    sent = ended(["smtp: Succeeded: 250 2.0.0 Ok"], SENT, False)
    lines = [*begun(A, "<ann@far.example>", False), *sent, *begun(B, "<bob@far.example>", False), *sent]
    assert Table().read(lines).told() == {(A, "ann@far.example"): "delivered", (B, "bob@far.example"): "delivered"}


@pytest.mark.parametrize("end", range(1, len(TWO)))
def test_what_is_read_from_the_beginning_again_changes_nothing(end: int) -> None:
    assert Table().read(TWO[:end] + TWO).told() == TRUE
    assert Table().read([line for line in TWO[:end] + TWO for _ in range(2)]).told() == TRUE


def test_a_line_behind_the_beginning_of_another_try_is_not_of_one_that_is_read_again() -> None:
    later = ended(REFUSED, PERMANENT, False, 4)
    assert Table().read(TWO + TWO[5:8] + later).told() == TRUE


def test_a_process_that_was_killed_leaves_its_try_open() -> None:
    again = [line.replace(f"[{SENDER}]", "[900]") for line in begun(A, "<ann@far.example>", True, 9)]
    taken = [line.replace(f"[{SENDER}]", "[900]") for line in ended(TAKEN, SENT, True, 9)]
    lines = begun(A, "<ann@far.example>", True)
    assert Table().read(lines + again + taken).told() == {(A, "ann@far.example"): "delivered"}


def test_the_last_tries_alone_are_kept() -> None:
    table = Table()
    for number in range(500):
        file = f"1795420002.{1000 + number}"
        table.read(begun(file, "<ann@far.example>", False) + ended(TAKEN, SENT, False))
    [process] = list(table.joiner.open_messages())
    assert len(process.tries or ()) <= 200
    assert len(msgspec.msgpack.encode(process.tries)) < 300_000
