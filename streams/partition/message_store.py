"""The parked messages of one partition: written to Faust's table, loaded back by a later event, deleted in the end.

Invariant: the entry of a closed message stays, marked closed, until the group's commit has passed the fetch that closed
it. So a crash finds every message as it was at the acknowledged offset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postwatch.streams.errors import StoreError
from postwatch.streams.joining.merge import merge
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.stored_message import OPEN, StoredMessage, decode_stored, encode_stored
from postwatch.streams.parsers.queue_ids import ANSWER_PREFIX
from postwatch.streams.partition.parked_keys import ParkedKeys, stored_key
from postwatch.streams.partition.ports import Confirm, ParkedTable

CORRELATION_WINDOW_MS = 3_600_000
"""How long a completed message is kept for a line of the message that it may have come from."""
ANSWERS_WINDOW_MS = 300_000
"""The same for what a client was told, which is logged at once. Every refusal makes such an entry."""
MAX_IN_FLIGHT = 20_000
"""Entries sent to the changelog and not confirmed; beyond, reading waits."""
MAX_IN_FLIGHT_BYTES = 16 * 1024 * 1024
"""Of those entries; the same."""

SWEEP_ENTRIES = 250
"""Tidied at a time, a few milliseconds of work; four times a second."""


class StoreCounts(Protocol):
    """What is counted of it, of all partitions together."""

    parked: int
    loaded: int
    given_up: int


class MessageStore:
    """Keys are server and queue id, values are messages."""

    def __init__(self, table: ParkedTable, counts: StoreCounts, give_up_after_ms: int) -> None:
        self.parked_messages = 0
        """Entries of the table."""
        self._table = table
        self._counts = counts
        self._give_up_after_ms = give_up_after_ms
        self._closed_by: dict[Message, int] = {}
        """Messages in memory that have an entry in the table, and what closed that: OPEN, or the offset of a fetch."""
        self._to_delete: list[tuple[int, bytes]] = []
        self._unswept: list[bytes] = []
        self._keys: ParkedKeys | None = None
        """None: the table was not read yet."""
        self._in_flight = 0
        self._in_flight_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether reading has to wait until the changelog has taken more."""
        return self._in_flight > MAX_IN_FLIGHT or self._in_flight_bytes > MAX_IN_FLIGHT_BYTES

    def find(self, server: str, queue_id: str) -> Message | None:
        """The message as it was parked. Raises StoreError where the table can't be read."""
        key = stored_key(server, queue_id)
        if self._keys is not None and not self._keys.may_have(key):
            return None
        stored = self._entry(key)
        if stored is None:
            return None
        self._closed_by[stored.message] = stored.closed_by_offset
        self._counts.loaded += 1
        return stored.message

    def forget_loaded(self, message: Message) -> int | None:
        """The message closes: what closed its entry so far, OPEN or an offset; None where it has no entry."""
        return self._closed_by.pop(message, None)

    def park(self, message: Message, confirm: Confirm) -> None:
        """Write an open message; `confirm` is called once the changelog has it."""
        key = stored_key(message.server, message.queue_id)
        is_new = False
        if self._closed_by.pop(message, None) is None:
            earlier = self._entry(key)
            if earlier is None:
                is_new = True
            elif earlier.message.queued_at == message.queued_at:
                merge(message, earlier.message)
        entry = encode_stored(message)
        self.parked_messages += is_new
        self._in_flight += 1
        self._in_flight_bytes += len(entry)

        def confirm_entry() -> None:
            self._in_flight -= 1
            self._in_flight_bytes -= len(entry)
            confirm()

        self._put(key, entry, confirm_entry)
        self._counts.parked += 1

    def close(self, message: Message, closed_by_offset: int, confirm: Confirm) -> None:
        """Mark the entry of a message that has closed; it is deleted once the commit has passed that offset."""
        key = stored_key(message.server, message.queue_id)
        self._to_delete.append((closed_by_offset, key))
        stored = self._entry(key)
        if stored is None or stored.message.queued_at == message.queued_at:
            self._put(key, encode_stored(message, closed_by_offset), confirm)
        else:
            confirm()  # the queue id is in use again, and the entry is the new message's

    def delete_closed(self, committed: int) -> None:
        """Delete closed messages that the commit has passed."""
        passed = [key for offset, key in self._to_delete if offset < committed]
        if not passed:
            return
        self._to_delete = [entry for entry in self._to_delete if entry[0] >= committed]
        for key in passed:
            stored = self._entry(key)
            if stored is not None and OPEN < stored.closed_by_offset < committed:
                self._table.delete(key)
                self.parked_messages -= 1

    def open(self, now: int, note_open: Callable[[Message], None]) -> None:
        """Count and tidy the whole table, at the start; `note_open` is told each message that is parked and goes on."""
        keys = self._read_keys()
        self.parked_messages = len(keys)
        for key in keys:
            message = self._tidy(key, now)
            if message is not None:
                note_open(message)

    def begin_sweep(self) -> None:
        """The whole table is to be tidied again; what is left of the sweep before is done first."""
        if not self._unswept:
            self._unswept = self._read_keys()

    def sweep(self, now: int) -> None:
        """Tidy some entries of the sweep: a table of a million, read at once, would hold the join up for a minute."""
        some = self._unswept[-SWEEP_ENTRIES:]
        del self._unswept[-SWEEP_ENTRIES:]
        for key in some:
            self._tidy(key, now)

    def _read_keys(self) -> list[bytes]:
        """Of all messages in the table."""
        keys = [key for key in self._table.all_keys() if not key.startswith(b"\0")]
        self._keys = ParkedKeys(keys)
        return keys

    def _put(self, key: bytes, entry: bytes, confirm: Confirm) -> None:
        if self._keys is not None:
            self._keys.add(key)
        self._table.put(key, entry, confirm)

    def _tidy(self, key: bytes, now: int) -> Message | None:
        """Find a closed entry that a crash left behind, drop a message older than the MTA's longest retry.

        Returns the message of an entry that goes on.
        """
        stored = self._entry(key)
        if stored is None:
            return None
        message = stored.message
        if stored.closed_by_offset != OPEN:
            self._to_delete.append((stored.closed_by_offset, key))
            return None
        if not 0 < message.completed_at < now - _window_of(message):
            if message.queued_at >= now - self._give_up_after_ms:
                return message
            self._counts.given_up += 1
        self._table.delete(key)
        self.parked_messages -= 1
        return None

    def _entry(self, key: bytes) -> StoredMessage | None:
        try:
            value = self._table.get(key)
        except Exception as error:  # whatever the local store raises
            raise StoreError(f"the table of parked messages can't be read: {error}") from error
        return decode_stored(value) if value is not None else None


def _window_of(message: Message) -> int:
    return ANSWERS_WINDOW_MS if message.queue_id.startswith(ANSWER_PREFIX) else CORRELATION_WINDOW_MS
