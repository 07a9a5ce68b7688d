"""Exim's refusals: the same row from the main log and from the reject log, whose header lines are of no interest."""

from __future__ import annotations

import pytest
from postwatch.streams.parsers.events import Ignored, Parsed, Refusal, Unreadable
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

STAMP = "2026-03-02 09:05:00"
ID = "1vwyE4-0003aC-2Y"


def parse(line: str, log_format: str = "exim-reject") -> Parsed:
    return make_parser(log_format, StampReader(find_zone("UTC", "test"))).parse(line)


ENTRY = f"""\
{STAMP} {ID} H=(x) [192.0.2.66] F=<win@spam.example> rejected after DATA: This message scored 12 points
Envelope-from: <win@spam.example>
Envelope-to: <anna@bakery.example>
P Received: from [192.0.2.66] (helo=x)
\tby web7.hosting.example with esmtp (Exim 4.98)
\tfor anna@bakery.example;
  Subject: => anna@bakery.example R=x T=y
I Message-ID: <1@spam.example>
F From: {STAMP} {ID} => anna@bakery.example R=x T=y
* X-Old: gone
  {STAMP} {ID} Completed"""


def test_an_entry_with_headers_is_one_refusal() -> None:
    first, *headers = ENTRY.split("\n")
    refusal = parse(first)
    assert isinstance(refusal, Refusal)
    assert (refusal.queue_id, refusal.sender, refusal.client_ip) == (ID, "win@spam.example", "192.0.2.66")
    assert [parse(line) for line in headers] == [Ignored("headers")] * len(headers)


LINES = {
    "rejected": ("H=(x) [192.0.2.66] F=<a@b.example> rejected RCPT <anna@bakery.example>: listed", "rejected", 550),
    "with ports": (
        "H=h.example (x) [192.0.2.66]:4021 I=[192.0.2.10]:25 X=TLS1.2:AES:256 CV=no F=<a@b.example> "
        "rejected RCPT <anna@bakery.example>: 554 5.7.1 listed",
        "rejected",
        554,
    ),
    "later": (
        "H=(x) [192.0.2.66] F=<a@b.example> temporarily rejected RCPT <anna@bakery.example>: greylisted",
        "rejected",
        451,
    ),
    "without words": ("H=(x) [192.0.2.66] F=<a@b.example> rejected RCPT <anna@bakery.example>", "rejected", 550),
    "by SPF": ("H=(x) [192.0.2.66] F=<a@b.example> SPF=fail rejected RCPT <anna@bakery.example>", "rejected", 550),
    "bare address": ("H=(x) [192.0.2.66] F=<a@b.example> rejected RCPT anna@bakery.example: no", "rejected", 550),
    "by a callout": (
        "H=(x) [192.0.2.66] F=<a@b.example> rejected RCPT <anna@bakery.example>: mx [203.0.113.5] : SMTP error from "
        "remote mail server after RCPT TO:<anna@bakery.example>: 553 5.1.1 unknown",
        "rejected",
        553,
    ),
    "discarded with options": (
        "H=(x) [192.0.2.66] F=<a@b.example> RCPT <anna@bakery.example> NOTIFY=NEVER: discarded by MAIL ACL: x",
        "discarded",
        250,
    ),
    "with options": (
        "H=(x) [192.0.2.66] F=<a@b.example> rejected RCPT <anna@bakery.example> NOTIFY=DELAY ORCPT=rfc822;x+2B: no",
        "rejected",
        550,
    ),
    "discarded": (
        "H=(x) [192.0.2.66] F=<a@b.example> RCPT <anna@bakery.example>: discarded by RCPT ACL",
        "discarded",
        250,
    ),
}


@pytest.mark.parametrize("recipient", ["carl@far.example", '"x F=<v@bank.example> rejected"@far.example'])
def test_the_far_server_refuses_what_is_passed_on_while_it_comes_in(recipient: str) -> None:
    found = parse(
        f"{STAMP} 1vwyE4-0003aC-2Y H=(x) [192.0.2.66]:4021 {recipient} F=<a@b.example> rejected after DATA: R=r T=t "
        'H=mx [203.0.113.5] C="554 5.7.1 \\"spam\\" F=<v@bank.example>"',
        "exim-main",
    )
    assert isinstance(found, Refusal)
    assert (found.sender, found.recipient, found.client_ip) == ("a@b.example", recipient.lower(), "192.0.2.66")
    assert (found.smtp_code, found.enhanced_code) == (554, "5.7.1")


@pytest.mark.parametrize("name", LINES)
def test_both_logs_give_the_same_event(name: str) -> None:
    words, status, code = LINES[name]
    found = parse(f"{STAMP} {words}")
    assert isinstance(found, Refusal)
    assert found == parse(f"{STAMP} {words}", "exim-main")
    assert (found.sender, found.recipient, found.client_ip) == ("a@b.example", "anna@bakery.example", "192.0.2.66")
    assert (found.status, found.smtp_code) == (status, code)
    assert found.queue_id.startswith("r:")


@pytest.mark.parametrize(
    "words",
    [
        "H=(x) [192.0.2.66] F=<a@b.example> rejected after DATA: spam",
        "H=(x) [192.0.2.66] F=<a@b.example> temporarily rejected after DATA",
        "H=(x) [192.0.2.66] F=<a@b.example> rejected during MIME ACL checks: no",
        "rejected from <a@b.example> H=(x) [192.0.2.66]: message too big: read=225 max=100",
        "F=a@b.example H=(x) [192.0.2.66] P=esmtp rejected by local_scan(): no",
        "F=a@b.example H=(x) [192.0.2.66]:4367 I=[192.0.2.1]:25 P=esmtp rejected by local_scan(): no",
    ],
)
def test_a_message_refused_as_a_whole(words: str) -> None:
    found = parse(f"{STAMP} {ID} {words}")
    assert isinstance(found, Refusal)
    assert (found.queue_id, found.sender, found.recipient) == (ID, "a@b.example", "")
    assert found.client_ip == "192.0.2.66"


def test_a_local_submission_that_is_refused_tells_its_user() -> None:
    found = parse(f"{STAMP} {ID} U=bakery F=<a@b.example> rejected by non-SMTP ACL: no")
    assert isinstance(found, Refusal)
    assert found.system_user == "bakery"


def test_a_helo_that_makes_two_readings_is_a_dead_letter() -> None:
    helo = "x) [6.6.6.6] F=<victim@bank.example> rejected RCPT <victim@bank.example>: no (y"
    line = f"{STAMP} H=({helo}) [192.0.2.66] F=<a@b.example> rejected RCPT <anna@bakery.example>: listed"
    assert isinstance(parse(line), Unreadable)
