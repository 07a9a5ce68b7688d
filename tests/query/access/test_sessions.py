"""Sessions and tries in SQLite and in PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from postwatch.query.access.roles import Identity
from postwatch.query.access.sessions import CLAIM_MS, HAND_OVER_MS, SessionBook
from postwatch.query.access.state import StateStore
from postwatch.query.access.tries import MOST_OF_NAME, WINDOW_MS, TryBook
from postwatch.query.errors import TooManyTriesError

ANNA = Identity("anna@a.example", "imap", "anna@a.example")
HOUR_MS = 3_600_000


@dataclass
class Clock:
    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(store: StateStore, clock: Clock) -> SessionBook:
    return SessionBook(store, HOUR_MS, 12 * HOUR_MS, clock)


def test_a_session_is_found_until_it_ends(book: SessionBook, store: StateStore, clock: Clock) -> None:
    cookie, session = book.begin(ANNA, "print")
    other = SessionBook(store, HOUR_MS, 12 * HOUR_MS, clock)
    assert other.find(cookie) == session
    clock.now_ms += HOUR_MS - 1
    assert other.find(cookie) == session
    clock.now_ms += HOUR_MS
    assert book.find(cookie) is None
    again, _ = book.begin(ANNA, "")
    book.end(again)
    assert other.find(again) is None


def test_a_session_of_a_link_is_short(book: SessionBook, clock: Clock) -> None:
    cookie, _ = book.begin(Identity("anna@a.example", "hand-over", "anna@a.example"), "")
    clock.now_ms += HAND_OVER_MS
    assert book.find(cookie) is None


def test_one_worker_checks_at_a_time(book: SessionBook, clock: Clock) -> None:
    _, session = book.begin(ANNA, "")
    clock.now_ms += CLAIM_MS
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: book.claim_check(session), range(8))) == 1
    book.note_check(session)
    assert book.checked_ms(session) == clock.now_ms


def test_a_password_opens_for_its_session_alone(book: SessionBook) -> None:
    _, one = book.begin(ANNA, "")
    _, other = book.begin(ANNA, "")
    sealed = book.seal(one, "sécret")
    assert book.unseal(one, sealed) == "sécret"
    assert book.unseal(other, sealed) is None
    for bad in ("", "x", sealed[:-4], "A" * len(sealed), "é"):
        assert book.unseal(one, bad) is None


def test_many_tries_at_a_time_get_no_further_than_one_after_the_other(store: StateStore, clock: Clock) -> None:
    book = TryBook(store, clock)

    def may_try(_number: int) -> bool:
        try:
            book.begin("192.0.2.1", "anna@a.example")
        except TooManyTriesError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(may_try, range(3 * MOST_OF_NAME))) == MOST_OF_NAME
    book.begin("192.0.2.2", "anna@a.example")
    book.take_back("192.0.2.1", "ANNA@a.example")
    assert may_try(0)
    assert not may_try(0)
    clock.now_ms += WINDOW_MS
    assert may_try(0)
