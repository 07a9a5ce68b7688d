"""Open messages of `postwatch read` that memory has no room for: laid aside in a temporary file.

Invariant: they are kept as the join keeps parked messages, and the next line of one loads it back, so no row changes.
"""

from __future__ import annotations

import sqlite3

from postwatch.streams.commands.newest_rows import NO_ROOM
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.errors import StoreError
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.message import Message
from postwatch.streams.parsers.queue_ids import PIECE_PREFIX
from postwatch.streams.partition.message_store import MessageStore
from postwatch.streams.partition.ports import Confirm

MOST_OPEN = 8_000
"""Messages in memory; beyond, the older half is laid aside."""
_NEVER_MS = 1 << 60
_CACHE_KIB = 4096


class LaidAside:
    """Finds messages for a joiner, and keeps its memory bounded."""

    def __init__(self) -> None:
        self._table = _Table()
        self._store = MessageStore(self._table, _Counts(), _NEVER_MS)

    def find(self, server: str, queue_id: str) -> Message | None:
        """What the joiner asks for each message that it does not have in memory."""
        return self._store.find(server, queue_id) if self._store.parked_messages else None

    def tidy(self, joiner: Joiner, changed: list[Message]) -> list[Outcome]:
        """After each turn: forget what was closed, and lay aside what is too much. Returns pending rows."""
        if self._store.parked_messages:
            for message in changed:
                if message.is_closed() and self._store.forget_loaded(message) is not None:
                    self._store.close(message, 0, _do_nothing)
            self._store.delete_closed(1)
        if joiner.count_open() <= MOST_OPEN:
            return []
        messages = list(joiner.open_messages())
        rows: list[Outcome] = []
        for message in messages[: len(messages) - MOST_OPEN // 2]:
            if message.queue_id.startswith(PIECE_PREFIX):
                continue  # is unreadable if its file ends
            rows += joiner.pending_rows(message)
            if not message.is_closed():
                self._store.park(message, _do_nothing)
            joiner.forget(message)
        return rows


class _Counts:
    """Nobody asks for them."""

    parked = loaded = given_up = 0


class _Table:
    """A ParkedTable in a file that goes with the process."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None

    def _execute(self, statement: str, *values: bytes) -> sqlite3.Cursor:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect("", isolation_level=None)
                self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self._connection.execute("PRAGMA journal_mode = OFF")
                self._connection.execute("CREATE TABLE parked (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise StoreError(f"{NO_ROOM}: {error}") from error

    def get(self, key: bytes) -> bytes | None:
        found = self._execute("SELECT value FROM parked WHERE key = ?", key).fetchone()
        return found[0] if found is not None else None

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        self._execute("REPLACE INTO parked VALUES (?, ?)", key, value)
        confirm()

    def delete(self, key: bytes) -> None:
        self._execute("DELETE FROM parked WHERE key = ?", key)

    def all_keys(self) -> list[bytes]:
        return [key for (key,) in self._execute("SELECT key FROM parked")]


def _do_nothing() -> None:
    """The file has it at once."""
