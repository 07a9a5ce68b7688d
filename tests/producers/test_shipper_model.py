"""The shipper against a model: whatever writers, rotations, restarts and crashes do, no line is lost or misplaced.

Real files, a fake Kafka. At the end: every whole line was published; without a crash exactly as often as it was
written; and a place (file, byte offset) never meant two different lines, for the join skips what it saw by its place.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.producers.fakes import MailServer


class ShipperMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="postwatch-model-"))
        self.server = MailServer(self.folder)
        self.is_up = True
        self.has_crashed = False
        self.written: Counter[bytes] = Counter()
        self.live_lines: list[bytes] = []
        """Whole lines of the live file."""
        self.begun = b""
        """A line whose newline is still to come."""
        self.number = 0
        self.rotations = 0
        self.server.mainlog.touch()

    def next_line(self, length: int) -> bytes:
        """No two are alike, neither at their beginning nor at their end: real ones have a time and an id."""
        self.number += 1
        return b"line %d %s %d\n" % (self.number, b"x" * length, self.number)

    def write(self, content: bytes) -> None:
        self.server.now_ms += 7
        self.server.write(content)

    def note(self, line: bytes) -> None:
        self.written[line] += 1
        self.live_lines.append(line)

    def finish_line(self) -> None:
        if self.begun:
            self.write(b"\n")
            self.note(self.begun + b"\n")
            self.begun = b""

    @rule(lengths=st.lists(st.sampled_from([0, 40, 3000, 70_000]), min_size=1, max_size=4))
    def write_lines(self, lengths: list[int]) -> None:
        self.finish_line()
        lines = [self.next_line(length) for length in lengths]
        self.write(b"".join(lines))
        for line in lines:
            self.note(line)

    @rule()
    def begin_a_line(self) -> None:
        self.finish_line()
        self.begun = self.next_line(10)[:-1]
        self.write(self.begun)

    @rule()
    def rename_and_create(self) -> None:
        self.finish_line()
        self.rotations += 1
        self.server.rename(f"mainlog.{self.rotations}")
        self.live_lines = []

    @rule()
    def copytruncate(self) -> None:
        self.finish_line()
        self.rotations += 1
        copy = self.folder / f"mainlog-2026{self.rotations:04}"
        shutil.copy(self.server.mainlog, copy)
        self.server.touch(copy)
        os.truncate(self.server.mainlog, 0)
        self.server.touch(self.server.mainlog)
        self.live_lines = []

    @precondition(lambda self: self.is_up and len(self.live_lines) > 1)
    @rule()
    def begin_again_with_the_same_first_line(self) -> None:
        """Truncation without a copy loses what wasn't read: so it is read first."""
        self.finish_line()
        self.kafka_is_well()
        self.server.pass_time(4000, step_ms=1000)
        first, self.live_lines = self.live_lines[0], []
        another = self.next_line(20)
        self.server.mainlog.write_bytes(first + another)
        self.server.touch(self.server.mainlog)
        self.note(first)
        self.note(another)

    @rule(number=st.integers(1, 5))
    def compress(self, number: int) -> None:
        """As gzip does it: the time of change is kept."""
        path = self.folder / f"mainlog.{number}"
        if path.exists():
            status = path.stat()
            compressed = path.with_name(path.name + ".gz")
            compressed.write_bytes(gzip.compress(path.read_bytes()))
            os.utime(compressed, ns=(status.st_atime_ns, status.st_mtime_ns))
            path.unlink()

    @precondition(lambda self: self.is_up)
    @rule(milliseconds=st.sampled_from([0, 300, 1500, 5000, 70_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.server.pass_time(milliseconds, step_ms=max(300, milliseconds // 10))

    @precondition(lambda self: self.is_up)
    @rule(holds_back=st.booleans(), room_bytes=st.sampled_from([100, 100_000, 1 << 30]))
    def kafka_changes_its_mood(self, holds_back: bool, room_bytes: int) -> None:
        self.server.publisher.holds_back = holds_back
        self.server.publisher.room_bytes = room_bytes

    def kafka_is_well(self) -> None:
        self.server.publisher.holds_back = False
        self.server.publisher.room_bytes = 1 << 30

    @precondition(lambda self: self.is_up)
    @rule(acknowledged=st.integers(0, 3))
    def crash(self, acknowledged: int) -> None:
        self.has_crashed = True
        publisher = self.server.publisher
        publisher.acknowledge(min(acknowledged, len(publisher.waiting)))
        self.server.crash()

    @precondition(lambda self: self.is_up)
    @rule()
    def stop(self) -> None:
        self.kafka_is_well()
        self.server.shipper.stop()
        self.is_up = False

    @precondition(lambda self: not self.is_up)
    @rule(hours=st.sampled_from([0, 3]))
    def start(self, hours: int) -> None:
        self.server.now_ms += hours * 3_600_000
        self.server.start()
        self.is_up = True

    @invariant()
    def a_place_means_one_line(self) -> None:
        places: dict[tuple[str, int], bytes] = {}
        for record in self.server.publisher.records:
            offset = record.headers.byte_offset
            for line in record.value.splitlines(keepends=True):
                assert places.setdefault((record.headers.file, offset), line) == line
                offset += len(line)
            is_cut = b"[line cut by postwatch]" in record.value
            assert is_cut or offset == record.headers.end_offset

    def teardown(self) -> None:
        self.kafka_is_well()
        self.server.now_ms += 10_000
        if not self.is_up:
            self.server.start()
        self.server.pass_time(15_000, step_ms=1000)
        self.server.roster.close()
        shutil.rmtree(self.folder)
        published = Counter(_number_of(line) for line in self.server.publisher.lines())
        written = Counter({_number_of(line): count for line, count in self.written.items()})
        assert written - published == Counter(), "lines are missing"
        if not self.has_crashed:
            assert published - written == Counter(), "lines were repeated without a crash"
        self.check_order()

    def check_order(self) -> None:
        """Within a file, what is published for the first time comes in the order in which it stands there."""
        reached: dict[str, int] = {}
        for record in self.server.publisher.records:
            file, offset = record.headers.file, record.headers.byte_offset
            assert offset <= reached.get(file, offset), "a hole in a file"
            reached[file] = max(reached.get(file, 0), record.headers.end_offset)


def _number_of(line: bytes) -> bytes:
    """A line that was cut is still the same line."""
    return b" ".join(line.split(b" ", 2)[:2])


ShipperMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
test_the_shipper_and_the_model_agree = ShipperMachine.TestCase
