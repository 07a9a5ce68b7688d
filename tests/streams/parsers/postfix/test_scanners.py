"""What filters beside Postfix log of their own: Proxmox Mail Gateway and MailScanner."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import DELIVERED, DISCARDED
from postwatch.streams.parsers.events import JUDGED, REQUEUED, Arrival, Attempt, Ignored, LifecycleEvent, Parsed
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

PASSAGE = "5F2D41665C0E1A7B2"


def read(program: str, message: str) -> Parsed:
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(1_796_000_000_000)
    return make_parser("auto", stamps).parse(f"Nov 25 23:00:01 gw {program}[20]: {message}")


@pytest.mark.parametrize(
    ("words", "recipient", "status", "behind"),
    [
        ("accept mail to <Ann@here.example> (8E42D1B960) (rule: default-accept)", "ann@here.example", DELIVERED, 1),
        ("accept mail to <ann@here.example> (4jYCZM64N0z6HRR) (rule: x)", "ann@here.example", DELIVERED, 1),
        (
            "moved mail for <a@x.example> to spam quarantine - 8E42D1B960 (rule: Q (Level 3))",
            "a@x.example",
            DISCARDED,
            0,
        ),
        ("moved mail for <a@x.example> to virus quarantine - 8E42D1B960 (rule: Block)", "a@x.example", DISCARDED, 0),
        ("moved mail for <a@x.example> to attachment quarantine - 8E4 (rule: R)", "a@x.example", DISCARDED, 0),
        ("block mail to <a@x.example> (rule: Block stupid domains)", "a@x.example", DISCARDED, 0),
    ],
)
def test_what_proxmox_decides_about_a_recipient(words: str, recipient: str, status: str, behind: int) -> None:
    found = read("pmg-smtp-filter", f"{PASSAGE}: {words}")
    assert isinstance(found, Attempt)
    assert (found.queue_id, found.recipient, found.status, found.handover) == (
        f"f:{PASSAGE}",
        recipient,
        status,
        JUDGED,
    )
    assert bool(found.next_queue_id) == bool(behind)
    assert found.is_attempt == ("attachment" not in words)
    assert words.startswith(found.response)


@pytest.mark.parametrize(
    "words",
    [
        "new mail message-id=<5F2D41665C0E1A7B2: block mail to <a@x.example> (rule: x)>",
        "SA score=8/5 time=0.5 bayes=0.00 hits=accept mail to <a@x.example> (8E42D1B960) (rule: x)",
        'accept mail to <"a> (8E42D1B960) (rule: x)"@x.example> (9E42D1B960) (rule: default-accept)',
        "accept mail to <a b> (8E42D1B960) (rule: x)@x.example> (9E42D1B960) (rule: default-accept)",
        "accept mail to <a@x.example> (none) (rule: default-accept)",
        "moved mail for <a@x.example> to the moon - 8E42D1B960 (rule: x)",
        "reinject mail to <a@x.example> (rule: x) failed",
        "processing time: 1.15 seconds (0.975, 0.019, 0)",
    ],
)
def test_what_no_filter_writes_is_no_verdict(words: str) -> None:
    assert read("pmg-smtp-filter", f"{PASSAGE}: {words}") == Ignored("filter")


def test_only_the_filter_itself_decides() -> None:
    words = f"{PASSAGE}: block mail to <a@x.example> (rule: x)"
    assert read("logger", words) == Ignored("other-program")
    assert read("postfix/smtpd", words) in (Ignored("other"), Ignored("note"))


@pytest.mark.parametrize(
    ("before", "behind"),
    [("4ABCDE1.AFF17", "4ABCDF2"), ("4cZktc2W3sz3bl4.A1B2C", "4cZktd0BcDz3bm5"), ("4ABCDE1", "4ABCDF2")],
)
def test_mailscanner_puts_a_message_back(before: str, behind: str) -> None:
    found = read("MailScanner", f"Requeue: {before} to {behind}")
    assert isinstance(found, Arrival)
    assert (found.queue_id, found.part, found.earlier_queue_id) == (behind, REQUEUED, before.partition(".")[0])


@pytest.mark.parametrize(
    "words",
    [
        "Spam Actions: message 4ABCDE1.AFF17 actions are store",
        "Spam Actions: message 4ABCDE1.AFF17 actions are delete,store-/var/spool/spam,notify",
        "Infected message 4ABCDE1.AFF17 came from 192.0.2.99",
        "MCP Actions: message 4ABCDE1.AFF17 actions are delete",
    ],
)
def test_mailscanner_keeps_a_message(words: str) -> None:
    found = read("MailScanner", words)
    assert isinstance(found, LifecycleEvent)
    assert (found.queue_id, found.status, found.closes, found.response) == ("4ABCDE1", DISCARDED, True, words)


def test_mailscanner_keeps_a_message_of_exim() -> None:
    found = read("MailScanner", "Spam Actions: message 1xUht2-0000000GFxH-3Ryp actions are delete")
    assert isinstance(found, LifecycleEvent)
    assert found.queue_id == "1xUht2-0000000GFxH-3Ryp"


@pytest.mark.parametrize(
    "words",
    [
        "Spam Actions: message 4ABCDE1.AFF17 actions are deliver,header",
        "Spam Actions: message 4ABCDE1.AFF17 actions are forward,delete",
        "Spam Actions: message 4ABCDE1.AFF17 actions are store to 4ABCDF2",
        "Requeue: 4ABCDE1.AFF17 to 4ABCDE1",
        "Requeue: 4ABCDE1.AFF17 to 4ABCDF2 and more",
        "Message 4ABCDE1.AFF17 from 192.0.2.9 (Requeue: 4ABCDE1.AFF17 to 4ABCDF2) to x.example is spam (blacklisted)",
        "Delivery of spam: message 4ABCDE1.AFF17 from a@x.example to b@y.it with subject Requeue: 4ABC to 4ABCDF2",
        "Uninfected: Delivered 1 messages",
    ],
)
def test_what_else_mailscanner_says_changes_nothing(words: str) -> None:
    assert read("MailScanner", words) == Ignored("filter")
