"""A message as it is handed in, and what the line of a server may say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from postwatch.deploy.simulator.courses import Course
from postwatch.deploy.simulator.provider import Customer


@dataclass(frozen=True, slots=True)
class Client:
    """Who hands mail in over the network: a customer's mail program, or a far server."""

    host: str
    """Its name by its address; empty where it has none."""
    greeting: str
    """What it calls itself."""
    address: str
    port: int
    login: str = ""
    """Whom it logged in as."""


Origin = Client | Customer | str
"""Who hands a message in: a client, a customer's script on the server itself, or the server, because the message of
that queue id failed."""


@dataclass(frozen=True, slots=True)
class Message:
    server: str
    at_ms: int
    queue_id: str
    message_id: str
    """As the log has it; empty where it is not logged."""
    sender: str
    """Empty for a bounce."""
    account: str
    """Whose mail it is, as far as the sender is a customer; else empty."""
    origin: Origin
    subject: str
    size_bytes: int
    courses: tuple[Course, ...]
    """Of recipients that differ."""
    is_cancelled: bool = False
    """An administrator removes it from the queue when the first retry is done."""
    source_ip: str = ""
    """The address that it leaves from."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient that is refused before there is a message."""

    client: Client
    sender: str
    recipient: str

    @property
    def is_over_limit(self) -> bool:
        """The customer has sent too much; else there is no such recipient."""
        return bool(self.client.login)


class RecipientStatus(NamedTuple):
    """The status that a line gives to a recipient."""

    recipient: str
    original: str
    status: str


class Saying(NamedTuple):
    """A line without its stamp."""

    text: str
    statuses: tuple[RecipientStatus, ...] = ()
