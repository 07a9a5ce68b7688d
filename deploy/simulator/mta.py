"""What every kind of mail server can be asked for: its log lines about what happens to a message.

A story asks in the order of events. What happens is decided elsewhere; a server only knows how its program words it,
and which line tells what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from postwatch.deploy.simulator.courses import Attempt, Course
from postwatch.deploy.simulator.message import Message, Refusal, Saying
from postwatch.deploy.simulator.provider import Customer


class Mta(Protocol):
    """One mail server."""

    @property
    def log_name(self) -> str:
        """What the log file is called."""

    def stamp(self, at_ms: int) -> str:
        """What a line begins with, before the blank."""

    def account_of(self, customer: Customer) -> str:
        """The account of mail that a customer's script hands in."""

    def new_id(self, at_ms: int) -> str:
        """The queue id of a message that comes now."""

    def message_id(self, queue_id: str, at_ms: int) -> str:
        """The Message-ID of a bounce, as far as it is logged."""

    def arrival(self, message: Message) -> Iterator[Saying]: ...

    def attempts(
        self, message: Message, tries: Sequence[tuple[Course, Attempt]], number: int, at_ms: int
    ) -> Iterator[Saying]:
        """All that is tried at one time; `number` counts these times from 0."""

    def cancellation(self, message: Message, waiting: Sequence[Course], at_ms: int) -> Iterator[Saying]:
        """An administrator removes it."""

    def completion(self, message: Message, at_ms: int) -> Iterator[Saying]:
        """Nothing is left to do."""

    names_refused_login: bool
    """Whether the line of a refusal tells who logged in; else nobody's sender is believed there."""

    def refusal(self, refusal: Refusal) -> Iterator[Saying]: ...

    def noise(self) -> Iterator[Saying]:
        """Lines of no interest that stand between the others."""
