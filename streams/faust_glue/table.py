"""One partition of a Faust table, written with an explicit partition, so that timers may write too.

Invariant: the local store holds what the changelog has confirmed, up to the offset that is stored beside it, and
nothing else. Entries in flight are kept in memory. So a worker that dies leaves no entry that its successor never
saw, and a worker whose changelog has entries of another one reads these when it recovers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import structlog
from faust.tables import TableManager
from faust.types import TP
from postwatch.streams.faust_glue.internals import keys_of, partition_database
from postwatch.streams.partition.ports import Confirm

log = structlog.get_logger()


class Tables(TableManager):
    """Each table is there before the app starts. Faust waits for a second, for modules that make others meanwhile."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


WRITER_EPOCH = "writer"
"""Header of an entry: the writer epoch, one worker's time with the partition. Brokers do not check it."""


class FaustTable:
    """The table as `partition_join` wants it. `fail` is called with what ends the process."""

    def __init__(self, table: Any, partition: int, fail: Callable[[str], None]) -> None:
        self._table = table
        self._place = TP(table.changelog_topic.get_topic_name(), partition)
        self._fail = fail
        self._db = partition_database(table, partition)
        self._in_flight: dict[bytes, tuple[int, bytes | None]] = {}
        """Key → number of the newest send, and its value; None: deleted."""
        self._sends = 0
        self._headers = [(WRITER_EPOCH, secrets.token_hex(4).encode())]
        self._stored_offset: int | None = table.data.persisted_offset(self._place)
        self._is_only_writer = True
        """Nobody else has written to the changelog since this worker took over."""

    @property
    def has_sends_in_flight(self) -> bool:
        return bool(self._in_flight)

    def close(self) -> None:
        """Let go of the local store, which must be closed before the partition can be opened again."""
        self._db = None

    def get(self, key: bytes) -> bytes | None:
        sent = self._in_flight.get(key)
        value: bytes | None = sent[1] if sent is not None else self._db.get(key)
        return value

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        self._send(key, value, confirm)

    def delete(self, key: bytes) -> None:
        self._send(key, None, lambda: None)

    def all_keys(self) -> list[bytes]:
        keys = keys_of(self._table, self._db)
        for key, (_, value) in self._in_flight.items():
            (keys.discard if value is None else keys.add)(key)
        return list(keys)

    def _send(self, key: bytes, value: bytes | None, confirm: Confirm) -> None:
        self._sends += 1
        number = self._sends
        self._in_flight[key] = number, value

        def sent(future: asyncio.Future[Any]) -> None:
            if future.cancelled() or future.exception() is not None:
                error = "cancelled" if future.cancelled() else future.exception()
                self._fail(f"an entry could not be written to the changelog: {error}")
                return
            try:
                self._store(key, value, future.result().offset)
            except Exception as error:  # the loop would only log it, and the acknowledgement wait for ever
                self._fail(f"the local table could not be written: {error}")
                return
            if self._in_flight[key][0] == number:
                del self._in_flight[key]
            confirm()

        # Not the table's own `send_changelog`: it would store the offset before the entry, and whoever else wrote.
        topic = self._table.changelog_topic
        topic.send_soon(
            key=key,
            value=value,
            partition=self._place.partition,
            headers=self._headers,
            key_serializer=self._table.key_serializer,
            value_serializer=self._table.value_serializer,
            eager_partitioning=True,
        ).add_done_callback(sent)

    def _store(self, key: bytes, value: bytes | None, kafka_offset: int) -> None:
        if value is None:
            self._db.delete(key)
        else:
            self._db.put(key, value)
        expected = 0 if self._stored_offset is None else self._stored_offset + 1
        if self._is_only_writer and kafka_offset != expected:
            self._is_only_writer = False
            log.warning(
                "changelog_has_other_entries", partition=self._place.partition, expected=expected, got=kafka_offset
            )
        if self._is_only_writer:
            self._stored_offset = kafka_offset
            # Into this database: when Faust has let go of it, as at a stop, its own way would open it once more.
            self._db.put(self._table.data.offset_key, b"%d" % kafka_offset)


class ChangelogEntry(NamedTuple):
    """One record of a changelog, as Faust's store wants its events."""

    tp: TP
    partition: int
    offset: int
    key: bytes
    value: bytes | None

    @property
    def message(self) -> ChangelogEntry:
        return self


def unpack_fetches(store: Any) -> None:
    """Let the store take events of whole fetches (`transport.Span`) when the table is recovered."""
    apply = store.apply_changelog_batch

    def apply_changelog_batch(batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        entries = [
            ChangelogEntry(event.message.tp, event.message.partition, record.offset, record.key, record.value)
            for event in batch
            for record in event.message.value.records
        ]
        apply(entries, to_key=to_key, to_value=to_value)

    store.apply_changelog_batch = apply_changelog_batch


def end_on_failed_writes(store: Any, fail: Callable[[str], None]) -> None:
    """Let a write that fails while the table is recovered end the process, as any other does: a full disk, say.

    Faust logs the error and tries again for ever, but RocksDB takes no write after a failed one until it is opened
    anew; the worker would keep its partitions and do nothing.
    """

    def guarded(write: Callable[..., None]) -> Callable[..., None]:
        def guard(*arguments: Any, **options: Any) -> None:
            try:
                write(*arguments, **options)
            except Exception as error:
                fail(f"the local table could not be written: {error}")

        return guard

    store.apply_changelog_batch = guarded(store.apply_changelog_batch)
    store.set_persisted_offset = guarded(store.set_persisted_offset)
