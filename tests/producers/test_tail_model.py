"""The shipper against a model: whatever writers, rotations, restarts and crashes do, no line is lost or misplaced.

Real files; Kafka and the clock are fakes. At the end of a history, when everything was drained:

- every whole line is in Kafka, but for those in `lost`: they were never there, and no file held them any more;
- a line is there once, and once more for each end of the shipper at which its checkpoint did not cover the line;
- the lines of one file came in their order, no record left a hole, and nothing came that was never written;
- a place (file, byte offset) never meant two different lines, for the join skips what it saw by its place.

POSTWATCH_TEST_HISTORIES=2000 (and pytest --timeout=0) plays so many histories of 60 steps instead of a few short ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from postwatch.producers.files.checkpoint import load_checkpoint
from postwatch.producers.record import CUT_MARK, Headers
from postwatch.producers.service.errors import PublishError

from tests.producers.fakes import FakePublisher, MailServer, Published
from tests.producers.files.compressing import COMPRESSORS

KEPT_ROTATIONS = 4
SUFFIXES = (".gz", ".zst", ".zip")
HISTORIES = int(os.environ.get("POSTWATCH_TEST_HISTORIES", "0"))


class Killed(Exception):
    """kill -9, at whichever step it was."""


@dataclass
class MortalPublisher(FakePublisher):
    """A Kafka client whose process may be killed before and after anything that it does."""

    steps_left: int | None = None
    refuses: bool = False

    def step(self) -> None:
        if self.steps_left == 0:
            raise Killed
        if self.steps_left:
            self.steps_left -= 1

    def publish(self, value: bytes, headers: Headers, acknowledged: Callable[[], None], now_ms: int) -> None:
        self.step()
        super().publish(value, headers, acknowledged, now_ms)
        self.step()

    def poll(self, seconds: float) -> None:
        self.step()
        if self.refuses:
            raise PublishError("Kafka refused a record")
        super().poll(seconds)

    def acknowledge(self, count: int) -> None:
        for _ in range(count):
            super().acknowledge(1)
            self.step()

    def end(self, arrived: int) -> None:
        """The process is no more: of the records under way only so many, the first ones, are in Kafka."""
        in_flight = {id(acknowledged) for acknowledged, _, _ in self.waiting}
        lines_under_way = sum(id(record.acknowledged) in in_flight for record in self.records)
        if lines_under_way > arrived:
            del self.records[arrived - lines_under_way :]
        self.waiting.clear()
        self.steps_left, self.refuses = None, False


@dataclass
class Log:
    """A file as its writer knows it, under whichever name, or none."""

    lines: list[bytes] = field(default_factory=list)
    begun: bytes = b""
    """A line whose newline is still to come."""


class TailMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="postwatch-model-"))
        self.server = MailServer(self.folder)
        self.kafka = self.server.publisher = MortalPublisher()
        self.server.start()
        self.is_up = True
        self.written: Counter[bytes] = Counter()
        self.may_repeat: Counter[bytes] = Counter()
        self.lost: set[bytes] = set()
        self.all_logs: list[Log] = []
        self.logs: dict[str, Log] = {}
        """By the names in the folder."""
        self.held: dict[int, Log] = {}
        """Deleted, and still open in the shipper: by inode."""
        self.number = self.days = 0
        self.is_in_line = False
        self.open_writer()
        self.server.shipper.turn()  # what was rotated before the first look is not read

    # The writer

    def open_writer(self) -> None:
        """It creates the file if it has to."""
        self.writer = os.open(self.server.mainlog, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if "mainlog" not in self.logs:
            self.logs["mainlog"] = Log()
            self.all_logs.append(self.logs["mainlog"])
            self.set_time(self.writer)
        self.log = self.logs["mainlog"]

    def next_line(self, length: int = 0) -> bytes:
        """No two are alike, neither at their beginning nor at their end: real ones have a time and an id."""
        self.number += 1
        return b"line %d %s %d\n" % (self.number, b"x" * length, self.number)

    def write(self, content: bytes) -> None:
        self.server.now_ms += 7
        os.write(self.writer, content)
        self.set_time(self.writer)
        *whole, self.log.begun = (self.log.begun + content).split(b"\n")
        for line in whole:
            self.log.lines.append(line + b"\n")
            self.written[_short(line)] += 1

    def set_time(self, file: int | Path) -> None:
        os.utime(file, ns=(self.server.now_ms * 1_000_000, self.server.now_ms * 1_000_000))

    @rule(lengths=st.lists(st.sampled_from([0, 40, 3000, 70_000]), min_size=1, max_size=4))
    def write_lines(self, lengths: list[int]) -> None:
        self.finish_line()
        self.write(b"".join(self.next_line(length) for length in lengths))

    @rule()
    def begin_a_line(self) -> None:
        self.finish_line()
        self.is_in_line = True
        self.number += 1
        self.write(b"line %d begins" % self.number)

    @rule()
    def finish_line(self) -> None:
        """Behind a copytruncate the rest of a line is a line of its own."""
        if self.is_in_line:
            self.is_in_line = False
            self.write(b" and ends as line %d\n" % self.number)

    @rule()
    def reopen(self) -> None:
        """What the daemon does when it is told of a rotation."""
        self.finish_line()
        os.close(self.writer)
        self.open_writer()

    # Rotations

    @rule(is_told=st.booleans())
    def rename_in_a_cascade(self, is_told: bool) -> None:
        """mainlog → mainlog.1 → mainlog.2 …; the writer goes on in the old file until it is told."""
        for suffix in ("", *SUFFIXES):
            self.remove(f"mainlog.{KEPT_ROTATIONS}{suffix}")
            for number in range(KEPT_ROTATIONS - 1, 0, -1):
                self.rename(f"mainlog.{number}{suffix}", f"mainlog.{number + 1}{suffix}")
        self.rename("mainlog", "mainlog.1")
        if is_told:
            self.reopen()

    @rule(is_told=st.booleans())
    def rename_to_a_date(self, is_told: bool) -> None:
        self.rename("mainlog", self.next_date())
        if is_told:
            self.reopen()

    def next_date(self) -> str:
        self.days += 1
        return f"mainlog-2026{self.days:04}"

    @rule(lengths=st.lists(st.sampled_from([0, 3000]), max_size=2), turns=st.integers(0, 2))
    def copytruncate(self, lengths: list[int], turns: int) -> None:
        """What the writer adds between copy and truncation is lost, unless the shipper reads it in that moment.

        If it does, the copy ends before the place that was reached: nothing proves whose copy it is, and it is sent
        once more, as a file of its own, rather than perhaps never.
        """
        if "mainlog" not in self.logs:
            return
        copy = self.folder / self.next_date()
        shutil.copyfile(self.server.mainlog, copy)
        self.set_time(copy)
        self.logs[copy.name] = Log(list(self.logs["mainlog"].lines), self.logs["mainlog"].begun)
        for length in lengths:
            self.write(self.next_line(length))
        for _ in range(turns if self.is_up else 0):
            self.server.now_ms += 300
            self.server.shipper.turn()
        copied = [_short(line) for line in self.logs[copy.name].lines]
        added = {_short(line) for line in self.logs["mainlog"].lines[len(copied) :]}
        if added & self.in_kafka():
            self.may_repeat.update(copied)
        self.truncate()

    @rule()
    def truncate(self) -> None:
        """Without a copy: what was not read is lost."""
        if "mainlog" not in self.logs:
            return
        os.truncate(self.server.mainlog, 0)
        self.set_time(self.server.mainlog)
        is_written_to = self.log is self.logs["mainlog"]
        self.logs["mainlog"] = Log()
        self.all_logs.append(self.logs["mainlog"])
        if is_written_to:
            self.log = self.logs["mainlog"]
        self.note_losses()

    @precondition(lambda self: self.is_up and len(self.log.lines) > 1 and self.logs.get("mainlog") is self.log)
    @rule()
    def begin_again_with_the_same_first_line(self) -> None:
        """Only what was acknowledged before can be told from what is written again (see fingerprint.py)."""
        self.finish_line()
        first = self.log.lines[0]
        self.drain()
        self.truncate()
        self.write(first + self.next_line(20))
        self.drain()

    @rule(
        number=st.integers(1, KEPT_ROTATIONS), is_dated=st.booleans(), suffix=st.sampled_from([".gz", ".zst", ".zip"])
    )
    def compress(self, number: int, is_dated: bool, suffix: str) -> None:
        """As gzip and zstd do it: the time of change is kept. Not while somebody writes to the file (delaycompress).

        What is compressed before any of it was read may be read from both: its first line was not whole when it was
        followed, so nothing tells that the two are one.
        """
        name = f"mainlog-2026{self.days + 1 - number:04}" if is_dated else f"mainlog.{number}"
        if name not in self.logs or self.logs[name] is self.log:
            return
        lines = [_short(line) for line in self.logs[name].lines]
        if not set(lines) & self.in_kafka():
            self.may_repeat.update(lines)
        path, compressed = self.folder / name, self.folder / f"{name}{suffix}"
        status = path.stat()
        compressed.write_bytes(COMPRESSORS[suffix](path.read_bytes()))
        os.utime(compressed, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.logs[compressed.name] = self.logs[name]
        self.remove(name)

    @rule(number=st.integers(0, 6), is_read_first=st.booleans())
    def delete(self, number: int, is_read_first: bool) -> None:
        """A file that the shipper has open is read to its end all the same."""
        names = sorted(self.logs)
        if is_read_first and self.is_up:
            self.drain()
        self.remove(names[number % len(names)] if names else "")

    def rename(self, old: str, new: str) -> None:
        if old in self.logs:
            self.remove(new)
            os.rename(self.folder / old, self.folder / new)
            self.logs[new] = self.logs.pop(old)

    def remove(self, name: str) -> None:
        if name in self.logs:
            path = self.folder / name
            inode = path.stat().st_ino
            if any(file.key.inode == inode for file in self.server.registry.open):
                self.held[inode] = self.logs[name]
            path.unlink()
            del self.logs[name]
            self.note_losses()

    # The shipper and its Kafka

    @precondition(lambda self: self.is_up)
    @rule(milliseconds=st.sampled_from([0, 300, 1500, 5000, 70_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.server.pass_time(milliseconds, step_ms=max(300, milliseconds // 10))

    @precondition(lambda self: self.is_up)
    @rule(holds_back=st.booleans(), room_bytes=st.sampled_from([100, 100_000, 1 << 30]))
    def kafka_changes_its_mood(self, holds_back: bool, room_bytes: int) -> None:
        self.kafka.holds_back = holds_back
        self.kafka.room_bytes = room_bytes

    @precondition(lambda self: self.is_up)
    @rule(count=st.integers(1, 3))
    def kafka_acknowledges_some(self, count: int) -> None:
        self.kafka.acknowledge(min(count, len(self.kafka.waiting)))

    def drain(self) -> None:
        self.kafka.holds_back = False
        self.kafka.room_bytes = 1 << 30
        self.server.pass_time(5000, step_ms=1000)

    @precondition(lambda self: self.is_up)
    @rule(steps=st.integers(0, 12), arrived=st.integers(0, 3), refuses=st.booleans())
    def crash(self, steps: int, arrived: int, refuses: bool) -> None:
        """Killed before or after one of the next acts: a record handed over, acknowledged, a checkpoint written."""
        real_fsync = os.fsync

        def fsync(descriptor: int) -> None:
            self.kafka.step()
            real_fsync(descriptor)

        self.kafka.steps_left, self.kafka.refuses = steps, refuses
        try:
            with mock.patch("os.fsync", fsync):
                self.server.pass_time(3000, step_ms=1000)
        except (Killed, PublishError):
            pass
        self.kafka.end(arrived)
        self.server.registry.close()
        self.has_ended()

    @precondition(lambda self: self.is_up)
    @rule(arrived=st.integers(0, 3))
    def stop(self, arrived: int) -> None:
        """Kafka may not answer in time."""
        self.server.shipper.stop()
        self.kafka.end(arrived)
        self.has_ended()

    def has_ended(self) -> None:
        self.is_up = False
        saved = load_checkpoint(self.server.checkpoint_file)
        reached = {file.identity.fingerprint: file.acknowledged.byte_offset for file in saved.files} if saved else {}
        for record in self.kafka.records:
            if record.headers.end_offset > reached.get(record.headers.file, 0):
                self.may_repeat.update(_lines(record))
        self.held.clear()
        self.note_losses()

    @precondition(lambda self: not self.is_up)
    @rule(hours=st.sampled_from([0, 0, 3]))
    def start(self, hours: int) -> None:
        self.server.now_ms += hours * 3_600_000
        self.server.start()
        self.is_up = True

    # What must hold

    @invariant()
    def note_losses(self) -> None:
        """What is in no file any more, and was not handed to Kafka before it went, is nobody's to send."""
        for inode in set(self.held) - {file.key.inode for file in self.server.registry.open}:
            assert {_short(line) for line in self.held[inode].lines} <= self.in_kafka() | self.lost or (
                self.held[inode] is self.log
            ), "a deleted file was closed before it was read"
            del self.held[inode]
        there = {_short(line) for log in (*self.logs.values(), *self.held.values()) for line in log.lines}
        self.lost |= set(self.written) - there - self.in_kafka()

    def in_kafka(self) -> set[bytes]:
        return {line for record in self.kafka.records for line in _lines(record)}

    def teardown(self) -> None:
        self.server.now_ms += 10_000
        if not self.is_up:
            self.server.start()
        for _ in range(3):
            self.drain()
        self.server.registry.close()
        os.close(self.writer)
        shutil.rmtree(self.folder)
        published = Counter(line for record in self.kafka.records for line in _lines(record))
        assert not set(published) - set(self.written), "a line was never written"
        assert not self.lost & set(published), "the model is wrong about a loss"
        lasting = Counter({line: count for line, count in self.written.items() if line not in self.lost})
        assert lasting - published == Counter(), "lines are missing"
        assert published - self.written - self.may_repeat == Counter(), "lines were repeated without a reason"
        self.check_order_of_lines()
        self.check_places()

    def check_order_of_lines(self) -> None:
        first_seen: dict[bytes, int] = {}
        for number, line in enumerate(line for record in self.kafka.records for line in _lines(record)):
            first_seen.setdefault(line, number)
        for log in self.all_logs:
            once = [_short(line) for line in log.lines if self.written[_short(line)] == 1]
            seen = [first_seen[line] for line in once if line in first_seen]
            assert seen == sorted(seen), "lines of one file in another order"

    def check_places(self) -> None:
        reached: dict[str, int] = {}
        places: dict[tuple[str, int], bytes] = {}
        for record in self.kafka.records:
            file, offset = record.headers.file, record.headers.byte_offset
            assert offset <= reached.get(file, offset), "a hole in a file"
            reached[file] = max(reached.get(file, 0), record.headers.end_offset)
            for line in record.value.splitlines(keepends=True):
                assert places.setdefault((file, offset), line) == line
                offset += len(line)
            assert CUT_MARK in record.value or offset == record.headers.end_offset


def _lines(record: Published) -> list[bytes]:
    return [_short(line) for line in record.value.splitlines()]


def _short(line: bytes) -> bytes:
    """A line that was cut is still the same line."""
    return line.rstrip(b"\n") if len(line) < 1000 else b" ".join(line.split(b" ", 2)[:2])


TailMachine.TestCase.settings = settings(
    max_examples=HISTORIES or 300,
    stateful_step_count=60 if HISTORIES else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_the_shipper_and_the_model_agree = TailMachine.TestCase
