"""The sink against fakes: nothing is acknowledged before it is safe, whatever fails, goes away or comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.producers.service.health import Health
from postwatch.producers.service.outages import OutageLog
from postwatch.streams.contracts.arrow_stream import decode_stream, encode_stream
from postwatch.streams.contracts.columns import TEXT, UINT8, About, columns_of
from postwatch.streams.contracts.dead_letters import DeadLetterSender
from postwatch.streams.contracts.row_contract import DecodedRecord, RowContract
from postwatch.streams.sink.batch import RowBatcher
from postwatch.streams.sink.consumer import LONGEST_WAIT_SECONDS, Sink, Target, backoff_seconds
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.streams.fakes import MARKER, FakeBroker, FakeClock, FakeMessage, FakeProducer, FakeSource, FakeTable, Place

TOPIC = "mail.outcomes"
SCHEMA = pa.schema([pa.field("n", pa.int64())])
NOISE = b"noise"
Happening = Callable[["Bench"], None]


def decode(value: bytes) -> DecodedRecord:
    """b'1 2' → a table of two rows; raises ValueError for noise."""
    return DecodedRecord(pa.table({"n": pa.array([int(word) for word in value.split()], pa.int64())}, SCHEMA))


class Bench:
    """A sink with everything around it faked; `run` is one process's life, `broker` and `table` outlive it."""

    def __init__(
        self,
        records: dict[Place, list[bytes]],
        table: FakeTable | None = None,
        decode: Callable[[bytes], DecodedRecord] = decode,
    ) -> None:
        self.decode = decode
        self.broker = FakeBroker(records)
        self.table = table or FakeTable()
        self.producer = FakeProducer()
        self.clock = FakeClock()
        self.health = Health()
        self.complaints: list[dict[str, str]] = []
        self.source = FakeSource(self.broker, self.clock)

    def run(self, happenings: Iterable[Happening | None] = ()) -> None:
        """Until everything is read and written, or one of the happenings, one each poll, has stopped it."""
        self.stopping = threading.Event()
        bound = (partial(happening, self) if happening else None for happening in happenings)
        self.source = FakeSource(self.broker, self.clock, bound, self._stop_when_done)
        targets = {topic: Target("table", self.decode, self.table.insert) for topic, _ in self.broker.partitions}
        letters = DeadLetterSender(self.producer, "dead")  # type: ignore[arg-type]
        buffer = RowBatcher(max_rows=10, max_wait_seconds=0.5)
        outage = OutageLog("clickhouse", self.health, self.clock)
        Sink(self.source, targets, letters, buffer, self.health, outage, self.stopping, self.clock).run()

    def _stop_when_done(self) -> None:
        self.complaints.append(self.health.complaints())
        if self.source.is_done():
            self.stopping.set()

    def refused(self) -> list[int]:
        rows = [value for _, value, headers in self.producer.sent if headers["reason"] == b"refused-row"]
        return [row["n"] for value in rows for row in decode_stream(value).to_pylist()]

    def noise(self) -> int:
        return sum(headers["reason"] == b"undecodable-record" for _, _, headers in self.producer.sent)


def test_rows_are_written_in_one_insert_and_acknowledged() -> None:
    bench = Bench({(TOPIC, 0): [b"1 2", b"3"], (TOPIC, 1): [b"4"]})
    bench.run()
    assert bench.table.tries == [4]
    assert sorted(bench.table.taken) == [1, 2, 3, 4]
    assert bench.broker.committed == {(TOPIC, 0): 2, (TOPIC, 1): 1}


def test_each_topic_has_its_table() -> None:
    bench = Bench({("mail.outcomes", 0): [b"1"], ("mail.heartbeats", 0): [b"2", b"3"]})
    bench.run()
    assert sorted(bench.table.tries) == [1, 2]


def test_an_outage_is_waited_for_with_partitions_paused_and_polls_going_on() -> None:
    bench = Bench({(TOPIC, 0): [b"1 2"]}, FakeTable(away=frozenset(range(1, 8))))
    retries = REGISTRY.get_sample_value("postwatch_sink_retries_total", {"table": "table"}) or 0
    paused: list[bool] = []
    bench.run([lambda bench: paused.append(bool(bench.source.paused))] * 50)
    assert bench.table.taken == [1, 2]
    assert bench.broker.committed == {(TOPIC, 0): 1}
    assert REGISTRY.get_sample_value("postwatch_sink_retries_total", {"table": "table"}) == retries + 7
    assert paused.count(True) > 7
    assert not paused[-1] or not bench.source.paused
    assert {"clickhouse": "nobody there"} in bench.complaints
    assert bench.health.complaints() == {}


def test_a_refused_row_is_dead_lettered_with_where_it_came_from() -> None:
    bench = Bench({(TOPIC, 0): [b"1 2"], (TOPIC, 3): [b"4", b"5 6 7"]}, FakeTable(poison=frozenset({6})))
    bench.run()
    assert sorted(bench.table.taken) == [1, 2, 4, 5, 7]
    [(topic, value, headers)] = bench.producer.sent
    assert topic == "dead"
    assert decode_stream(value).to_pylist() == [{"n": 6}]
    assert headers == {
        "v": b"1",
        "reason": b"refused-row",
        "topic": b"mail.outcomes",
        "partition": b"3",
        "offset": b"1",
        "detail": b"poison",
    }
    assert bench.broker.committed == {(TOPIC, 0): 1, (TOPIC, 3): 2}


def test_a_record_that_cannot_be_decoded_is_dead_lettered_whole() -> None:
    bench = Bench({(TOPIC, 0): [b"1", NOISE, b"2"]})
    bench.run()
    assert bench.table.taken == [1, 2]
    [(_, value, headers)] = bench.producer.sent
    assert (value, headers["reason"], headers["offset"]) == (NOISE, b"undecodable-record", b"1")


class Number(NamedTuple):
    n: Annotated[int, About(UINT8, "", is_required=True)] = 0
    word: Annotated[str, About(TEXT, "")] = ""


def arrow(**columns: list[Any]) -> bytes:
    return encode_stream(pa.table(columns))


def test_records_of_older_and_newer_versions_are_written_together_and_their_columns_counted() -> None:
    values = [arrow(n=[1]), arrow(n=[2], word=["x"], new=[3.5]), arrow(word=["y"], n=[3]), arrow(n=[4])]
    bench = Bench({(TOPIC, 0): values}, decode=RowContract("a number", columns_of(Number)).decode)
    names = ("postwatch_sink_unknown_columns_total", "postwatch_sink_missing_columns_total")
    before = [REGISTRY.get_sample_value(name, {"topic": TOPIC}) or 0 for name in names]
    with capture_logs() as logged:
        bench.run()
    assert bench.table.tries == [4]
    assert bench.table.taken == [1, 2, 3, 4]
    after = [REGISTRY.get_sample_value(name, {"topic": TOPIC}) or 0 for name in names]
    assert [late - early for late, early in zip(after, before, strict=True)] == [1, 2]
    told = [(line["event"], line["columns"]) for line in logged if "columns" in line]
    assert told == [("missing_columns_filled", ("word",)), ("unknown_columns_left_out", ("new",))]


def test_a_row_with_a_number_out_of_range_is_dead_lettered_and_the_others_are_written() -> None:
    values = [arrow(n=[1, 2]), arrow(n=[3, 300, 4])]
    bench = Bench({(TOPIC, 0): values}, decode=RowContract("a number", columns_of(Number)).decode)
    bench.run()
    assert bench.table.taken == [1, 2, 3, 4]
    assert bench.refused() == [300]
    [(_, _, headers)] = bench.producer.sent
    assert (headers["offset"], headers["detail"]) == (b"1", b"n: 300 is out of range for uint8")
    assert bench.broker.committed == {(TOPIC, 0): 2}


def test_nothing_is_acknowledged_before_its_dead_letter_is() -> None:
    bench = Bench({(TOPIC, 0): [NOISE]})
    bench.producer.errors = [KafkaError(KafkaError._MSG_TIMED_OUT)] * 3
    committed_too_early: list[bool] = []
    bench.run([lambda bench: committed_too_early.append(bool(bench.broker.committed) and not bench.producer.sent)] * 30)
    assert bench.noise() == 1
    assert not any(committed_too_early)
    assert any("dead-letters" in complaints for complaints in bench.complaints)
    assert bench.health.complaints() == {}


def test_stopping_writes_what_was_read() -> None:
    bench = Bench({(TOPIC, 0): [b"1", b"2", b"3"]})
    bench.run([None, lambda bench: bench.stopping.set()])
    assert bench.table.taken == [1, 2]
    assert bench.broker.committed == {(TOPIC, 0): 2}


def test_stopping_while_clickhouse_is_away_acknowledges_nothing_and_does_not_wait() -> None:
    bench = Bench({(TOPIC, 0): [b"1", b"2"]}, FakeTable(away=frozenset(range(1, 1000))))
    bench.run([None] * 20 + [lambda bench: bench.stopping.set()])
    assert bench.broker.committed == {}
    assert bench.table.taken == []
    bench.table.away = frozenset()
    bench.run()
    assert bench.table.taken == [1, 2]


def test_stopping_during_an_outage_does_not_acknowledge_what_was_read_behind_the_batch() -> None:
    batch = b"0 1 2 3 4 5 6 7 8 9"
    bench = Bench({(TOPIC, 0): [batch, b"10"]}, FakeTable(away=frozenset({1})))
    bench.run([None, None, lambda bench: bench.stopping.set()])
    assert bench.broker.committed == {}
    bench.run()
    assert bench.table.taken == list(range(11))


def test_a_rebalance_during_an_outage_forgets_the_batch_and_reads_it_again() -> None:
    def rebalance(bench: Bench) -> None:
        assert bench.source.paused
        bench.table.away = frozenset()
        bench.source.rebalance()
        assert not bench.source.paused

    bench = Bench({(TOPIC, 0): [b"1", b"2", b"3"]}, FakeTable(away=frozenset(range(1000))))
    bench.run([None] * 8 + [rebalance])
    assert bench.table.taken == [1, 2, 3]
    assert bench.broker.committed == {(TOPIC, 0): 3}


def test_a_revocation_forgets_what_was_read() -> None:
    bench = Bench({(TOPIC, 0): [b"1"], (TOPIC, 1): [b"2"]})
    bench.run([None, None, lambda bench: bench.source.rebalance(lost=1)])
    assert bench.table.taken == [2]
    assert bench.broker.committed == {(TOPIC, 1): 1}


def test_records_that_expired_unread_are_counted() -> None:
    def forget_two(bench: Bench) -> None:
        held = bench.broker.partitions[TOPIC, 0]
        bench.source._positions[TOPIC, 0] = bench.broker.earliest[TOPIC, 0] = 3
        assert len(held) == 4

    expired = REGISTRY.get_sample_value("postwatch_sink_expired_records_total", {"topic": TOPIC}) or 0
    bench = Bench({(TOPIC, 0): [b"1", b"2", b"3", b"4"]})
    bench.run([None, forget_two])
    assert bench.table.taken == [1, 4]
    assert REGISTRY.get_sample_value("postwatch_sink_expired_records_total", {"topic": TOPIC}) == expired + 2


def test_offsets_of_markers_are_neither_expired_nor_lag() -> None:
    """Control records of transactions take offsets between records, and behind the last one."""

    expired = REGISTRY.get_sample_value("postwatch_sink_expired_records_total", {"topic": TOPIC}) or 0
    bench = Bench({(TOPIC, 0): [b"1", MARKER, MARKER, b"4", MARKER]})
    bench.run()
    assert bench.table.taken == [1, 4]
    assert (REGISTRY.get_sample_value("postwatch_sink_expired_records_total", {"topic": TOPIC}) or 0) == expired
    assert bench.broker.committed == {(TOPIC, 0): 5}
    assert bench.health.complaints() == {}


def test_a_topic_that_can_not_be_read_is_complained_of_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench({(TOPIC, 0): [b"1"]})
    error = FakeMessage((TOPIC, 0), 0, None, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    poll, answers = FakeSource.poll, [error]
    monkeypatch.setattr(FakeSource, "poll", lambda self, timeout: answers.pop() if answers else poll(self, timeout))
    seen: list[dict[str, str]] = []
    bench.run([lambda bench: seen.append(bench.health.complaints())])
    assert "mail.outcomes: " in seen[0]["records"]
    assert bench.table.taken == [1]
    assert bench.health.complaints() == {}


def test_waits_grow_to_a_bound_and_stay_there() -> None:
    waits = [backoff_seconds(number) for number in (*range(8), 100_000)]
    assert waits == sorted(waits)
    assert waits[0] == 0.25
    assert waits[-1] == LONGEST_WAIT_SECONDS


RECORD = st.lists(st.integers(0, 40), max_size=4).map(lambda numbers: " ".join(map(str, numbers)).encode())
RECORDS = st.lists(RECORD | st.just(NOISE), max_size=8)
HAPPENINGS = st.lists(
    st.sampled_from(
        [
            None,
            None,
            None,
            lambda bench: bench.source.rebalance(),
            lambda bench: bench.source.rebalance(lost=1),
            lambda bench: bench.stopping.set(),
        ],
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(
    st.dictionaries(st.tuples(st.sampled_from([TOPIC, "mail.heartbeats"]), st.integers(0, 1)), RECORDS, min_size=1),
    st.frozensets(st.integers(0, 40), max_size=5),
    st.frozensets(st.integers(1, 30)),
    st.lists(HAPPENINGS, max_size=3),
    st.integers(0, 4),
)
def test_whatever_happens_every_row_is_written_or_dead_lettered(
    records: dict[Place, list[bytes]],
    poison: frozenset[int],
    away: frozenset[int],
    lives: list[list[Happening | None]],
    errors: int,
) -> None:
    bench = Bench(records, FakeTable(poison, room=12, away=away))
    bench.producer.errors = [KafkaError(KafkaError._MSG_TIMED_OUT)] * errors

    def acknowledged_are_safe() -> None:
        for place, end in bench.broker.committed.items():
            for value in records[place][:end]:
                if value != NOISE:
                    assert set(map(int, value.split())) <= set(bench.table.taken) | set(bench.refused())
        noise = sum(records[place][:end].count(NOISE) for place, end in bench.broker.committed.items())
        assert bench.noise() >= noise

    for happenings in lives:
        bench.run(happenings)
        acknowledged_are_safe()
    bench.run()
    acknowledged_are_safe()
    assert bench.broker.committed == {place: len(held) for place, held in records.items() if held}
    everything = {int(word) for held in records.values() for value in held if value != NOISE for word in value.split()}
    assert set(bench.table.taken) == everything - poison
    assert set(bench.refused()) == everything & poison
