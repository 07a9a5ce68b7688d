"""A message is a set of events: what is known of it is the same in whatever order and however often they come."""

from __future__ import annotations

from itertools import permutations

from postwatch.streams.contracts.outcome import DEFERRED, DELIVERED
from postwatch.streams.joining.merge import add_attempt, add_lifecycle_event, merge
from postwatch.streams.joining.message import Message
from postwatch.streams.parsers.events import LifecycleEvent

from tests.streams.joining.test_joiner import SERVER, tried


def test_the_order_of_attempts_changes_nothing() -> None:
    attempts = [
        tried("Q1", 10, "bob@far.example", DEFERRED),
        tried("Q1", 20, "bob@far.example", DEFERRED),
        tried("Q1", 30, "bob@far.example", DELIVERED),
    ]
    for order in permutations(attempts):
        message = Message(SERVER, "Q1", 1)
        for attempt in order:
            add_attempt(message, attempt)
        assert message.attempts == {"bob@far.example": attempts}


def test_two_copies_of_a_message_know_what_either_knows() -> None:
    early, late = (tried("Q1", at, "bob@far.example", DEFERRED) for at in (10, 20))
    known, other = Message(SERVER, "Q1", 1), Message(SERVER, "Q1", 1)
    add_attempt(known, late)
    add_attempt(other, early)
    add_lifecycle_event(other, LifecycleEvent("Q1", 30, "removed", closes=True))
    merge(known, other)
    assert known.attempts == {"bob@far.example": [early, late]}
    assert known.completed_at == 30
    merge(known, other)
    assert known.attempts == {"bob@far.example": [early, late]}
