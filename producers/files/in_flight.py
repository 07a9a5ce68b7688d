"""What Kafka has of one file: the position up to which every record is acknowledged.

Pure. The position moves only over acknowledged records, in the order in which they were sent; an acknowledgement that
comes early waits for those before it. So a checkpoint never passes a line that Kafka doesn't have.
"""

from __future__ import annotations

from postwatch.producers.files.fingerprint import START, Position


class InFlightTracker:
    """The records of one file that are in flight: sent and not acknowledged.

    Most files have none, and a list is the smallest of what may be empty; the bytes in flight bound it.
    """

    __slots__ = ("_early", "_waiting", "acknowledged")

    def __init__(self, acknowledged: Position = START) -> None:
        self.acknowledged = acknowledged
        self._waiting: list[Position] = []
        self._early: set[Position] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether no record is in flight."""
        return not self._waiting

    def send(self, end: Position) -> None:
        """A record that ends there was handed to Kafka's client."""
        self._waiting.append(end)

    def acknowledge(self, end: Position) -> None:
        """Kafka has the record that ends there."""
        early = self._early or set()
        early.add(end)
        while self._waiting and self._waiting[0] in early:
            self.acknowledged = self._waiting.pop(0)
            early.remove(self.acknowledged)
        self._early = early or None
