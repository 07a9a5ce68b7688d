"""A fault of Postwatch costs a line or a message, and never the stream."""

from __future__ import annotations

import pytest
from postwatch.streams.errors import StoreError
from postwatch.streams.joining.merge import add_attempt
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.rows import RowMaker
from postwatch.streams.parsers.events import Attempt, Parsed
from postwatch.streams.parsers.exim import main_log
from postwatch.streams.parsers.exim.fast_path import read_delivery
from postwatch.streams.partition import message_store
from postwatch.streams.partition.failures import FailureLog, place_of

from tests.streams.partition.test_partition_join import Kafka, Worker, finish, make_records, table_rows

ADD_ATTEMPT = "postwatch.streams.joining.joiner.add_attempt"
GOOD, BAD = "1vwyE0-0003cA-1b", "1vwyE1-0003cB-2c"


def lines_of_a_message(queue_id: str, recipient: str) -> list[str]:
    head = f"2026-03-02 08:00:00 {queue_id}"
    return [
        f"{head} <= anna@bakery.example H=(x) [198.51.100.7] P=esmtpsa A=dovecot_login:anna@bakery.example S=1 id=m",
        f'{head} => {recipient} R=dnslookup T=remote_smtp H=mx.far.example [192.0.2.9] C="250 OK"',
        f"{head} Completed",
    ]


def both() -> list[str]:
    good, bad = lines_of_a_message(GOOD, "g@far.example"), lines_of_a_message(BAD, "b@far.example")
    return [line for pair in zip(bad, good, strict=True) for line in pair]


def play(lines: list[str], cuts: list[int]) -> Worker:
    worker = Worker(Kafka())
    records = make_records(lines, cuts)
    for record in records:
        worker.take([record])
    finish(worker, records, 0)
    assert worker.kafka.committed == len(records)
    assert worker.join.open_messages == worker.join.retained_fetches == worker.join.parked_messages == 0
    return worker


def recipients(worker: Worker) -> list[str]:
    return [row["recipient"] for row in table_rows(worker.kafka.rows)]


def test_a_line_on_which_a_parser_fails_is_a_dead_letter_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(line: str, at: int) -> Parsed | None:
        if BAD in line:
            raise KeyError(line)
        return read_delivery(line, at)

    monkeypatch.setattr(main_log, "read_delivery", failing)
    worker = play(both(), [1, 2, 3])
    assert [(letter.reason, letter.value) for letter in worker.kafka.letters] == [("parser-error", both()[2].encode())]
    assert worker.kafka.letters[0].detail.startswith("KeyError at test_failures.py:")
    assert recipients(worker) == ["g@far.example"]
    total = worker.counts.tally.total()
    assert total.lines == total.events + total.ignored.total() + total.unreadable.total() == 6
    assert total.unreadable == {"parser-error": 1}
    assert worker.counts.failures.counts == {"parser": 1, "joiner": 0}


@pytest.mark.parametrize("cuts", [[], [1, 2, 3, 4, 5]], ids=("one record", "a record a line"))
def test_an_event_on_which_the_join_fails_costs_its_message(monkeypatch: pytest.MonkeyPatch, cuts: list[int]) -> None:
    def failing(message: Message, event: Attempt) -> None:
        if event.queue_id == BAD:
            raise ValueError(event)
        add_attempt(message, event)

    monkeypatch.setattr(ADD_ATTEMPT, failing)
    worker = play(both(), cuts)
    assert [letter.value for letter in worker.kafka.letters] == [both()[0].encode(), both()[2].encode()]
    assert {letter.reason for letter in worker.kafka.letters} == {"joiner-error"}
    assert recipients(worker) == ["g@far.example"]
    assert worker.counts.failures.counts == {"parser": 0, "joiner": 1}


@pytest.mark.parametrize("cuts", [[], [1, 2, 3, 4, 5]], ids=("one record", "a record a line"))
def test_rows_that_can_not_be_made_cost_their_message(monkeypatch: pytest.MonkeyPatch, cuts: list[int]) -> None:
    add_rows = RowMaker.add_rows

    def failing(self: RowMaker, message: Message, recipient: str, rows: list[object]) -> None:
        add_rows(self, message, recipient, rows)  # type: ignore[arg-type]
        if message.queue_id == BAD:
            raise IndexError

    monkeypatch.setattr(RowMaker, "add_rows", failing)
    worker = play(both(), cuts)
    assert both()[0].encode() in [letter.value for letter in worker.kafka.letters]
    assert recipients(worker) == ["g@far.example"]


def test_earlier_rows_of_a_failed_message_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = lines_of_a_message(BAD, "b@far.example")
    failing_line = delivered[1].replace("b@far", "c@far")

    def failing(message: Message, event: Attempt) -> None:
        if event.recipient == "c@far.example":
            raise ValueError(event)
        add_attempt(message, event)

    monkeypatch.setattr(ADD_ATTEMPT, failing)
    worker = play([*delivered[:2], failing_line, delivered[2]], [2])
    assert recipients(worker) == ["b@far.example"]
    assert [letter.value.decode() for letter in worker.kafka.letters] == [*delivered[:2], failing_line]


def test_a_message_that_can_not_be_parked_or_told_as_pending_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> bytes:
        raise TypeError("not to be encoded")

    monkeypatch.setattr(message_store, "encode_stored", failing)
    arrival = lines_of_a_message(BAD, "b@far.example")[:1]
    worker = play([arrival[0] + " for b@far.example"], [])
    assert [letter.reason for letter in worker.kafka.letters] == ["joiner-error"]
    assert [(row["recipient"], row["status"]) for row in table_rows(worker.kafka.rows)] == [
        ("b@far.example", "pending")
    ]


def test_a_parked_message_that_fails_later_leaves_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of_a_message(BAD, "b@far.example")
    worker = Worker(Kafka())
    records = make_records(lines, [1])
    worker.take(records[:1])
    worker.join.tend(70_000, 0)
    worker.kafka.confirm_all()
    worker.join.tend(70_001, 0)
    worker.kafka.confirm_all()
    worker.commit()
    assert worker.join.parked_messages == 1

    def failing(message: Message, event: Attempt) -> None:
        raise ValueError(event)

    monkeypatch.setattr(ADD_ATTEMPT, failing)
    worker.take(records[1:], 80_000)
    finish(worker, records, 80_000)
    assert worker.join.parked_messages == worker.join.open_messages == 0
    assert worker.kafka.letters[0].value == lines[0].encode()


def test_a_table_that_can_not_be_read_ends_the_worker() -> None:
    """A broken disk is no fault of a message: else each would become a dead letter."""

    class Breaking(Worker):
        is_broken = False

        def get(self, key: bytes) -> bytes | None:
            if self.is_broken:
                raise OSError("input/output error")
            return super().get(key)

    worker = Breaking(Kafka())
    arrival, end = make_records(lines_of_a_message(BAD, "b@far.example"), [1])
    worker.take([arrival])
    worker.join.tend(70_000, 0)
    assert worker.join.parked_messages == 1
    worker.is_broken = True
    with pytest.raises(StoreError, match="input/output error"):
        worker.take([end])


def test_a_traceback_is_logged_once_for_each_place(capsys: pytest.CaptureFixture[str]) -> None:
    failures = FailureLog()
    errors = [_error_of(words) for words in ("first", "second")]
    assert [failures.report("parser", "mx1", error) for error in errors] == [place_of(errors[0])] * 2
    assert failures.counts == {"parser": 2, "joiner": 0}
    assert capsys.readouterr().out.count("line_failed") == 1


def _error_of(words: str) -> ValueError:
    with pytest.raises(ValueError, match=words) as raised:
        int(words)
    return raised.value
