from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from postwatch.producers.service.errors import BadInputError
from postwatch.query.access import tokens as tokens_module
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import (
    CACHE_SECONDS,
    DAY_MS,
    TokenBook,
    TokenScope,
    check_scope,
    read_bearer,
    tokens,
)
from postwatch.query.errors import StateError
from postwatch.query.viewer import Viewer

ANNA = TokenScope(accounts=frozenset({"anna@a.example"}))
EVERYTHING = TokenScope(sees_all=True)


@pytest.fixture
def other_store(state_address: str) -> Iterator[StateStore]:
    """Another worker, or another server, on the same state."""
    opened = StateStore(state_address)
    yield opened
    opened.close()


def last_used(store: StateStore) -> int | None:
    (row,) = store.read(sa.select(tokens.c.last_used_at))
    return row.last_used_at  # type: ignore[no-any-return]


def test_a_token_is_its_scope_and_no_more(store: StateStore) -> None:
    book = TokenBook(store)
    domains = TokenScope(domains=frozenset({"a.example"}))
    for scope, viewer in [
        (ANNA, Viewer("x", mailboxes=frozenset({"anna@a.example"}))),
        (domains, Viewer("x", domains=frozenset({"a.example"}))),
        (EVERYTHING, Viewer("x", sees_all=True)),
        (TokenScope(sees_all=True, is_engineer=True), Viewer("x", sees_all=True, is_engineer=True)),
        (TokenScope(sees_all=True, hands_over=True), Viewer("x")),
    ]:
        secret, made = book.create("dashboard", scope, 1, "root")
        found = book.find(secret)
        assert found is not None
        assert found.scope == scope
        assert scope.viewer("x") == viewer
        assert found.viewer == scope.viewer(f"token dashboard ({made.id})")


def test_the_state_holds_no_token(store: StateStore) -> None:
    secret, _ = TokenBook(store).create("one", ANNA, 1, "root")
    kept = " ".join(str(value) for row in store.read(tokens.select()) for value in row)
    assert secret not in kept
    assert secret[3:] not in kept


def test_no_log_line_holds_a_token(
    store: StateStore, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
    try:
        book = TokenBook(store)
        secret, token = book.create("one", ANNA, 1, "root")
        assert book.find(secret)
        book.revoke(token.id, "root")
        assert book.find(secret) is None
        assert book.find(secret[:-1] + "x") is None
    finally:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
    out, err = capfd.readouterr()
    assert token.id in out + err + caplog.text
    assert secret[3:-1] not in out + err + caplog.text


def test_a_token_that_is_none_or_ended_is_refused(store: StateStore) -> None:
    now = [1_000_000]
    book = TokenBook(store, lambda: now[0])
    secret, _ = book.create("one", ANNA, 1, "root")
    assert book.find(secret)
    assert book.find(secret[:-1] + ("a" if secret[-1] != "a" else "b")) is None
    now[0] += DAY_MS - 1
    assert book.find(secret)
    now[0] += 1
    assert book.find(secret) is None


def test_another_worker_refuses_a_revoked_token_within_five_seconds(store: StateStore, other_store: StateStore) -> None:
    book, worker = TokenBook(store), TokenBook(other_store)
    secret, _ = book.create("one", ANNA, 1, "root")
    assert worker.find(secret)
    book.revoke("one", "root")
    revoked = time.monotonic()
    assert book.find(secret) is None
    while worker.find(secret):
        time.sleep(0.1)
        assert time.monotonic() - revoked < 5
    assert time.monotonic() - revoked <= CACHE_SECONDS + 1


def test_a_revocation_ends_the_token_of_the_id_or_all_of_the_name(store: StateStore) -> None:
    book = TokenBook(store)
    made = [book.create(name, ANNA, 1, "root") for name in ("one", "one", "two")]
    assert [token.id for token in book.revoke(made[2][1].id, "root")] == [made[2][1].id]
    assert book.find(made[0][0])
    assert {token.id for token in book.revoke("one", "root")} == {made[0][1].id, made[1][1].id}
    assert not any(book.find(secret) for secret, _ in made)
    assert book.revoke("one", "root") == []
    with pytest.raises(BadInputError, match="no token is called 'three'"):
        book.revoke("three", "root")


def test_many_requests_are_one_read_and_one_write(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "CACHE_SECONDS", 600)
    monkeypatch.setattr(tokens_module, "LAST_USED_SECONDS", 0.2)
    book = TokenBook(store)
    secret, _ = book.create("one", ANNA, 1, "root")
    statements: list[str] = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda _c, _u, text, *_: statements.append(text.split()[0]))
    assert book.find(secret)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: book.find(secret), range(1000)))
    assert "UPDATE" not in statements
    assert statements.count("SELECT") == 1
    assert last_used(store) is None
    book.start()
    deadline = time.monotonic() + 10
    while "UPDATE" not in statements and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    assert statements.count("UPDATE") == 1
    book.stop()
    assert statements.count("UPDATE") == 1
    assert last_used(store) is not None


def test_last_used_is_the_latest_of_all_workers(store: StateStore, other_store: StateStore) -> None:
    now = [1_000_000]
    book, worker = TokenBook(store, lambda: now[0]), TokenBook(other_store, lambda: now[0])
    secret, _ = book.create("one", ANNA, 1, "root")
    assert book.find(secret)
    now[0] += 5
    assert worker.find(secret)
    worker.write_last_used()
    book.write_last_used()
    assert last_used(store) == now[0]


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (TokenScope(), "needs a scope"),
        (TokenScope(sees_all=True, domains=frozenset({"a.example"})), "leave out the others"),
        (TokenScope(domains=frozenset({"a.example"}), is_engineer=True), "add --all"),
        (TokenScope(sees_all=True, is_engineer=True, hands_over=True), "not for both"),
    ],
)
def test_a_scope_says_one_thing(scope: TokenScope, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        check_scope(scope)


@pytest.mark.parametrize(("name", "days"), [("", 1), ("a\nb", 1), ("x" * 65, 1), ("one", 0), ("one", 3651)])
def test_a_token_has_a_name_and_an_end(store: StateStore, name: str, days: int) -> None:
    with pytest.raises(BadInputError):
        TokenBook(store).create(name, ANNA, days, "root")


def test_only_a_bearer_header_of_the_right_form_is_a_token(store: StateStore) -> None:
    secret, _ = TokenBook(store).create("one", ANNA, 1, "root")
    assert read_bearer(f"Bearer {secret}") == read_bearer(f"bearer {secret} ") == secret
    for header in (
        "",
        "Bearer",
        f"Basic {secret}",
        secret,
        f"Bearer {secret}x",
        "Bearer pw_",
        f"Bearer {secret} {secret}",
    ):
        assert read_bearer(header) is None


def test_a_locked_state_lets_no_token_in_and_keeps_when_it_was_used(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    store = StateStore(str(path))
    book = TokenBook(store)
    secret, _ = book.create("one", ANNA, 1, "root")
    assert book.find(secret)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StateError):
            book.create("two", ANNA, 1, "root")
        book.write_last_used()
        assert last_used(store) is None
        assert holder.stdin is not None
        holder.stdin.close()
    book.write_last_used()
    assert last_used(store) is not None
    store.close()


def test_a_state_that_cant_be_read_lets_no_token_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "CACHE_SECONDS", 0)
    path = tmp_path / "access.sqlite"
    store = StateStore(str(path))
    book = TokenBook(store)
    secret, _ = book.create("one", ANNA, 1, "root")
    assert book.find(secret)
    store.close()
    for each in tmp_path.glob("access.sqlite-*"):
        each.unlink()
    path.write_bytes(b"no database, " * 1000)
    with pytest.raises(StateError):
        book.find(secret)
    store.close()
