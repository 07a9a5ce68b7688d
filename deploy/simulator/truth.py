"""The true status of each simulated recipient, as the table `deliveries` should show it.

A row is what one account sees of one recipient of one message. The truth is a function of the log lines written so far:
a message whose delivery isn't logged yet is pending, or deferred.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PENDING, DEFERRED, DELIVERED, BOUNCED = "pending", "deferred", "delivered", "bounced"
EXPIRED, REJECTED, DISCARDED, CANCELLED = "expired", "rejected", "discarded", "cancelled"
SENT, RECEIVED = "sent", "received"


class TruthRow(NamedTuple):
    """The fields are those of a delivery row; a refusal at RCPT has neither queue id nor Message-ID."""

    server: str
    queue_id: str
    message_id: str
    account: str
    direction: str
    sender: str
    recipient: str
    original_recipient: str
    status: str


RowKey = tuple[str, ...]
"""The fields before the original recipient; the Message-ID among them, for a queue id may be used again."""


class Truth:
    """The rows that are true now."""

    def __init__(self) -> None:
        self._rows: dict[RowKey, TruthRow] = {}
        self._refusals: list[TruthRow] = []

    def apply(self, rows: Iterable[TruthRow]) -> None:
        """Take in what a line changes; a row with an empty status is retracted, as an alias is by its addresses."""
        for row in rows:
            if not row.queue_id:
                self._refusals.append(row)
                continue
            key = row[:7]
            if row.status:
                self._rows[key] = row
            else:
                self._rows.pop(key, None)

    def rows(self) -> list[TruthRow]:
        return [*self._rows.values(), *self._refusals]


def write_truth(path: Path, rows: Iterable[TruthRow]) -> None:
    """A JSON list of objects, one for each row."""
    path.write_text("[\n" + ",\n".join(json.dumps(row._asdict()) for row in rows) + "\n]\n")
