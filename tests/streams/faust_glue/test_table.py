"""The join's table over Faust's: what is in the local store, and what ends the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from postwatch.streams.faust_glue.table import FaustTable, end_on_failed_writes, unpack_fetches
from postwatch.streams.faust_glue.transport import Span

PLACE = TP("parked-changelog", 3)


@dataclass
class Sent:
    """A send that the changelog has taken, or has not."""

    key: bytes
    value: bytes | None
    offset: int = -1
    confirmed: Callable[[Sent], None] = lambda _: None
    error: Exception | None = None

    def add_done_callback(self, confirmed: Callable[[Sent], None]) -> None:
        self.confirmed = confirmed

    def cancelled(self) -> bool:
        return False

    def exception(self) -> Exception | None:
        return self.error

    def result(self) -> Sent:
        return self

    def arrive(self, offset: int) -> None:
        self.offset = offset
        self.confirmed(self)


@dataclass
class Faust:
    """Table, store, local database and changelog topic in one."""

    local: dict[bytes, bytes] = field(default_factory=dict)
    stored: list[int] = field(default_factory=list)
    sends: list[Sent] = field(default_factory=list)
    offset_key = b"the offset"
    key_serializer = value_serializer = None

    @property
    def data(self) -> Faust:
        return self

    @property
    def changelog_topic(self) -> Faust:
        return self

    def get_topic_name(self) -> str:
        return PLACE.topic

    def persisted_offset(self, place: TP) -> int | None:
        assert place == PLACE
        return self.stored[-1] if self.stored else None

    def _db_for_partition(self, partition: int) -> dict[bytes, Any]:
        assert partition == PLACE.partition
        return Database(self)

    def send_soon(self, *, key: bytes, value: bytes | None, partition: int, **_: object) -> Sent:
        assert partition == PLACE.partition
        self.sends.append(Sent(key, value))
        return self.sends[-1]


class Database(dict[bytes, bytes]):
    """rocksdict's names over a dict that outlives it."""

    def __init__(self, faust: Faust) -> None:
        self.faust = faust
        self.entries = faust.local

    def get(self, key: bytes) -> bytes | None:  # type: ignore[override]
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        if key == Faust.offset_key:
            self.faust.stored.append(int(value))
        else:
            self.entries[key] = value

    def delete(self, key: bytes) -> None:
        self.entries.pop(key, None)

    def keys(self) -> Any:
        return self.entries.keys()


def open_table(faust: Faust, failures: list[str] | None = None) -> FaustTable:
    return FaustTable(faust, PLACE.partition, (failures if failures is not None else []).append)


def test_an_entry_is_seen_at_once_and_stored_when_the_changelog_has_it() -> None:
    faust, confirmed = Faust(), list[str]()
    table = open_table(faust)
    table.put(b"key", b"value", lambda: confirmed.append("key"))
    assert (table.get(b"key"), table.all_keys(), faust.local, confirmed) == (b"value", [b"key"], {}, [])
    faust.sends[0].arrive(0)
    assert (table.get(b"key"), faust.local, faust.stored, confirmed) == (b"value", {b"key": b"value"}, [0], ["key"])


def test_a_full_disk_ends_the_worker() -> None:
    class FullDatabase(Database):
        def put(self, key: bytes, value: bytes) -> None:
            raise OSError("No space left on device")

    class Full(Faust):
        def _db_for_partition(self, partition: int) -> dict[bytes, Any]:
            return FullDatabase(self)

    faust, failures, confirmed = Full(), list[str](), list[str]()
    open_table(faust, failures).put(b"key", b"value", lambda: confirmed.append("key"))
    faust.sends[0].arrive(0)
    assert failures == ["the local table could not be written: No space left on device"]
    assert not confirmed


def test_an_entry_that_arrives_when_faust_has_let_go_of_the_database_is_stored() -> None:
    faust, failures = Faust(), list[str]()
    table = open_table(faust, failures)
    table.put(b"key", b"value", lambda: None)

    def open_again(partition: int) -> dict[bytes, Any]:
        raise OSError("lock hold by current process")

    faust._db_for_partition = open_again  # type: ignore[method-assign]
    faust.sends[0].arrive(0)
    assert (faust.local, faust.stored, failures) == ({b"key": b"value"}, [0], [])


def test_a_worker_that_dies_leaves_nothing_that_its_successor_never_saw() -> None:
    faust = Faust()
    open_table(faust).put(b"key", b"never arrived", lambda: None)
    assert open_table(faust).get(b"key") is None


def test_a_deleted_entry_is_gone_at_once_and_from_the_store_when_the_changelog_knows() -> None:
    faust = Faust({b"key": b"value", Faust.offset_key: b"7"}, [7])
    table = open_table(faust)
    table.delete(b"key")
    assert (table.get(b"key"), table.all_keys(), faust.local[b"key"]) == (None, [], b"value")
    faust.sends[0].arrive(8)
    assert (table.get(b"key"), b"key" in faust.local, faust.stored[-1]) == (None, False, 8)


def test_the_newest_of_several_sends_of_a_key_counts() -> None:
    faust = Faust()
    table = open_table(faust)
    table.put(b"key", b"first", lambda: None)
    table.put(b"key", b"second", lambda: None)
    faust.sends[0].arrive(0)
    assert table.get(b"key") == b"second"
    faust.sends[1].arrive(1)
    assert (table.get(b"key"), faust.local) == (b"second", {b"key": b"second"})


def test_what_somebody_else_wrote_in_between_is_read_when_the_table_is_recovered() -> None:
    faust = Faust(stored=[100])
    table = open_table(faust)
    for key, offset in ((b"a", 101), (b"b", 151), (b"c", 152)):
        table.put(key, b"value", lambda: None)
        faust.sends[-1].arrive(offset)
    assert faust.stored == [100, 101], "else the recovery would begin behind 102 to 150"
    assert set(faust.local) == {b"a", b"b", b"c"}


def test_a_store_that_never_recovered_a_changelog_with_entries_begins_at_its_start() -> None:
    faust = Faust()
    table = open_table(faust)
    table.put(b"key", b"value", lambda: None)
    faust.sends[0].arrive(5)
    assert faust.stored == []


def test_an_entry_that_the_changelog_refuses_ends_the_process() -> None:
    faust, failures, confirmed = Faust(), list[str](), list[str]()
    open_table(faust, failures).put(b"key", b"value", lambda: confirmed.append("key"))
    faust.sends[0].error = ValueError("too large")
    faust.sends[0].arrive(-1)
    assert (failures, confirmed) == (["an entry could not be written to the changelog: too large"], [])


class Store:
    """A table's local store, on a disk that may be full."""

    def __init__(self) -> None:
        self.written: list[object] = []
        self.is_full = False

    def apply_changelog_batch(self, batch: list[object], to_key: object, to_value: object) -> None:
        self._write(*batch)

    def set_persisted_offset(self, partition: object, kafka_offset: int) -> None:
        self._write(kafka_offset)

    def _write(self, *values: object) -> None:
        if self.is_full:
            raise OSError("No space left on device")
        self.written += values


def test_a_write_that_fails_while_the_table_is_recovered_ends_the_process() -> None:
    store, failures = Store(), list[str]()
    end_on_failed_writes(store, failures.append)
    store.apply_changelog_batch(["entry"], to_key=None, to_value=None)
    store.set_persisted_offset(("changelog", 0), 7)
    assert store.written == ["entry", 7]
    assert failures == []
    store.is_full = True
    store.apply_changelog_batch(["entry"], to_key=None, to_value=None)
    store.set_persisted_offset(("changelog", 0), 8)
    assert failures == ["the local table could not be written: No space left on device"] * 2


def test_a_fetch_of_the_changelog_is_written_entry_by_entry() -> None:
    records = [
        SimpleNamespace(offset=4, key=b"one", value=b"first"),
        SimpleNamespace(offset=7, key=b"one", value=b"newer"),
        SimpleNamespace(offset=8, key=b"two", value=None),
    ]
    store = Store()
    unpack_fetches(store)
    fetches = [fetch_of(records[:2]), fetch_of(records[2:])]
    store.apply_changelog_batch(fetches, to_key=None, to_value=None)
    assert store.written == [
        (PLACE, 3, 4, b"one", b"first"),
        (PLACE, 3, 7, b"one", b"newer"),
        (PLACE, 3, 8, b"two", None),
    ]


def fetch_of(records: list[SimpleNamespace]) -> Any:
    """As Faust's recovery has it: an event with a message."""
    span = Span(records, records[0].offset, records[-1].offset + 1)
    return SimpleNamespace(message=SimpleNamespace(tp=PLACE, partition=PLACE.partition, value=span))
