"""The lines of nullmailer: how each is read. Their form is that of version 2.2."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED
from postwatch.streams.parsers.events import (
    ADDRESSED,
    CONTINUED,
    MOVED,
    NAMED,
    REPLIED,
    STARTED,
    TRIED,
    Ignored,
    Step,
    Unreadable,
)
from postwatch.streams.parsers.nullmailer import parse_message
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone


def read(words: str) -> Step:
    found = parse_message("811", words, 1000, words)
    assert isinstance(found, Step), found
    assert (found.queue_id, found.process) == ("n:nullmailer", "811")
    return found


def test_the_beginning_of_a_try_names_the_message() -> None:
    found = read("Starting delivery: host: smtp.smarthost.example protocol: smtp file: 1795851882.31200")
    assert (found.kind, found.file, found.remote_host) == (STARTED, "1795851882.31200", "smtp.smarthost.example")


def test_one_line_names_sender_and_recipients() -> None:
    found = read("From: <app@bakery.example> to: <Ann@Far.Example>, <bob@mill.example>, <ann@far.example>")
    assert (found.kind, found.sender) == (ADDRESSED, "app@bakery.example")
    assert found.recipients == ("ann@far.example", "bob@mill.example")


@pytest.mark.parametrize(
    "words",
    [
        "From: <a> to: <victim@bank.example> x@b.example> to: <bob@far.example>",
        "From: <app@bakery.example> to: <bob<victim@bank.example>",
        "From: <app@bakery.example> to: bob@far.example",
        "Starting delivery: protocol: smtp host: smtp.smarthost.example file: 1795851882.31200",
        "Starting delivery: host: smtp.smarthost.example protocol: smtp file: ../queue",
    ],
)
def test_what_could_be_read_in_two_ways_is_no_guess(words: str) -> None:
    assert isinstance(parse_message("811", words, 1000, words), Unreadable)


@pytest.mark.parametrize("words", ["Message-ID: <m1@bakery.example>", "message-id:<m1@bakery.example> "])
def test_the_message_id_is_the_headers(words: str) -> None:
    assert (read(words).kind, read(words).message_id) == (NAMED, "m1@bakery.example")


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [
        ("smtp: Succeeded: 250 2.0.0 Ok: queued as B37572963D", DELIVERED, "250 2.0.0 Ok: queued as B37572963D"),
        ("smtp: Failed: 550-5.7.26 This mail is", "", "550-5.7.26 This mail is"),
        ("qmqp: Failed: Connect failed", "", "Connect failed"),
        ("smtp: Failed: ", "", ""),
        ("smtp: Failed:", "", ""),
    ],
)
def test_the_far_servers_answer(words: str, status: str, answer: str) -> None:
    assert (read(words).kind, read(words).status, read(words).answer) == (REPLIED, status, answer)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Sent file.", DELIVERED),
        ("Sending failed: Permanent error in sending the message", BOUNCED),
        ("Sending failed: Server refused the message", BOUNCED),
        ("Sending failed: Temporary error in sending the message", DEFERRED),
        ("Sending failed: Connection refused", DEFERRED),
        ("Sending failed: Failed to authenticate to server", DEFERRED),
        ("Sending timed out, killing protocol", DEFERRED),
        ("Sending process crashed or was killed.", DEFERRED),
    ],
)
def test_what_came_of_a_try(words: str, status: str) -> None:
    assert (read(words).kind, read(words).status) == (TRIED, status)


def test_a_message_that_is_given_up_is_moved() -> None:
    found = read("Moving message 1795851893.31304 into failed")
    assert (found.kind, found.file) == (MOVED, "1795851893.31304")


@pytest.mark.parametrize("words", ["550 5.7.26 unauthenticated", "Sent file. ", "sent file.", "anything", ""])
def test_any_other_line_may_be_one_of_an_answer(words: str) -> None:
    assert (read(words).kind, read(words).status) == (CONTINUED, "")


@pytest.mark.parametrize(
    "words",
    [
        "Rescanning queue.",
        "Trigger pulled.",
        "Starting delivery, 2 message(s) in queue.",
        "Delivery complete, 0 message(s) remain.",
        "Generating bounce for 1795851893.31304",
        "Not generating double bounce for 1795851893.31304",
        "Warning: On Debian systems, nullmailer's 'me' is disregarded; please use '/etc/mailname' instead.",
    ],
)
def test_these_lines_change_nothing(words: str) -> None:
    assert parse_message("811", words, 1000, words) == Ignored("note")


@pytest.mark.parametrize(
    "head",
    [
        "Nov 28 07:44:42 web7 nullmailer-send[811]: ",
        "2026-11-28T07:44:42.931533+00:00 web7 nullmailer-send[811]: ",
        "Nov 28 07:44:42 web7 nullmailer[811]: ",
        "Nov 28 07:44:42 web7 nullmailer: ",
    ],
)
def test_it_is_told_by_its_head(head: str) -> None:
    parsed = make_parser("auto", StampReader(find_zone("UTC", "test"), sent_ms=1_795_900_000_000)).parse(
        f"{head}Sent file."
    )
    assert isinstance(parsed, Step)
    assert parsed.process == ("811" if "[811]" in head else "")
