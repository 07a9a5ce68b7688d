"""What is parked is always found, and what is not is seldom looked up."""

from __future__ import annotations

from postwatch.streams.joining.message import Message, begin_message
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.message_store import MessageStore
from postwatch.streams.partition.parked_keys import ParkedKeys, stored_key
from postwatch.streams.partition.ports import Confirm

SERVER = "web7.hosting.example"


class Table:
    """In memory; counts what is looked up."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {b"\0marks": b""}
        self.looked_up = 0

    def get(self, key: bytes) -> bytes | None:
        self.looked_up += 1
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        self.entries[key] = value
        confirm()

    def delete(self, key: bytes) -> None:
        del self.entries[key]

    def all_keys(self) -> list[bytes]:
        return list(self.entries)


def opened(table: Table) -> MessageStore:
    store = MessageStore(table, JoinCounts(), give_up_after_ms=1_000)
    store.open(0, lambda message: None)
    table.looked_up = 0
    return store


def parked(store: MessageStore, queue_id: str) -> Message:
    message = begin_message(SERVER, queue_id, 1)
    store.park(message, lambda: None)
    return message


def test_every_parked_message_is_found() -> None:
    table = Table()
    queue_ids = [f"7F{number:04X}" for number in range(3_000)]
    store = opened(table)
    for queue_id in queue_ids:
        parked(store, queue_id)
    for reader in (store, opened(table)):  # the one that parked them, and one that takes the table over
        found = [reader.find(SERVER, queue_id) for queue_id in queue_ids]
        assert [message.queue_id for message in found if message is not None] == queue_ids


def test_a_message_that_was_parked_and_closed_is_found() -> None:
    table = Table()
    store = opened(table)
    store.close(begin_message(SERVER, "7F00AA", 1), 12, lambda: None)
    assert store.find(SERVER, "7F00AA") is not None


def test_a_store_that_has_not_read_its_table_looks_every_message_up() -> None:
    table = Table()
    parked(opened(table), "7F00AA")
    assert MessageStore(table, JoinCounts(), give_up_after_ms=1_000).find(SERVER, "7F00AA") is not None


def test_a_new_message_is_seldom_looked_up() -> None:
    table = Table()
    store = opened(table)
    for number in range(1_000):
        parked(store, f"7F{number:04X}")
    table.looked_up = 0
    assert not any(store.find(SERVER, f"8A{number:04X}") for number in range(1_000))
    assert table.looked_up < 100  # 16 are likely


def test_the_bits_grow_with_the_table() -> None:
    known = [stored_key(SERVER, f"known-{number}") for number in range(20_000)]
    keys = ParkedKeys(known)
    assert all(map(keys.may_have, known))
    assert sum(keys.may_have(stored_key(SERVER, f"other-{number}")) for number in range(8_000)) < 1_200


def test_what_left_the_table_is_forgotten_when_it_is_read_anew() -> None:
    table = Table()
    store = opened(table)
    for number in range(1_000):
        parked(store, f"7F{number:04X}")
    for key in [key for key in table.entries if key != b"\0marks"]:
        table.delete(key)
    store.begin_sweep()
    table.looked_up = 0
    assert not any(store.find(SERVER, f"7F{number:04X}") for number in range(1_000))
    assert not table.looked_up
