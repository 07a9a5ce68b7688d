"""The lines of dma: how each is read. Their form is that of version 0.13, run behind a smarthost."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, EXPIRED, Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.dma import parse_message
from postwatch.streams.parsers.events import (
    CLIENT,
    QUEUE,
    UNNAMED_SERVER,
    Arrival,
    Attempt,
    Event,
    Ignored,
    LifecycleEvent,
    Parsed,
    Unreadable,
)
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

BASE, FILE = "c800f", "c800f.55907ef8cf60"


def read(words: str, queue_id: str = FILE) -> Parsed:
    return parse_message(queue_id, words, 1000, words)


def test_a_submission_is_a_session() -> None:
    found = read("new mail from user=www-data uid=33 envelope_from=<app@bakery.example>", BASE)
    assert isinstance(found, Arrival)
    assert (found.queue_id, found.part, found.sender, found.system_user) == (
        "s:c800f",
        CLIENT,
        "app@bakery.example",
        "www-data",
    )


def test_each_recipient_has_an_id_of_its_own() -> None:
    found = read(f"mail to=<Bob@Far.Example> queued as {FILE}", BASE)
    assert isinstance(found, Arrival)
    assert (found.queue_id, found.part, found.recipients, found.session_id) == (
        FILE,
        QUEUE,
        ("bob@far.example",),
        "s:c800f",
    )


@pytest.mark.parametrize("words", ["mail to=<bob@far.example> queued as c9999.55907ef8cf60", "mail to=<x> queued as 1"])
def test_a_recipient_of_another_submission_is_no_guess(words: str) -> None:
    assert isinstance(read(words, BASE), Unreadable)


@pytest.mark.parametrize(
    ("words", "recipient", "transport"),
    [
        ("<Bob@far.example> delivery successful", "bob@far.example", UNNAMED_SERVER),
        ("<anna> delivery successful", "anna", "local"),
        (
            "<a> delivery successful@far.example> delivery successful",
            "a> delivery successful@far.example",
            UNNAMED_SERVER,
        ),
        ("delivery successful", "", UNNAMED_SERVER),
    ],
)
def test_a_delivery(words: str, recipient: str, transport: str) -> None:
    found = read(words)
    assert isinstance(found, list)
    attempt, closed = found
    assert isinstance(attempt, Attempt)
    assert (attempt.recipient, attempt.status, attempt.transport) == (recipient, DELIVERED, transport)
    assert isinstance(closed, LifecycleEvent)
    assert closed.closes


@pytest.mark.parametrize(
    ("words", "status", "ip", "code", "response"),
    [
        (
            "remote delivery to mx.far.example [192.0.2.9] failed after RCPT TO: 550 5.1.1 No such user",
            BOUNCED,
            "192.0.2.9",
            550,
            "550 5.1.1 No such user",
        ),
        (
            "remote delivery deferred: mx.far.example [192.0.2.9] failed after final DATA: 451 4.3.0 disk",
            DEFERRED,
            "192.0.2.9",
            451,
            "451 4.3.0 disk",
        ),
        (
            "remote delivery to mx.far.example [2001:db8::9] failed after RCPT TO: 550-5.7.26 This#012550 5.7.26 no",
            BOUNCED,
            "2001:db8::9",
            550,
            "550-5.7.26 This\\n550 5.7.26 no",
        ),
        ("remote delivery deferred: SSL handshake failed fatally: error:0A00010B", DEFERRED, "", 0, None),
        ("remote delivery failed: Authentication failed: 535 5.7.8 no", BOUNCED, "", 0, None),
        ("remote delivery deferred: DNS lookup failure: host mx.far.example not found", DEFERRED, "", 0, None),
        ("local delivery failed: corrupted queue file", BOUNCED, "", 0, "corrupted queue file"),
        ("connect to mx.far.example [192.0.2.9] failed: Connection refused", DEFERRED, "192.0.2.9", 0, None),
    ],
)
def test_what_came_of_a_try(words: str, status: str, ip: str, code: int, response: str | None) -> None:
    found = read(words)
    assert isinstance(found, Attempt)
    assert (found.status, found.remote_ip, found.smtp_code) == (status, ip, code)
    if response is not None:
        assert found.response == response


@pytest.mark.parametrize("words", ["delivery failed, bouncing as c8012", "can not bounce a bounce message, discarding"])
def test_giving_up_ends_the_message(words: str) -> None:
    found = read(words)
    assert isinstance(found, LifecycleEvent)
    assert (found.status, found.closes) == (EXPIRED, True)


@pytest.mark.parametrize("words", ["using smarthost (mx:25)", "trying remote delivery to mx [192.0.2.1] pref 0", ""])
def test_other_lines_change_nothing(words: str) -> None:
    assert isinstance(read(words), Ignored)


def _events(*lines: str) -> list[Event]:
    parser = make_parser("dma", StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000))
    found: list[Event] = []
    for line in lines:
        parsed = parser.parse(f"Nov 23 04:56:45 web7 {line}")
        assert not isinstance(parsed, Ignored | Unreadable), line
        found += parsed if isinstance(parsed, list) else [parsed]
    return found


OPENED = f"dma[{BASE}]: new mail from user=anna uid=1001 envelope_from=<anna@bakery.example>"
QUEUED = f"dma[{BASE}]: mail to=<bob@far.example> queued as {FILE}"
LATER = f"dma[{FILE}]: remote delivery deferred: mx.far.example [192.0.2.9] failed after RCPT TO: 450 4.2.1 busy"
GIVEN_UP = f"dma[{FILE}]: delivery failed, bouncing as c8012"


def test_what_was_tried_for_too_long_is_expired_with_the_last_answer() -> None:
    joiner = Joiner(AccountBook(None))
    joiner.add("web7", _events(OPENED, QUEUED, LATER, GIVEN_UP))
    [row] = [row for row in joiner.take_dirty()[0] if not row.is_deleted]
    assert (row.account, row.recipient, row.status) == ("anna@web7", "bob@far.example", EXPIRED)
    assert (row.smtp_code, row.response) == (450, "450 4.2.1 busy")


def test_an_answer_before_the_arrival_finds_its_recipient() -> None:
    """A log that is read in two parts, the later one first: the row without a recipient is retracted."""
    joiner = Joiner(AccountBook(None))
    newest: dict[tuple[str, str, str], Outcome] = {}
    for line in (LATER, OPENED, QUEUED, GIVEN_UP):
        joiner.add("web7", _events(line))
        for row in joiner.take_dirty()[0]:
            key = row.account, row.recipient, row.direction
            if key not in newest or row.version >= newest[key].version:
                newest[key] = row
    rows = [row for row in newest.values() if not row.is_deleted]
    assert [(row.account, row.recipient, row.status) for row in rows] == [("anna@web7", "bob@far.example", EXPIRED)]


def test_two_submissions_of_a_second_may_have_the_same_base() -> None:
    again = OPENED.replace("anna", "carl"), QUEUED.replace("cf60", "d860")
    joiner = Joiner(AccountBook(None))
    tried = f"dma[{FILE}]: <bob@far.example> trying delivery"
    done = f"dma[{FILE}]: <bob@far.example> delivery successful"
    joiner.add("web7", _events(OPENED, QUEUED, tried, done, *again, done.replace("cf60", "d860")))
    rows = {row.queue_id: row.account for row in joiner.take_dirty()[0] if not row.is_deleted}
    assert rows == {FILE: "anna@web7", FILE.replace("cf60", "d860"): "carl@web7"}
