"""The fetches that are not acknowledged yet, and the open messages that each of them waits for.

Invariant: a fetch is done only when Kafka has confirmed all that came of it, each message that it opened or changed is
parked or closed, and the outcomes of the fetches that closed these are confirmed. Fetches are done strictly in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from postwatch.streams.joining.message import Message, count_characters
from postwatch.streams.partition.ports import Confirm

MAX_RETAINED_FETCHES = 1000
"""When more fetches than this wait for an acknowledgement, the oldest are parked whatever their age."""
MAX_OPEN_MESSAGES = 50_000
"""Of a partition in memory; beyond, the oldest are parked whatever their age, and reading waits for the changelog."""
MAX_OPEN_CHARACTERS = 32 * 1024 * 1024
"""Of their lines, which strangers write; beyond, the same."""


@dataclass(eq=False, slots=True)
class RetainedFetch:
    """The records of one fetch that are not acknowledged yet."""

    first_offset: int
    last_offset: int
    arrived_at: int
    acknowledge: Confirm
    unconfirmed: int = 0
    messages: dict[Message, None] = field(default_factory=dict)
    """Open messages that this fetch opened or changed and no earlier one waits for."""
    pieces: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Server, file and byte range of the lines."""
    crossing: dict[RetainedFetch, list[tuple[str, str]]] = field(default_factory=dict)
    """Messages that it waited for, by the later fetch that closed them: their outcomes are confirmed with that one.

    Server and queue id alone: most messages close in a moment, and their fetch may wait a minute for one that does not.
    """
    closed: list[tuple[Message, int]] = field(default_factory=list)
    """Closed messages that have an entry in the table, and the offset of the fetch that closed them."""

    def is_done(self) -> bool:
        return not self.unconfirmed and not self.messages and not any(later.unconfirmed for later in self.crossing)

    def confirm(self) -> None:
        self.unconfirmed -= 1


class RetainedFetches:
    """All of one partition, oldest first."""

    def __init__(self) -> None:
        self._fetches: deque[RetainedFetch] = deque()
        self._by_message: dict[Message, RetainedFetch] = {}
        self._characters: dict[Message, int] = {}
        """Of open messages, as they were when they changed last; and their sum."""
        self._all_characters = 0

    def __len__(self) -> int:
        return len(self._fetches)

    def __iter__(self) -> Iterator[RetainedFetch]:
        return iter(self._fetches)

    @property
    def open_messages(self) -> int:
        return len(self._by_message)

    @property
    def has_too_many_messages(self) -> bool:
        return len(self._by_message) > MAX_OPEN_MESSAGES or self._all_characters > MAX_OPEN_CHARACTERS

    @property
    def unconfirmed_since(self) -> int | None:
        """When the oldest fetch came whose results Kafka has not confirmed; None: nothing is in flight."""
        for fetch in self._fetches:
            if fetch.unconfirmed:
                return fetch.arrived_at
        return None

    def newest(self) -> RetainedFetch:
        return self._fetches[-1]

    def append(self, fetch: RetainedFetch) -> None:
        self._fetches.append(fetch)

    def fetch_of(self, message: Message) -> RetainedFetch | None:
        """The fetch that waits for this open message."""
        return self._by_message.get(message)

    def retain(self, message: Message, fetch: RetainedFetch) -> None:
        """Let `fetch` wait for a message, in place of the fetch that waited for it so far."""
        retained_by = self._by_message.get(message)
        if retained_by is not None:
            del retained_by.messages[message]
        self._by_message[message] = fetch
        fetch.messages[message] = None

    def measure(self, message: Message) -> None:
        """Count the memory of an open message that has changed."""
        characters = count_characters(message)
        self._all_characters += characters - self._characters.get(message, 0)
        self._characters[message] = characters

    def release(self, message: Message) -> RetainedFetch | None:
        """The message is parked or closed: returns the fetch that waited for it, if one did."""
        retained_by = self._by_message.pop(message, None)
        if retained_by is not None:
            del retained_by.messages[message]
            self._all_characters -= self._characters.pop(message, 0)
        return retained_by

    def done(self) -> list[RetainedFetch]:
        """The oldest fetches, as far as all of them are done."""
        return list(takewhile(RetainedFetch.is_done, self._fetches))

    def remove_oldest(self) -> None:
        self._fetches.popleft()
