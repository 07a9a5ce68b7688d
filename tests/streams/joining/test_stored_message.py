"""What is stored of a message is never larger than Kafka takes, and what decides about a recipient stays in it."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED
from postwatch.streams.joining.merge import add_attempt
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.status import find_status
from postwatch.streams.joining.stored_message import MOST_BYTES, decode_stored, encode_stored
from postwatch.streams.parsers.events import Attempt
from postwatch.streams.parsers.native_fields import replace

from tests.streams.joining.test_joiner import part, tried

QUEUE_ID = "1vwyDG-000001-1X"


def attempt_of(recipient: str, at: int, status: str, line_characters: int) -> Attempt:
    line = f"{at} {status} {recipient} ".ljust(line_characters, "x")
    return replace(tried(QUEUE_ID, at, recipient, status), line=line)


def newsletter(recipients: int, deferrals: int, line_characters: int) -> Message:
    """Every third recipient got it in the end, every third was refused, the rest is deferred."""
    message = Message("mx1", QUEUE_ID, 1000, part(QUEUE_ID, 1000, ""))
    for number in range(recipients):
        recipient = f"reader{number}@far.example"
        for at in range(deferrals):
            add_attempt(message, attempt_of(recipient, 2000 + at, DEFERRED, line_characters))
        if number % 3 < 2:
            final = (DELIVERED, BOUNCED)[number % 3]
            add_attempt(message, attempt_of(recipient, 9000, final, line_characters))
    return message


def fates(message: Message) -> dict[str, tuple[str, int]]:
    told = {}
    for recipient, attempts in message.attempts.items():
        _, status, updated_at, _ = find_status(message, recipient, attempts, 0)
        told[recipient] = status, updated_at
    return told


@pytest.mark.parametrize(
    ("recipients", "deferrals", "line_characters"), [(2000, 30, 200), (300, 50, 2000), (9000, 1, 1500)]
)
def test_a_message_too_large_for_kafka_is_thinned_out_and_every_fate_stays(
    recipients: int, deferrals: int, line_characters: int
) -> None:
    message = newsletter(recipients, deferrals, line_characters)
    before = fates(message)
    stored = encode_stored(message)
    assert MOST_BYTES // 20 < len(stored) <= MOST_BYTES
    again = decode_stored(stored).message
    assert fates(again) == before
    assert again.is_tried_again == message.is_tried_again


def test_whatever_strangers_write_an_entry_is_not_larger_than_kafka_takes() -> None:
    message = newsletter(40_000, 0, 300)
    message.earlier = newsletter(20_000, 1, 1000)
    stored = encode_stored(message)
    assert len(stored) <= MOST_BYTES
    assert decode_stored(stored).message.arrival == message.arrival


def test_any_other_message_is_stored_as_it_is() -> None:
    message = newsletter(20, 50, 200)
    before = {recipient: list(attempts) for recipient, attempts in message.attempts.items()}
    assert decode_stored(encode_stored(message)).message.attempts == before
