from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.state import SCHEMA, StateStore, facts, metadata
from postwatch.query.answers import public_words, status_of
from postwatch.query.errors import StateError


def put(store: StateStore, name: str, value: bytes = b"x") -> int:
    return store.write(store.insert(facts).values(name=name, value=value).on_conflict_do_nothing())


def names(store: StateStore) -> list[str]:
    return [row.name for row in store.read(sa.select(facts.c.name).where(facts.c.name != "schema").order_by("name"))]


def test_what_one_worker_writes_another_reads(store: StateStore, state_address: str) -> None:
    other = StateStore(state_address)
    assert put(store, "a") == 1
    assert put(other, "a") == 0
    assert put(other, "b") == 1
    assert names(store) == names(other) == ["a", "b"]
    assert store.write(facts.delete().where(facts.c.name == "a")) == 1
    assert names(other) == ["b"]
    other.close()


def test_something_is_taken_once_by_all_workers_together(store: StateStore, state_address: str) -> None:
    workers = [store, *(StateStore(state_address) for _ in range(3))]
    with ThreadPoolExecutor(16) as threads:
        taken = list(threads.map(lambda number: put(workers[number % 4], "link"), range(64)))
    assert sum(taken) == 1
    for worker in workers[1:]:
        worker.close()


def test_a_count_in_a_transaction_loses_nothing(store: StateStore, state_address: str) -> None:
    put(store, "count", b"0")
    workers = [store, StateStore(state_address)]

    def add(number: int) -> None:
        with workers[number % 2].transaction() as connection:
            count = connection.execute(
                sa.select(facts.c.value).where(facts.c.name == "count").with_for_update()
            ).scalar_one()
            connection.execute(facts.update().where(facts.c.name == "count").values(value=b"%d" % (int(count) + 1)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(50)))
    (row,) = store.read(sa.select(facts.c.value).where(facts.c.name == "count"))
    assert row.value == b"50"
    workers[1].close()


def test_a_transaction_that_fails_changes_nothing(store: StateStore) -> None:
    def fail() -> None:
        with store.transaction() as connection:
            connection.execute(store.insert(facts).values(name="a", value=b""))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(store) == []


def test_workers_that_start_together_make_the_tables_once(state_address: str) -> None:
    workers = [StateStore(state_address) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda worker: worker.prepare(), workers))
    assert names(workers[0]) == []
    for worker in workers:
        worker.close()


def test_a_state_of_a_newer_version_is_refused(store: StateStore, state_address: str) -> None:
    store.write(_schema(store, SCHEMA + 1))
    newer = StateStore(state_address)
    with pytest.raises(StateError, match="newer Postwatch"):
        newer.prepare()
    newer.close()


def _schema(store: StateStore, version: int) -> sa.Executable:
    store.prepare()
    return facts.update().where(facts.c.name == "schema").values(value=str(version).encode())


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = StateStore(str(tmp_path / "new" / "access.sqlite"))
    put(store, "a")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {0o600}
    store.close()
    (tmp_path / "new" / "access.sqlite").chmod(0o644)
    store = StateStore(str(tmp_path / "new" / "access.sqlite"))
    store.prepare()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {0o600}
    store.close()


def refused(store: StateStore, word: str) -> None:
    """A write fails as a StateError, which is a 503 with plain words."""
    with pytest.raises(StateError, match=word) as caught:
        put(store, "secret-name", b"secret-value")
    assert "secret" not in str(caught.value)
    assert status_of(caught.value) == (503, "log_in_unavailable")
    assert "og-in is not available at the moment" in public_words(caught.value)
    with pytest.raises(StateError):
        store.check()


def test_a_locked_state_is_said(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    store = StateStore(str(path))
    store.prepare()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        refused(store, "locked")
        other.execute("ROLLBACK")
    other.close()
    assert put(store, "a") == 1
    store.close()


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """With a limit of the size of files, which the kernel enforces as it does a full disk, in a process of its own."""
    program = """
import resource, signal, sys
from postwatch.query.access.state import StateStore, facts
from postwatch.query.errors import StateError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = StateStore(sys.argv[1])
store.prepare()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for number in range(100):
        store.write(store.insert(facts).values(name=str(number), value=bytes(10_000)))
except StateError as error:
    print(number, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "access.sqlite"], capture_output=True, text=True, check=True
    )
    number, _, words = done.stdout.splitlines()[-1].partition(" ")
    assert 0 < int(number) < 99
    assert "can't be used" in words


def test_a_read_only_state_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    store = StateStore(str(folder / "access.sqlite"))
    put(store, "a")
    store.close()
    with sqlite3.connect(folder / "access.sqlite") as connection:
        connection.execute("PRAGMA query_only = 1")
    connection.close()
    store = StateStore(f"sqlite:///file:{folder / 'access.sqlite'}?mode=ro&uri=true")
    refused(store, "readonly|read-only|unable to open")
    store.close()


def test_a_state_that_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    path.write_bytes(b"not a database, " * 1000)
    store = StateStore(str(path))
    refused(store, "not a database")
    store.close()


def test_a_folder_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = StateStore(str(tmp_path / "file" / "access.sqlite"))
    refused(store, "can't be used")
    store.close()


def test_a_state_that_comes_back_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    path.write_bytes(b"not a database, " * 1000)
    store = StateStore(str(path))
    refused(store, "not a database")
    path.unlink()
    assert put(store, "a") == 1
    store.close()


def test_a_database_that_is_away_is_said_without_its_password() -> None:
    store = StateStore(f"postgresql://postwatch:hunter2@127.0.0.1:{choose_port()}/postgres")
    with pytest.raises(StateError, match="can't be used") as caught:
        store.prepare()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(store)
    store.close()


@pytest.mark.parametrize("address", ["", "mysql://root:hunter2@host/db", "sqlite://", "://"])
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_ACCESS_STATE") as caught:
        StateStore(address)
    assert "hunter2" not in str(caught.value)


def test_a_slow_state_does_not_stop_the_event_loop(tmp_path: Path) -> None:
    import asyncio

    store = StateStore(str(tmp_path / "access.sqlite"))
    loop_thread = threading.get_ident()

    async def ask() -> int:
        return await store.apart(threading.get_ident)

    assert asyncio.run(ask()) != loop_thread
    store.close()


def test_tables_are_named_as_ours() -> None:
    assert all(name.startswith("postwatch_") for name in metadata.tables)
