"""An id names one row, whoever made its text, and tells nothing; what is no id is told as an id that no row has."""

from __future__ import annotations

import base64
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.query.errors import NotFoundError, NotMigratedError
from postwatch.query.orders import Position, decode_cursor, encode_cursor
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.reports.delivery import REPORT as DELIVERY
from postwatch.query.reports.delivery import DeliveryQuestion
from postwatch.query.row_id import NO_SUCH_ROW, RowIds, RowPlace
from postwatch.query.shapes import DeliveryShape
from postwatch.query.viewer import ENGINEER, Viewer

from tests.query.conftest import NOW_MS, Office, make_row, make_rows

_TIMES = st.integers(-(1 << 44) + 1, (1 << 44) - 1)
_HASHES = st.integers(0, (1 << 64) - 1)
_KEYS = st.binary(min_size=32, max_size=32)
_IDS = RowIds([bytes(32)])
BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))


@given(_KEYS, _TIMES, _HASHES)
def test_an_id_names_its_place(key: bytes, queued_at: int, row_hash: int) -> None:
    word = RowIds([key]).encode(RowPlace(queued_at, row_hash))
    assert RowIds([key]).decode(word) == (queued_at, row_hash)
    assert word.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=30))
def test_anything_else_is_an_id_that_no_row_has(word: str) -> None:
    try:
        place = _IDS.decode(word)
    except NotFoundError as error:
        assert str(error) == NO_SUCH_ROW  # noqa: PT017
    else:
        assert _IDS.encode(place) == word


def test_one_row_has_one_spelling_of_its_id() -> None:
    word = _IDS.encode(RowPlace(1, 0))
    last = chr(ord(word[-1]) + 1)
    for other in (f"{word}=", f"{word}==", word[:-1] + last, f" {word}", "Α" + word[1:], f"{word}A"):
        with pytest.raises(NotFoundError):
            _IDS.decode(other)


@given(_KEYS, _TIMES, _HASHES)
def test_an_id_tells_nothing_to_whoever_lacks_the_key(key: bytes, queued_at: int, row_hash: int) -> None:
    """Else the server's name, which owners may not see, could be found by trying: they know the rest of the row."""
    sealed = base64.urlsafe_b64decode(RowIds([key]).encode(RowPlace(queued_at, row_hash)) + "==")
    assert len(sealed) == 16
    told = struct.unpack(">qQ", sealed)
    assert told[0] != queued_at
    assert told[1] != row_hash


def test_places_that_are_alike_have_ids_that_are_not() -> None:
    words = [_IDS.encode(RowPlace(NOW_MS, row_hash)) for row_hash in range(1000)]
    assert len({word[:8] for word in words}) > 990


def test_what_a_former_key_sealed_is_opened_and_what_a_stranger_s_did_is_not() -> None:
    former, new, other = (RowIds([bytes([number]) * 32]) for number in (1, 2, 3))
    both = RowIds([bytes([2]) * 32, bytes([1]) * 32])
    place = RowPlace(NOW_MS, 7)
    assert both.encode(place) == new.encode(place)
    assert both.decode(former.encode(place)) == place
    with pytest.raises(NotFoundError):
        both.decode(other.encode(place))


def test_threads_seal_alike() -> None:
    places = [RowPlace(NOW_MS + number, number) for number in range(3000)]
    wanted = [_IDS.encode(place) for place in places]
    made: list[list[str]] = []
    threads = [threading.Thread(target=lambda: made.append([_IDS.encode(one) for one in places])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [wanted] * 8


def test_a_row_keeps_its_id_through_all_that_is_cut_out_of_it(office: Office) -> None:
    office.insert([make_row(server=name, response="no eve@far.example", log_lines=("x",)) for name in ("web1", "web2")])
    whole = office.report().rows
    shown = office.service.answer(BOB, ACCOUNT, AccountQuestion("bob@example.org")).rows
    assert {row.server for row in shown} == {""}
    ids = [row.id for row in whole]
    assert len(set(ids)) == 2
    assert [row.id for row in shown] == ids
    assert [DeliveryShape.of(row).id for row in shown] == ids
    assert "example" not in "".join(ids)


def test_no_hash_of_a_row_leaves_the_server(office: Office) -> None:
    """Neither in an id nor in a cursor: the sorted orders too look their place up by it."""
    office.insert(make_rows(5))
    hashes = {
        row_hash
        for (row_hash,) in office.client.query(
            "SELECT cityHash64(account_domain, account, queued_at, server, queue_id, recipient, direction)"
            " FROM deliveries"
        ).result_rows
    }
    assert len(hashes) == 5
    for by in ("event", "sent", "recipient", "size", "host"):
        mail = office.service.answer(BOB, ACCOUNT, AccountQuestion("bob@example.org", by=by, limit=2))
        assert mail.next_cursor
        told = [mail.next_cursor, *(row.id for row in mail.rows)]
        opened = b"".join(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)) for word in told)
        for row_hash in hashes:
            assert str(row_hash).encode() not in opened
            assert row_hash.to_bytes(8, "big") not in opened


def test_servers_and_commands_share_the_key_and_an_older_one_is_still_known(office: Office) -> None:
    office.insert([make_row()])
    [row] = office.report().rows
    assert office.answer(DELIVERY, DeliveryQuestion(row.id)).rows  # another service, as another process has
    [[first]] = office.client.query("SELECT secret FROM row_id_keys").result_rows
    second = "ab" * 32
    office.client.command("INSERT INTO row_id_keys VALUES ('no key', now64(3) + 9)")
    office.client.command(f"INSERT INTO row_id_keys VALUES ('{second}', now64(3) + 1)")
    try:
        [renamed] = office.report().rows
        assert renamed.id != row.id
        assert renamed.id == RowIds([bytes.fromhex(second)]).encode(RowPlace(row.queued_at, row.row_hash))
        for word in (row.id, renamed.id):
            assert office.answer(DELIVERY, DeliveryQuestion(word), BOB).rows
    finally:
        office.client.command(f"DELETE FROM row_id_keys WHERE secret IN ('{second}', 'no key')")
    assert [one.id for one in office.report().rows] == [row.id]
    assert RowIds([bytes.fromhex(first)]).decode(row.id).queued_at == row.queued_at


def test_without_a_key_nothing_is_shown_and_the_remedy_is_named(office: Office) -> None:
    office.insert([make_row()])
    keys = office.client.query("SELECT secret, made_at FROM row_id_keys").result_rows
    office.client.command("TRUNCATE TABLE row_id_keys")
    try:
        with pytest.raises(NotMigratedError, match="postwatch migrate"):
            office.report()
    finally:
        office.client.insert("row_id_keys", keys)
    assert office.report().rows


@given(_KEYS, st.integers(0, 1 << 43), _HASHES)
def test_a_cursor_of_another_key_is_refused_or_is_a_place_of_no_row(key: bytes, at_ms: int, row_hash: int) -> None:
    place = Position("event", at_ms, row_hash)
    assert decode_cursor(encode_cursor(place, RowIds([key])), lambda: RowIds([key])) == place


def test_an_engineer_and_an_owner_name_a_row_alike(office: Office) -> None:
    office.insert([make_row()])
    assert (
        office.report().rows[0].id == office.service.answer(BOB, ACCOUNT, AccountQuestion("bob@example.org")).rows[0].id
    )
    assert office.service.answer(ENGINEER, DELIVERY, DeliveryQuestion(office.report().rows[0].id)).rows
