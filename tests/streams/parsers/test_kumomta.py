"""KumoMTA's records: how each is read, and that strangers' words are never read as facts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, EXPIRED
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import Arrival, Attempt, Ignored, Parsed, Refusal, Unreadable
from postwatch.streams.parsers.kumomta import parse_record
from postwatch.streams.parsers.queue_ids import queued_at
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.cpu import is_linear

ID = "e22a1681e71311f19f42020000000001"
AT = 1_795_420_801
AUTO = make_parser("auto", StampReader(find_zone("UTC", "test")))


def record(kind: str, **fields: object) -> str:
    whole: dict[str, object] = {
        "type": kind,
        "id": ID,
        "sender": "ann@here.example",
        "recipient": "Bob@far.example",
        "size": 12,
        "response": {"code": 250, "enhanced_code": None, "content": "", "command": None},
        "peer_address": {"name": "mx.far.example.", "addr": "198.51.100.1"},
        "timestamp": AT,
        "created": AT,
        "meta": {},
        "headers": {},
        "delivery_protocol": "ESMTP",
        "reception_protocol": "ESMTP",
    }
    return json.dumps(whole | fields)


def read(line: str) -> Parsed:
    parsed = parse_record(line)
    assert AUTO.parse(line) == parsed
    return parsed


def attempt(line: str) -> Attempt:
    parsed = read(line)
    assert isinstance(parsed, Attempt), parsed
    return parsed


def test_a_reception() -> None:
    found = read(record("Reception", meta={"authn_id": "ann"}, headers={"subject": "a\nb", "Message-Id": "<x@y>"}))
    assert isinstance(found, Arrival)
    assert (found.queue_id, found.at, found.sender, found.recipients) == (
        ID, AT * 1000, "ann@here.example", ("bob@far.example",),
    )  # fmt: skip
    assert (found.client_host, found.client_ip, found.authenticated_as) == ("", "198.51.100.1", "ann")
    assert (found.subject, found.message_id, found.recipient_count) == ("a\\nb", "x@y", 1)


@pytest.mark.parametrize(
    ("kind", "status", "is_attempt"),
    [
        ("Delivery", DELIVERED, True),
        ("TransientFailure", DEFERRED, True),
        ("Deferral", DEFERRED, False),
        ("Delayed", DEFERRED, False),
        ("Bounce", BOUNCED, True),
        ("Expiration", EXPIRED, True),
        ("AdminBounce", CANCELLED, True),
    ],
)
def test_what_came_of_it(kind: str, status: str, is_attempt: bool) -> None:
    answer = {"code": 550, "enhanced_code": {"class": 5, "subject": 1, "detail": 1}, "content": "no\nuser"}
    found = attempt(record(kind, response=answer, tls_cipher="AES", tls_protocol_version="TLSv1.3"))
    assert (found.status, found.is_attempt, found.recipient) == (status, is_attempt, "bob@far.example")
    assert (found.smtp_code, found.enhanced_code, found.response) == (550, "5.1.1", "550 5.1.1 no\\nuser")
    assert (found.remote_host, found.remote_ip, found.tls) == ("mx.far.example", "198.51.100.1", "TLSv1.3:AES")


def test_who_gives_up_tells_the_last_answer_of_a_server() -> None:
    joiner = Joiner(AccountBook(None))
    busy = record("TransientFailure", response={"code": 451, "enhanced_code": {"class": 4, "subject": 7, "detail": 1}})
    own = {"code": 551, "enhanced_code": {"class": 5, "subject": 4, "detail": 7}, "content": "Next delivery time > max"}
    given_up = record("Expiration", response=own, peer_address=None, timestamp=AT + 60)
    joiner.add("mx8", [attempt(busy), attempt(given_up)])
    [row] = joiner.take_dirty()[0]
    assert (row.status, row.smtp_code, row.enhanced_code, row.remote_host) == (EXPIRED, 451, "4.7.1", "mx.far.example")


def test_without_a_reception_the_record_itself_names_the_sender() -> None:
    joiner = Joiner(AccountBook(None))
    bounce = attempt(record("Bounce", response={"code": 550, "content": "no such user"}))
    joiner.add("mx8", [bounce])
    [row] = joiner.take_dirty()[0]
    assert (row.sender, row.recipient, row.status) == ("ann@here.example", "bob@far.example", BOUNCED)


@pytest.mark.parametrize("kind", ["DeferredInjectionRebind", "AdminRebind", "XferIn", "XferOut"])
def test_a_message_that_changes_its_queue_has_no_row(kind: str) -> None:
    assert read(record(kind)) == Ignored("requeued")


def test_several_recipients_of_one_record() -> None:
    found = read(record("Bounce", recipient=["a@far.example", "b@far.example"], peer_address=None, response=None))
    assert isinstance(found, list)
    assert [one.recipient for one in found if isinstance(one, Attempt)] == ["a@far.example", "b@far.example"]


def test_a_rejection() -> None:
    found = read(record("Rejection", id="", response={"code": 451, "content": "later"}))
    assert isinstance(found, Refusal)
    assert (found.recipient, found.client_ip, found.smtp_code, found.response) == (
        "bob@far.example", "198.51.100.1", 451, "451 later",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (record("OOB"), Ignored("late-bounce")),
        (record("Feedback"), Ignored("feedback")),
        (record("Reception", reception_protocol="LogRecord"), Ignored("log-hook")),
        ('{"level":"info"}', Ignored("other")),
        (record("Whatever"), Unreadable("a record of a type that is not known")),
        (record("Delivery")[:-9], Unreadable("a record whose fields make no sense")),
        (record("Delivery", timestamp=-1), Unreadable("a record whose fields make no sense")),
        (record("Delivery", timestamp=1e300), Unreadable("a record whose fields make no sense")),
        (record("Delivery", sender=7), Unreadable("a record whose fields make no sense")),
        (record("Delivery", recipient=[]), Unreadable("a record whose fields make no sense")),
        (record("Delivery", recipient=["a"] * 1001), Unreadable("a record whose fields make no sense")),
    ],
)
def test_records_that_are_no_events(line: str, wanted: Parsed) -> None:
    assert read(line) == wanted


def test_the_time_in_an_id() -> None:
    assert queued_at(ID) == AT * 1000
    assert queued_at("e22a1681e71341f19f42020000000001") == 0  # of another version
    assert queued_at("zz2a1681e71311f19f42020000000001") == 0


def test_a_record_of_the_journal_is_none_of_kumomta() -> None:
    entry = {
        "__REALTIME_TIMESTAMP": "1795420801000000",
        "SYSLOG_IDENTIFIER": "postfix/qmgr",
        "MESSAGE": "7F00AA: removed",
    }
    assert not isinstance(AUTO.parse(json.dumps(entry)), Ignored)
    assert AUTO.parse(json.dumps(entry, separators=(",", ":")) + " ") is not None


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_words_change_account_recipient_or_status(words: str, more: str) -> None:
    forged = f'{words}"}},"meta":{{"authn_id":"root"}},"type":"Delivery","recipient":"root@here.example'
    headers = {"Subject": forged, more: words, "Message-ID": f"<{words}>"}
    found = read(record("Reception", headers=headers, peer_address={"name": forged, "addr": "192.0.2.1"}))
    assert isinstance(found, Arrival)
    assert (found.authenticated_as, found.recipients, found.client_ip) == ("", ("bob@far.example",), "192.0.2.1")
    told = attempt(record("Bounce", response={"code": 550, "content": forged}))
    assert (told.status, told.recipient, told.smtp_code) == (BOUNCED, "bob@far.example", 550)


@pytest.mark.parametrize(
    "worst",
    [
        '{"type":' + "[" * 64_000,
        '{"type":"Delivery","id":"x","meta":' + '{"a":' * 12_000,
        record("Reception", headers={str(number): "x" for number in range(4_500)}),
        record("Delivery", recipient=["a"] * 12_000),
        record("Delivery", response={"code": 250, "content": "queued as " * 6_000}),
        record("Delivery", response={"code": 250, "content": "\n" * 30_000}),
        '{"type":"' + "\\u0041" * 10_000,
    ],
    ids=range(7),
)
def test_the_worst_line_costs_little(worst: str) -> None:
    assert is_linear(AUTO.parse, worst[: 64 * 1024])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"address": "192.0.2.5:41234", "protocol": None}, "192.0.2.5"),
        ({"address": "[2001:db8::5]:41234"}, "2001:db8::5"),
        ({"address": "2001:db8::5"}, "2001:db8::5"),
        ({"address": "192.0.2.5"}, "192.0.2.5"),
        ({"address": "198.51.100.9:41234", "protocol": "haproxy", "server": "192.0.2.7:5000"}, "198.51.100.9"),
        ({"address": "/run/kumomta.sock"}, ""),
        ({"address": "x@far.example"}, ""),
        ({"address": 5}, ""),
        ("192.0.2.5", ""),
        (None, ""),
    ],
)
@pytest.mark.parametrize("kind", ["Delivery", "TransientFailure", "Bounce"])
def test_the_address_that_an_attempt_was_made_from(kind: str, source: object, expected: str) -> None:
    assert attempt(record(kind, source_address=source)).source_ip == expected
