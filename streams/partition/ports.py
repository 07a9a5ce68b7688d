"""The ports of a partition's join: records from Kafka, results to Kafka, the table of parked messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # `postwatch read` needs neither Kafka nor Arrow
    from postwatch.producers.record import Heartbeat
    from postwatch.streams.contracts.dead_letters import DeadLetter
    from postwatch.streams.contracts.heartbeat import JoinedLines
    from postwatch.streams.contracts.outcome import Outcome

Confirm = Callable[[], None]


class RawRecord(Protocol):
    """What the join reads of a Kafka record."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
    @property
    def timestamp(self) -> int | None:
        """When Kafka took the record, in ms; None or 0: it does not say."""
        ...


class Outlet(Protocol):
    """Where results go. Each calls `confirm` once Kafka has the record for good."""

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Confirm) -> int:
        """Send rows, which are made as they are asked for, in as many records as it takes; returns their number; each
        is confirmed."""
        ...

    def send_heartbeat(self, server: str, beat: Heartbeat, joined: JoinedLines, confirm: Confirm) -> None: ...

    def send_dead_letter(self, letter: DeadLetter, confirm: Confirm) -> None: ...


class ParkedTable(Protocol):
    """The table of one partition. A write is visible at once and confirmed when the changelog has it."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def all_keys(self) -> list[bytes]: ...
