"""One file read forwards: whole lines only, each at its place, and nothing of a file that has become another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from postwatch.producers.files.cutting import cut_line
from postwatch.producers.files.fingerprint import PROOF_BYTES, START, Position, identify
from postwatch.producers.files.source import PlainSource
from postwatch.producers.files.tail import Chunk, Tail, TruncatedError
from postwatch.producers.record import MAX_RECORD_BYTES

_FOLLOW_SHORT_FILES = """
import sys
from pathlib import Path
from postwatch.producers.service.memory import bound_heap
from tests.producers.files.test_tail import open_tail

def mappings():
    return len(Path("/proc/self/maps").read_text().splitlines())

bound_heap()
before = mappings()
tails = []
for number in range(500):
    path = Path(sys.argv[1], f"log{number}")
    path.write_bytes(b"line %d\\n" % number)
    tails.append(open_tail(path))
    assert tails[-1].read() and not tails[-1].read()
print(mappings() - before)
"""


def open_tail(path: Path, position: Position = START) -> Tail:
    source = PlainSource(str(path))
    identity = identify(source.read_at(0, 4096), "nonce")
    assert identity
    return Tail(source, identity, position)


def read_all(tail: Tail) -> list[Chunk]:
    chunks: list[Chunk] = []
    while found := tail.read():
        chunks += found
    return chunks


def values(chunks: list[Chunk]) -> bytes:
    return b"".join(chunk.value for chunk in chunks)


def test_chunks_follow_each_other_without_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "mainlog"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100_000)) + b"begun")
    chunks = read_all(open_tail(path))
    assert values(chunks) + b"begun" == path.read_bytes()
    assert all(len(chunk.value) <= MAX_RECORD_BYTES for chunk in chunks)
    ends = [0, *(chunk.end.byte_offset for chunk in chunks)]
    assert [chunk.byte_offset for chunk in chunks] == ends[:-1]


def test_every_end_is_a_place_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "mainlog"
    path.write_bytes(b"short\n" + b"x" * 70_000 + b"\n" + b"y\n" * 200_000 + b"z" * 600_000 + b"\nend\n")
    chunks = read_all(open_tail(path))
    for number, chunk in enumerate(chunks):
        following = read_all(open_tail(path, chunk.end))
        assert values(following) == values(chunks[number + 1 :])
    assert [chunk.is_cut for chunk in chunks].count(True) == 2


def test_a_line_longer_than_any_block_is_found_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "mainlog"
    path.write_bytes(b"x" * 3_000_000)
    tail = open_tail(path)
    assert tail.read() == []
    with open(path, "ab") as file:
        file.write(b"x" * 1_000_000)
    assert tail.read() == []
    with open(path, "ab") as file:
        file.write(b"\nnext\n")
    long, following = read_all(tail)
    assert long.value == cut_line(b"x" * 100_000)
    assert (long.byte_offset, long.end.byte_offset) == (0, 4_000_001)
    assert following.value == b"next\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"one\n",
        b"one\ntwo\nthreE\n",
        b"onE\ntwo\nthree\n",
        b"\0" * 14,
        b"quite another and longer\nfile\n",
    ],
)
def test_another_file_is_never_read_on(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mainlog"
    path.write_bytes(b"one\ntwo\nthree\n")
    tail = open_tail(path)
    assert read_all(tail)
    path.write_bytes(content)
    with pytest.raises(TruncatedError):
        tail.read()


def test_a_file_that_has_only_its_first_line_in_common_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "mainlog"
    path.write_bytes(b"one\n")
    tail = open_tail(path)
    path.write_bytes(b"one\ntwo\n")
    assert values(read_all(tail)) == b"one\ntwo\n"
    path.write_bytes(b"one\nTWO\nthree\n")
    with pytest.raises(TruncatedError):
        tail.read()


def test_a_position_of_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mainlog"
    path.write_bytes(b"one\ntwo\n")
    with pytest.raises(TruncatedError):
        open_tail(path, Position(4, "digest of other bytes"))


def test_a_hole_at_the_beginning_is_skipped_in_one_read(tmp_path: Path) -> None:
    path = tmp_path / "mainlog"
    with open(path, "wb") as file:
        file.seek(50_000_000)
        file.write(b"one\n")
    tail = open_tail(path)
    (chunk,) = tail.read()
    assert (chunk.value, chunk.byte_offset) == (b"one\n", 50_000_000)
    assert tail.skipped_nuls == 50_000_000
    assert chunk.end.proof_bytes == PROOF_BYTES


def test_thousands_of_short_files_keep_no_memory_for_a_whole_record_each(tmp_path: Path) -> None:
    """As a shipper has its heap: tried in a process of its own."""
    command = [sys.executable, "-c", _FOLLOW_SHORT_FILES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100
