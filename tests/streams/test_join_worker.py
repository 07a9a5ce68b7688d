"""What ends a join worker at once, because Faust would go on without it."""

from __future__ import annotations

from postwatch.streams.join_worker import end_on_failed_writes


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
    assert failures == ["the local table took no write: No space left on device"] * 2
