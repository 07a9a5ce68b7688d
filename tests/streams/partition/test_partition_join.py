"""The join of a partition against a model of Kafka that loses whatever may be lost in a crash."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.producers.record import Heartbeat, RawHeaders
from postwatch.streams.contracts.dead_letters import DeadLetter, LineOrigin
from postwatch.streams.contracts.heartbeat import JoinedLines
from postwatch.streams.contracts.outcome import Outcome, to_json_object
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.stored_message import decode_stored
from postwatch.streams.partition import message_store
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.partition_join import RANGES_KEY, JoinRules, PartitionJoin
from postwatch.streams.partition.ports import Confirm
from postwatch.streams.partition.retained_fetches import MAX_OPEN_CHARACTERS, MAX_OPEN_MESSAGES

from tests.streams.joining.test_golden import HOSTING_DAY, LOGS, SENT_MS, SERVER, golden_rows, lines_of, ordered

RULES = JoinRules(
    accounts=AccountBook(None),
    timezone="UTC",
    keep_lines=True,
    pending_after_ms=5_000,
    park_after_ms=60_000,
    give_up_after_ms=10**15,
)


@dataclass
class Record:
    offset: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp: int = 0


@dataclass
class Kafka:
    """Topics, a changelog and committed offsets; sends are taken now and confirmed, or lost, later."""

    rows: list[Outcome] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    beats: list[tuple[str, Heartbeat]] = field(default_factory=list)
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    committed: int = 0
    in_flight: list[tuple[Callable[[], object], Confirm]] = field(default_factory=list)

    def send(self, arrive: Callable[[], object], confirm: Confirm) -> None:
        self.in_flight.append((arrive, confirm))

    def confirm_some(self, number: int) -> None:
        for _ in range(min(number, len(self.in_flight))):
            arrive, confirm = self.in_flight.pop(0)
            arrive()
            confirm()

    def confirm_all(self) -> None:
        while self.in_flight:
            self.confirm_some(1)

    def crash(self, arrived: int) -> None:
        """Some of what was under way arrived although nobody was told; the rest is lost."""
        for arrive, _ in self.in_flight[:arrived]:
            arrive()
        self.in_flight.clear()


class Worker:
    """Outlet and table of one life of a worker, and the join between them."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.local = dict(kafka.changelog)
        self.counts = JoinCounts()
        self.acknowledged: list[int] = []
        self.joined: list[JoinedLines] = []
        self.join = PartitionJoin(0, RULES, self.counts, self, self, kafka.committed)

    def take(self, records: Sequence[Record], now: int = 0) -> None:
        last = records[-1].offset
        self.join.take(records, now, lambda: self.acknowledged.append(last))

    def commit(self) -> None:
        if self.acknowledged:
            assert self.acknowledged == sorted(self.acknowledged)
            self.kafka.committed = max(self.kafka.committed, self.acknowledged[-1] + 1)

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Confirm) -> int:
        rows = [row for turn in turns for row in turn]
        if rows:
            self.kafka.send(lambda: self.kafka.rows.extend(rows), confirm)
        return 1 if rows else 0

    def send_heartbeat(self, server: str, beat: Heartbeat, joined: JoinedLines, confirm: Confirm) -> None:
        self.kafka.send(lambda: self.kafka.beats.append((server, beat)), confirm)
        self.joined.append(joined)

    def send_dead_letter(self, letter: DeadLetter, confirm: Confirm) -> None:
        self.kafka.send(lambda: self.kafka.letters.append(letter), confirm)

    def get(self, key: bytes) -> bytes | None:
        return self.local.get(key)

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        self.local[key] = value
        self.kafka.send(lambda: self.kafka.changelog.__setitem__(key, value), confirm)

    def delete(self, key: bytes) -> None:
        self.local.pop(key, None)
        self.kafka.send(lambda: self.kafka.changelog.pop(key, None), lambda: None)

    def all_keys(self) -> list[bytes]:
        return list(self.local)


def make_records(
    lines: Sequence[str], cuts: Sequence[int], *, server: str = SERVER, file: str = "file-1"
) -> list[Record]:
    """Lines cut into records with the headers of a shipper."""
    records: list[Record] = []
    byte_offset = 0
    for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        value = "".join(line + "\n" for line in lines[start:end]).encode()
        headers = RawHeaders("auto", "UTC", file, byte_offset, byte_offset + len(value), SENT_MS)
        records.append(Record(len(records), server.encode(), value, headers.encode()))
        byte_offset += len(value)
    return records


def table_rows(rows: Sequence[Outcome]) -> list[dict[str, Any]]:
    newest: dict[tuple[Any, ...], Outcome] = {}
    for row in rows:
        key = (row.account, row.queued_at, row.server, row.queue_id, row.recipient, row.direction)
        if key not in newest or row.version >= newest[key].version:
            newest[key] = row
    return ordered([to_json_object(row) for row in newest.values() if not row.is_deleted])


def as_reported(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the rows of partial messages that stand under no account beside a whole one, as no report shows them."""
    whole = {(row["queue_id"], row["recipient"]) for row in rows if row["account"]}
    return [row for row in rows if row["account"] or (row["queue_id"], row["recipient"]) not in whole]


def finish(worker: Worker, records: Sequence[Record], now: int) -> None:
    """Everything is read, an hour passes, everything is confirmed and committed."""
    rest = [record for record in records if record.offset >= worker.join.next_offset]
    if rest:
        worker.take(rest, now)
    for _ in range(6):
        now += 70_000
        worker.kafka.confirm_all()
        worker.join.tend(now, worker.kafka.committed)
        worker.kafka.confirm_all()
        worker.commit()


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_crashes_change_no_row(log: Any, seed: int) -> None:
    chooser = random.Random(seed)
    lines = lines_of(log)
    cuts = sorted(chooser.sample(range(1, len(lines)), chooser.randrange(len(lines) - 1)))
    records = make_records(lines, cuts)
    for _ in range(chooser.randrange(4)):  # a shipper that crashed before its checkpoint sends again, at any time later
        again = chooser.choice(records)
        records.append(Record(len(records), again.key, again.value, again.headers))
    kafka = Kafka()
    worker = Worker(kafka)
    now = 0
    for _ in range(chooser.randrange(80)):
        step = chooser.random()
        if step < 0.4 and worker.join.next_offset < len(records):
            start = worker.join.next_offset
            worker.take(records[start : start + chooser.randrange(1, 4)], now)
        elif step < 0.6:
            kafka.confirm_some(chooser.randrange(1, 6))
        elif step < 0.8:
            now += chooser.choice([300, 6_000, 61_000])
            worker.join.tend(now, kafka.committed)
        elif step < 0.93:
            worker.commit()
        else:
            kafka.crash(chooser.randrange(len(kafka.in_flight) + 1))
            worker = Worker(kafka)
    finish(worker, records, now)
    assert table_rows(kafka.rows) == golden_rows(log)
    assert kafka.letters == []
    assert kafka.committed == len(records)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_crashes_and_a_second_shipper_of_one_file_change_no_reported_row(seed: int) -> None:
    """Lines that come again after the join forgot their message, in a crash, may leave a partial row beside it."""
    chooser = random.Random(seed)
    lines = lines_of(HOSTING_DAY)
    places = range(1, len(lines))
    one = make_records(lines, sorted(chooser.sample(places, chooser.randrange(len(lines) - 1))))
    other = make_records(lines, sorted(chooser.sample(places, chooser.randrange(len(lines) - 1))), file="file-2")
    records: list[Record] = []
    while one or other:
        record = (chooser.choice((one, other)) or one or other).pop(0)
        records.append(Record(len(records), record.key, record.value, record.headers))
    kafka = Kafka()
    worker = Worker(kafka)
    now = 0
    while worker.join.next_offset < len(records):
        start = worker.join.next_offset
        worker.take(records[start : start + chooser.randrange(1, 4)], now)
        now += chooser.choice([300, 1_000])  # what was parked before the second shipper came is not told apart
        kafka.confirm_some(chooser.randrange(1, 6))
        worker.join.tend(now, kafka.committed)
        worker.commit()
        if chooser.random() < 0.1:
            kafka.crash(chooser.randrange(len(kafka.in_flight) + 1))
            worker = Worker(kafka)
    finish(worker, records, now)
    assert as_reported(table_rows(kafka.rows)) == golden_rows(HOSTING_DAY)


def test_nothing_is_acknowledged_before_its_outcomes_are_confirmed() -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003aB-1X" in line]
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take(make_records(lines, []))
    worker.join.tend(1_000, 0)
    assert worker.acknowledged == []
    kafka.confirm_all()
    worker.join.tend(1_300, 0)
    assert worker.acknowledged == []  # the marks are on their way
    kafka.confirm_all()
    assert worker.acknowledged == [0]


def test_an_open_message_holds_its_record_until_it_is_parked() -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003cA-1b" in line]
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take(make_records(lines, []), now=0)
    kafka.confirm_all()
    worker.join.tend(59_000, 0)
    kafka.confirm_all()
    assert worker.acknowledged == []
    worker.join.tend(60_001, 0)
    kafka.confirm_all()
    worker.join.tend(60_300, 0)
    kafka.confirm_all()
    assert worker.acknowledged == [0]
    assert worker.counts.parked == 1


def test_a_message_parked_before_a_crash_and_finished_after_it_is_whole() -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003dA-1c" in line]
    records = make_records(lines, [3])
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take(records[:1], now=0)
    for now in (60_001, 60_300):
        kafka.confirm_all()
        worker.join.tend(now, 0)
    kafka.confirm_all()
    worker.commit()
    assert kafka.committed == 1
    kafka.crash(0)
    kafka.rows.clear()
    worker = Worker(kafka)
    finish(worker, records, 70_000)
    final = {row["recipient"]: row for row in table_rows(kafka.rows)}
    assert final["stuck@far.example"]["status"] == "expired"
    assert [attempt["status"] for attempt in final["stuck@far.example"]["attempts"]] == ["deferred", "expired"]
    assert final["stuck@far.example"]["account"] == "anna@bakery.example"


def test_a_notice_with_the_queue_id_of_a_message_that_closed_before_a_crash_is_whole() -> None:
    """No client's line begins it. The lines of the closed message that are read again stay out."""
    client = "client=a.example[198.51.100.7], sasl_username=anna@bakery.example"
    queued = "from=<anna@bakery.example>, size=900, nrcpt=1 (queue active)"
    sent = "relay=mx.far.example[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 OK)"
    opened = [
        f"00 web7 postfix/smtpd[1]: 1AB2C3D4E5: {client}",
        "00 web7 postfix/cleanup[2]: 1AB2C3D4E5: message-id=<one@bakery.example>",
        f"00 web7 postfix/qmgr[3]: 1AB2C3D4E5: {queued}",
        f"00 web7 postfix/smtpd[1]: 9AB2C3D4E5: {client}",
        "00 web7 postfix/cleanup[2]: 9AB2C3D4E5: message-id=<two@bakery.example>",
        f"00 web7 postfix/qmgr[3]: 9AB2C3D4E5: {queued}",
    ]
    closed = [
        f"01 web7 postfix/smtp[4]: 1AB2C3D4E5: to=<kim@far.example>, {sent}",
        "01 web7 postfix/qmgr[3]: 1AB2C3D4E5: removed",
        f"01 web7 postfix/smtpd[1]: 7AB2C3D4E5: {client}",  # the fetch waits for this one
    ]
    notice = [
        "30 web7 postfix/cleanup[2]: 1AB2C3D4E5: message-id=<three@web7.hosting.example>",
        "30 web7 postfix/bounce[5]: 9AB2C3D4E5: sender non-delivery notification: 1AB2C3D4E5",
        "30 web7 postfix/qmgr[3]: 1AB2C3D4E5: from=<>, size=2900, nrcpt=1 (queue active)",
        "30 web7 postfix/qmgr[3]: 9AB2C3D4E5: removed",
    ]
    delivered = [
        f"31 web7 postfix/smtp[4]: 1AB2C3D4E5: to=<anna@bakery.example>, {sent}",
        "31 web7 postfix/qmgr[3]: 1AB2C3D4E5: removed",
    ]
    lines = [f"Nov 24 10:00:{line}" for line in (*opened, *closed, *notice, *delivered)]
    records = make_records(lines, [6, 9, 13])
    kafka = Kafka()
    finish(Worker(kafka), records, 0)
    whole = table_rows(kafka.rows)
    kafka = Kafka()
    worker = Worker(kafka)
    for record in records[:3]:
        worker.take([record])
    for _ in range(2):
        kafka.confirm_all()
        worker.join.tend(300, 0)
    kafka.confirm_all()
    worker.commit()
    assert kafka.committed == 1
    kafka.crash(0)
    finish(Worker(kafka), records, 400)
    assert table_rows(kafka.rows) == whole


def test_the_table_is_empty_behind_a_closed_message() -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003dA-1c" in line]
    records = make_records(lines, [3])
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take(records[:1], now=0)
    worker.join.tend(60_001, 0)
    assert worker.counts.parked == 1
    finish(worker, records, 61_000)
    assert set(kafka.changelog) == {RANGES_KEY}


def test_a_repeated_line_of_a_forgotten_message_is_kept_out() -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003aB-1X" in line]
    records = make_records(lines, [])
    kafka = Kafka()
    worker = Worker(kafka)
    finish(worker, records, 0)
    sent = len(kafka.rows)
    tail = make_records(lines, [1, 2])[1:]  # another cut of the same bytes, without the arrival
    for number, record in enumerate(tail):
        record.offset = 1 + number
    worker = Worker(kafka)  # the marks come from the table
    finish(worker, [*records, *tail], 100_000)
    assert len(kafka.rows) == sent
    assert worker.counts.repeated_lines == len(lines) - 1


def test_a_record_that_repeats_some_lines_and_brings_new_ones_is_cut_at_the_mark() -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003aB-1X" in line]
    first = make_records(lines, [2])[0]
    whole = make_records(lines, [])[0]
    whole.offset = 1
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take([first])
    worker.take([whole])
    assert worker.counts.repeated_lines == 2
    assert worker.counts.tally.total().lines == len(lines)


def test_unreadable_lines_are_dead_letters_byte_for_byte() -> None:
    broken = b"2026-03-02 08:01:12 1vwxuA-0003aB-1X => paul@cust\xff"
    value = b"2026-03-02 08:00:00 Start queue run: pid=812\n" + broken + b"\n"
    headers = RawHeaders("exim-main", "UTC", "file-1", 1000, 1000 + len(value), 1)
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take([Record(0, b"web7", value, headers.encode())])
    kafka.confirm_all()
    (letter,) = kafka.letters
    assert letter.value == broken
    assert letter.origin == LineOrigin("web7", "file-1", 1045)
    counts = worker.counts.tally.total()
    assert (counts.lines, counts.events, counts.ignored.total(), counts.unreadable.total()) == (2, 0, 1, 1)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (RawHeaders("exim-mian", "UTC", "f", 0, 6, 1), "unknown log format 'exim-mian': use one of auto, exim-main, "),
        (RawHeaders("exim-main", "Mars/Olympus", "f", 0, 6, 1), "'Mars/Olympus' is not a time zone"),
    ],
)
def test_a_record_that_can_not_be_read_at_all_is_dead_lettered_by_line(headers: RawHeaders, words: str) -> None:
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take([Record(0, b"web7", b"a\nbcd\n", headers.encode())])
    kafka.confirm_all()
    assert [letter.value for letter in kafka.letters] == [b"a", b"bcd"]
    assert words in kafka.letters[0].detail
    assert worker.counts.tally.total().unreadable.total() == worker.counts.tally.total().lines == 2


def test_a_foreign_record_without_headers_is_as_welcome() -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003aB-1X" in line]
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take([Record(number, b"web7", line.encode(), ()) for number, line in enumerate(lines)])
    kafka.confirm_all()
    assert [row.status for row in kafka.rows] == ["delivered"]


def test_heartbeats_are_passed_on() -> None:
    beat = Heartbeat(sent_ms=5, last_line_ms=4, lag_bytes=3, files=2, shipper_version="0.1.0")
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take([Record(0, b"web7", b"", beat.encode())])
    kafka.confirm_all()
    assert kafka.beats == [("web7", beat)]


def test_lines_of_a_server_without_heartbeats_stand_for_one_now_and_then() -> None:
    kafka = Kafka()
    worker = Worker(kafka)
    worker.take([Record(number, b"web7", b"a line\n", (), 1000 * number) for number in range(1, 62)])
    kafka.confirm_all()
    assert [(server, beat.sent_ms, beat.shipper_version) for server, beat in kafka.beats] == [
        ("web7", 1000, ""),
        ("web7", 31_000, ""),
        ("web7", 61_000, ""),
    ]
    beat = Heartbeat(sent_ms=70_000, last_line_ms=70_000, lag_bytes=0, files=1, shipper_version="0.1.0")
    worker.take([Record(62, b"web7", b"", beat.encode()), Record(63, b"web7", b"a line\n", (), 200_000)])
    kafka.confirm_all()
    assert kafka.beats[3:] == [("web7", beat)]  # its shipper speaks for it


def test_a_heartbeat_tells_what_the_join_knows_of_the_lines() -> None:
    good = "Nov 23 13:42:18 mx postfix/qmgr[1]: 7F00AA: removed\n"
    bad = "Nov 23 13:42:19 mx postfix/smtp[7]: 7F00AA: to=<a@b.example>; relay=none, delay=1, status=deferred (x)\n"
    beat = Heartbeat(SENT_MS, SENT_MS, 0, 1, "0.1.0")
    at_ms = 1_795_441_338_000  # 13:42:18
    auto = RawHeaders("auto", "UTC", sent_ms=at_ms).encode()
    unknown = RawHeaders("no-such", "UTC", sent_ms=at_ms).encode()
    worker = Worker(Kafka())
    worker.take(
        [
            Record(0, b"web7", (bad + 9 * good).encode(), auto, at_ms + 700),
            Record(1, b"web7", good.encode(), auto, at_ms + 30_000),
            Record(2, b"web7", b"a line\n", unknown, at_ms + 30_000),
            Record(3, b"web8", good.encode(), RawHeaders("postfix", "UTC").encode(), at_ms - 7_200_000),
            Record(4, b"web7", b"", beat.encode(), at_ms + 40_700),
            Record(5, b"web8", b"", beat.encode(), at_ms - 7_200_000),
        ],
        at_ms,
    )
    of_web7, of_web8 = worker.joined
    assert of_web7 == JoinedLines(
        since_ms=at_ms + 700,
        lines=11,
        recent_lines=11,
        recent_ms=40_000,
        formats=("postfix",),
        letters=(("line", 1), ("record", 1)),
        clock_skew_ms=700,
    )
    assert of_web8.clock_skew_ms == -7_200_000  # its zone is not UTC


def test_a_message_older_than_the_longest_retry_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003cA-1b" in line]
    kafka = Kafka()
    worker = Worker(kafka)
    finish(worker, make_records(lines, []), 0)
    ((key, value),) = [(key, value) for key, value in kafka.changelog.items() if key != RANGES_KEY]
    queued_at = decode_stored(value).message.queued_at
    worker.join.tend(queued_at + RULES.give_up_after_ms + 1, kafka.committed)
    kafka.confirm_all()
    assert key not in kafka.changelog
    assert worker.counts.given_up == 1


def test_a_large_table_is_tidied_a_few_entries_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_store, "SWEEP_ENTRIES", 2)
    lines = [
        f"2026-11-23 13:42:18 1vNBq{letter}-0003cA-1b <= anna@example.org U=anna P=local S=600 for b@example.net"
        for letter in "abcde"
    ]
    kafka = Kafka()
    worker = Worker(kafka)
    finish(worker, make_records(lines, []), 0)
    assert worker.join.parked_messages == 5
    for left in (3, 1, 0, 0):
        worker.join.tend(SENT_MS + 2 * RULES.give_up_after_ms, kafka.committed)
        kafka.confirm_all()
        assert (worker.join.parked_messages, len(kafka.changelog.keys() - {RANGES_KEY})) == (left, left)
    assert worker.counts.given_up == 5


def test_a_changed_format_is_seen_at_the_server_that_changed() -> None:
    """The alarm of `postwatch_unreadable_lines_total`: a line that claims to matter, and is written in another way."""
    known = b"Nov 23 08:00:00 mx7 postfix/smtp[7]: 7F00AA: to=<a@b.example>, relay=none, delay=1, status=deferred (x)\n"
    changed = known.replace(b", relay=", b"; relay=")
    worker = Worker(Kafka())
    headers = RawHeaders("postfix", "UTC", sent_ms=SENT_MS).encode()
    worker.take([Record(0, b"old.example", known, headers), Record(1, b"new.example", changed, headers)])
    sources = worker.counts.tally.sources
    assert sources["old.example", "postfix"].unreadable.total() == 0
    assert sources["new.example", "postfix"].unreadable == {"a delivery whose fields make no sense": 1}
    worker.kafka.confirm_all()
    assert [letter.value for letter in worker.kafka.letters] == [changed.rstrip(b"\n")]


class ForgetfulWorker(Worker):
    """Confirms at once and keeps only numbers, so that what grows is the join's own memory."""

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Confirm) -> int:
        for _ in turns:
            pass
        self.kafka.send(lambda: None, confirm)
        return 1

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        confirm()


def test_messages_that_never_complete_are_parked_and_memory_stays() -> None:
    head = (
        "2026-03-02 08:00:00 1vwyDG-{number:06d}-1X <= a@b.example H=(x) [198.51.100.7] P=esmtp S=1 for c@d.example\n"
    )
    headers = RawHeaders("exim-main", "UTC", sent_ms=SENT_MS).encode()
    worker = ForgetfulWorker(Kafka())
    process = psutil.Process()
    resident = []
    for offset in range(200):
        value = "".join(head.format(number=number) for number in range(offset * 1000, (offset + 1) * 1000))
        worker.take([Record(offset, b"web7", value.encode(), headers)], now=offset)
        worker.kafka.confirm_all()
        worker.join.tend(offset, worker.kafka.committed)
        worker.commit()
        assert worker.join.open_messages <= MAX_OPEN_MESSAGES
        if offset in (99, 199):
            resident.append(process.memory_info().rss)
    assert worker.counts.parked == 200_000 - worker.join.open_messages
    assert worker.join.parked_messages == worker.counts.parked
    assert resident[1] - resident[0] < 16 * 1024 * 1024


def test_messages_that_closed_leave_no_more_than_their_names_to_a_fetch_that_waits() -> None:
    stamp, headers = "2026-03-02 08:00:00 1vwyDG-{number:06d}-1X", RawHeaders("exim-main", "UTC", sent_ms=SENT_MS)
    arrival = stamp + " <= a@b.example H=(x) [198.51.100.7] P=esmtp S=1 for c@d.example\n"
    end = stamp + " => c@d.example R=dnslookup T=remote_smtp H=x.example [198.51.100.8]\n" + stamp + " Completed\n"
    worker = ForgetfulWorker(Kafka())
    fetches, messages = 20, 500
    texts = [arrival.format(number=999_999)]
    for number in range(0, fetches * messages, messages):
        for part in (arrival, end):
            texts.append("".join(part.format(number=each) for each in range(number, number + messages)))
    tracemalloc.start()
    for offset, text in enumerate(texts):
        worker.take([Record(offset, b"web7", text.encode(), headers.encode())], now=offset * 1000)
        worker.kafka.confirm_all()
        worker.join.tend(offset * 1000, 0)
        if offset == len(texts) // 2:
            before, _ = tracemalloc.get_traced_memory()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert worker.join.retained_fetches == len(texts)
    assert (after - before) / (fetches * messages / 2) < 400


@pytest.mark.parametrize("bound", ["MAX_IN_FLIGHT", "MAX_IN_FLIGHT_BYTES"])
def test_what_is_under_way_to_the_changelog_stops_the_reading(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(message_store, bound, 0)
    lines = [line for line in lines_of(HOSTING_DAY) if "-0003cA-1b" in line]
    worker = Worker(Kafka())
    worker.take(make_records(lines, []))
    assert not worker.join.is_full
    worker.join.tend(70_000, 0)
    assert worker.join.is_full
    worker.kafka.confirm_all()
    assert not worker.join.is_full


def test_long_lines_of_open_messages_are_parked_early() -> None:
    stamp, subject = "2026-03-02 08:00:00 1vwyDG-{number:06d}-1X", "x" * 60_000
    arrival = stamp + f' <= a@b.example H=(x) [198.51.100.7] P=esmtp S=1 T="{subject}" for c@d.example\n'
    end = stamp + " => c@d.example R=dnslookup T=remote_smtp H=x.example [198.51.100.8]\n" + stamp + " Completed\n"
    headers = RawHeaders("exim-main", "UTC", sent_ms=SENT_MS).encode()
    worker = ForgetfulWorker(Kafka())
    for text in (arrival, end):
        for number in range(1000):
            value = text.format(number=number).encode()
            worker.take([Record(worker.join.next_offset, b"web7", value, headers)], now=0)
            assert worker.join.open_messages * len(subject) <= MAX_OPEN_CHARACTERS
    assert worker.join.open_messages == 0


def test_of_what_clients_were_told_nothing_is_parked_once_the_log_is_further_on() -> None:
    """Every refusal makes an entry. One that is still of use, because the log of its server stood still, is parked."""
    lines = [
        f"Nov 23 09:{minute:02}:00 mx postfix/smtpd[{minute + 7}]: NOQUEUE: reject: RCPT from x[192.0.2.5]: 550 5.1.1 "
        f"<u{minute}@h.example>: no; from=<x@far.example> to=<u{minute}@h.example> proto=ESMTP helo=<x>"
        for minute in range(10)
    ]
    kafka = Kafka()
    worker = Worker(kafka)
    for minute, record in enumerate(make_records(lines, list(range(1, 10)))):
        worker.take([record], minute * 60_000)
        kafka.confirm_some(100)
        worker.join.tend(minute * 60_000, kafka.committed)
        worker.commit()
    assert worker.join.parked_messages == 0
    assert len(table_rows(kafka.rows)) == 10
    worker.join.tend(20 * 60_000, kafka.committed)
    assert worker.join.parked_messages == 1
