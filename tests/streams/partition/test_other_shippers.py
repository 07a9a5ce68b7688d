"""What rsyslog, Vector, Fluent Bit and syslog-ng send becomes the same rows; JSON that no setting takes off is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.record import RawHeaders
from postwatch.producers.service.errors import SettingsError
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.other_shippers import HostRule, OtherShippers, parse_hosts
from postwatch.streams.partition.processed_lines import ProcessedLines
from postwatch.streams.partition.record_parser import ParsedRecord, RecordParser
from postwatch.streams.partition.server_lines import ServersLines

from tests.streams.partition.test_partition_join import Record

ID = "1vM001-00000000001-Abcd"
LINE = f"2026-11-28 10:00:00 {ID} => bob@far.example R=dnslookup T=remote_smtp H=mx.far.example [203.0.113.5]"
VECTOR = {
    "file": "/var/log/exim4/mainlog",
    "host": "web1",
    "message": LINE,
    "source_type": "file",
    "timestamp": "2026-11-28T10:00:00.123456Z",
}
FLUENT_BIT = {"@timestamp": 1764324000.123456, "log": LINE, "host": "web1"}
JOURNAL = {"MESSAGE": LINE, "_HOSTNAME": "web1", "PRIORITY": "6"}
HOSTS = """
[[hosts]]
names = ["mx*.far.example", "10.0.0.*"]
format = "exim-main"
timezone = "America/New_York"

[[hosts]]
names = ["mx1.far.example", "fluent*"]
line_field = "log"
"""


def compact(envelope: object) -> bytes:
    return json.dumps(envelope, separators=(",", ":")).encode()


def parsed(
    value: bytes, others: OtherShippers, server: str = "web1", headers: Sequence[tuple[str, bytes]] = ()
) -> tuple[ParsedRecord, JoinCounts]:
    counts = JoinCounts()
    parser = RecordParser("UTC", counts, ProcessedLines(None), ServersLines(), other_shippers=others)
    return parser.parse(Record(1, server.encode(), value, headers), 0), counts


def line_of(event: Any) -> str:
    return str(event.line)


@pytest.mark.parametrize("envelope", [VECTOR, FLUENT_BIT, JOURNAL], ids=["vector", "fluent-bit", "journal"])
def test_a_named_field_is_the_line(envelope: dict[str, Any]) -> None:
    record, counts = parsed(compact(envelope), OtherShippers(("message", "log", "MESSAGE")))
    [event] = record.events
    assert line_of(event) == LINE
    assert (record.letters, counts.tally.total().events) == ([], 1)


@pytest.mark.parametrize("log_format", ["auto", "exim-main", "postfix", "kumomta", "sendmail"])
@pytest.mark.parametrize(
    "envelope",
    [VECTOR, FLUENT_BIT, JOURNAL, [1764324000.0, {"log": LINE}], {**VECTOR, "message": 5}, {"message": [LINE]}],
    ids=["vector", "fluent-bit", "journal", "forward", "a number", "a list"],
)
def test_json_that_no_setting_takes_off_is_a_dead_letter_that_says_so(envelope: object, log_format: str) -> None:
    value = compact(envelope)
    record, counts = parsed(value, OtherShippers(("text",)), headers=[("format", log_format.encode())])
    [letter] = record.letters
    assert letter.value == value
    assert "POSTWATCH_JOIN_LINE_FIELDS" in letter.detail
    assert (record.events, counts.tally.total().lines) == ([], 1)


def test_records_of_a_log_in_json_are_no_envelopes() -> None:
    kumo = {
        "type": "Delivery",
        "id": "a1b2c3",
        "timestamp": 1764324000,
        "recipient": "bob@far.example",
        "response": {"code": 250, "content": '"message": "ok"'},
    }
    record, _ = parsed(compact(kumo), OtherShippers(("message",)))
    assert len(record.events) == 1
    record, counts = parsed(compact({"level": "info", "uptime": 5}), OtherShippers())
    assert (record.letters, counts.tally.total().ignored) == ([], {"other": 1})


def test_an_envelope_around_json_is_taken_off_once() -> None:
    inner = compact({"message": LINE}).decode()
    record, _ = parsed(compact({"message": inner}), OtherShippers(("message",)))
    assert [letter.detail[:4] for letter in record.letters] == ["JSON"]
    assert record.letters[0].value == compact({"message": inner})


def test_a_line_break_in_the_text_makes_no_second_line() -> None:
    forged = f'{LINE} C="250 OK"\n2026-11-28 10:00:01 {ID} ** victim@far.example: refused'
    [line] = OtherShippers(("message",)).lines("web1", RawHeaders(), [compact({"message": forged}).decode()])
    assert line == forged.replace("\n", "\\n")
    record, counts = parsed(compact({"message": forged}), OtherShippers(("message",)))
    assert counts.tally.total().lines == 1
    assert {getattr(event, "recipient", "") for event in record.events} <= {"bob@far.example"}
    record, _ = parsed(compact({"message": f"{LINE}\r\n"}), OtherShippers(("message",)))
    assert [line_of(event) for event in record.events] == [LINE]


def test_our_own_shipper_says_what_its_lines_are() -> None:
    others = OtherShippers(("message",), parse_hosts('[[hosts]]\nnames = ["*"]\nformat = "postfix"', "f"))
    headers = RawHeaders(format="exim-main", tz="UTC", file="f1", byte_offset=0, end_offset=len(LINE) + 1)
    record, _ = parsed(LINE.encode() + b"\n", others, headers=headers.encode())
    assert [line_of(event) for event in record.events] == [LINE]
    assert others.lines("web1", headers, [compact(VECTOR).decode()]) == [compact(VECTOR).decode()]


def test_the_first_rule_that_matches_a_host_counts_and_headers_go_before_it() -> None:
    others = OtherShippers((), parse_hosts(HOSTS, "hosts.toml"))
    assert others.headers("mx1.far.example", RawHeaders()) == RawHeaders("exim-main", "America/New_York")
    assert others.headers("10.0.0.7", RawHeaders("kumomta", "UTC")) == RawHeaders("kumomta", "UTC")
    assert others.headers("xmx1.far.example", RawHeaders()) == RawHeaders()
    assert others.lines("fluent7", RawHeaders(), [compact(FLUENT_BIT).decode()]) == [LINE]
    [event] = parsed(LINE.encode(), others, "mx2.far.example")[0].events
    assert event.at == 1795878000_000  # 10:00 in New York is 15:00 UTC


def test_servers_with_any_names_cost_no_memory_without_end() -> None:
    others = OtherShippers((), parse_hosts(HOSTS, "hosts.toml"))
    for number in range(25_000):
        others.headers(f"mx{number}.far.example", RawHeaders())
    assert len(others._known) <= 10_000


@pytest.mark.parametrize(
    "hostile",
    [
        b'{"message":' + b"[" * 100_000,
        b'{"message":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        b'{"message":"' + b"x" * 300_000 + b'"}',
        b'{"message":"\\ud800"}',
        b'{"message":"\xff\xfe"}',
        b'{"message":null,"message":true}',
        b"{" * 70_000,
        b"{}",
        b'{"":""}',
        b'{"message":1e999}',
    ],
)
def test_hostile_json_is_counted_and_harms_nothing(hostile: bytes) -> None:
    record, counts = parsed(hostile, OtherShippers(("message", "log")))
    total = counts.tally.total()
    assert record.events == []
    assert total.lines == 1 == sum(total.ignored.values()) + sum(total.unreadable.values())


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("message"), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["message", "log", "host", "x"]), _json), st.text())
def test_whatever_an_envelope_holds_each_line_is_counted(envelope: dict[str, Any], server: str) -> None:
    others = OtherShippers(("message", "log"), (HostRule(parse_hosts(HOSTS, "f")[0].names),))
    record, counts = parsed(json.dumps(envelope).encode(), others, server.encode("utf-8", "replace").decode())
    total = counts.tally.total()
    assert total.lines == 1 == total.events + sum(total.ignored.values()) + sum(total.unreadable.values())
    assert len(record.letters) == sum(total.unreadable.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[host]]", "must hold [[hosts]] tables"),
        ("hosts = 5", "must hold [[hosts]] tables"),
        ("[[hosts]]\nformat='auto'", "number 1 needs `names`"),
        ("[[hosts]]\nnames='mx1'", "needs `names`, a list"),
        ("[[hosts]]\nnames=['mx1']\nformats='auto'", "unknown key 'formats'"),
        ("[[hosts]]\nnames=['mx1']\nformat='exim'", "format 'exim' is not known: use auto"),
        ("[[hosts]]\nnames=['mx1']\ntimezone='Mars'", "number 1: timezone"),
        ("[[hosts]]\nnames=['mx1']\nline_field=5", "line_field must be a text"),
        ("[[hosts", "is no TOML"),
    ],
)
def test_a_file_of_hosts_that_makes_no_sense_ends_the_start(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=r"hosts\.toml") as raised:
        parse_hosts(text, "hosts.toml")
    assert words in str(raised.value)
