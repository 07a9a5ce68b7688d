from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postwatch.producers.service.errors import BadInputError
from postwatch.query.access.handover import KEPT_MS, LIFE_MS, HandOverDesk, hand_overs, read_mailbox
from postwatch.query.access.keys import shared_key
from postwatch.query.access.roles import Identity
from postwatch.query.access.state import StateStore
from postwatch.query.errors import StateError

ANNA = "anna@a.example"
KEY = b"k" * 32


@pytest.fixture
def servers(state_address: str) -> Iterator[list[StateStore]]:
    """Four servers that share the state."""
    opened = [StateStore(state_address) for _ in range(4)]
    yield opened
    for each in opened:
        each.close()


def test_a_link_opens_one_mailbox_once(store: StateStore) -> None:
    desk = HandOverDesk(store, KEY)
    code = desk.make("Anna@A.example", "panel").code
    assert desk.look(code)
    assert desk.look(code)  # a scanner, a preview, the user's browser
    assert desk.use(code) == Identity(ANNA, "hand-over", ANNA)
    assert desk.use(code) is None


def test_a_link_works_once_on_all_servers_together(servers: list[StateStore]) -> None:
    key = shared_key(servers[0], "hand-over")
    desks = [HandOverDesk(server, shared_key(server, "hand-over")) for server in servers]
    assert {shared_key(server, "hand-over") for server in servers} == {key}
    for _ in range(5):
        code = desks[0].make(ANNA, "panel").code
        with ThreadPoolExecutor(16) as threads:
            used = list(threads.map(lambda number, code=code: desks[number % 4].use(code), range(32)))
        assert sum(one is not None for one in used) == 1


def test_a_link_lives_for_a_minute(store: StateStore) -> None:
    now = [10 * KEPT_MS]
    desk = HandOverDesk(store, KEY, lambda: now[0])
    link = desk.make(ANNA, "panel")
    assert link.expires_at == now[0] + LIFE_MS == now[0] + 60_000
    now[0] += LIFE_MS - 1
    assert desk.look(link.code)
    now[0] += 1
    assert not desk.look(link.code)
    assert desk.use(link.code) is None
    now[0] -= 1
    assert desk.use(link.code) is not None


def test_a_changed_link_is_refused(store: StateStore) -> None:
    desk = HandOverDesk(store, KEY)
    code = desk.make(ANNA, "panel").code
    random, end, signature = code.split(".")
    forged = [
        f"{random}.{int(end) + 60_000}.{signature}",
        f"{'A' * 43}.{end}.{signature}",
        f"{random}.{end}.{'0' * 64}",
        f"{random}.{end}",
        code + "0",
        code.upper(),
        "",
        "x" * 100_000,
        HandOverDesk(store, b"another key").make(ANNA, "panel").code,
    ]
    for each in forged:
        assert not desk.look(each)
        assert desk.use(each) is None
    assert desk.use(code) is not None


def test_neither_link_nor_log_nor_state_tells_what_it_must_not(
    store: StateStore, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    desk = HandOverDesk(store, KEY)
    code = desk.make(ANNA, "panel").code
    kept = " ".join(str(value) for row in store.read(hand_overs.select()) for value in row)
    assert desk.use(code)
    assert desk.use(code) is None
    assert "anna" not in code
    out, err = capfd.readouterr()
    for part in (code.split(".")[0], code.split(".")[2]):
        assert part not in kept + out + err + caplog.text


def test_links_are_forgotten_in_the_end(store: StateStore) -> None:
    now = [10 * KEPT_MS]
    desk = HandOverDesk(store, KEY, lambda: now[0])
    code = desk.make(ANNA, "panel").code
    desk.use(code)
    now[0] += LIFE_MS + KEPT_MS + 1
    desk.make(ANNA, "panel")
    assert len(store.read(hand_overs.select())) == 1


@pytest.mark.parametrize(
    "word",
    ["", "anna", "@a.example", "anna@", "an na@a.example", "a\n@a.example", "a" * 300 + "@b", "\u212aim@a.example"],
)
def test_what_is_no_mailbox_gets_no_link(word: str) -> None:
    with pytest.raises(BadInputError, match="is not a mailbox"):
        read_mailbox(word)


def test_a_state_that_cant_be_written_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    store, other = StateStore(str(path)), StateStore(str(path))
    desk = HandOverDesk(store, KEY)
    code = desk.make(ANNA, "panel").code
    with other.transaction():  # another writer, which does not end
        with pytest.raises(StateError, match="locked"):
            desk.use(code)
        with pytest.raises(StateError, match="locked"):
            desk.make(ANNA, "panel")
    assert desk.use(code)
    store.close()
    other.close()
