"""`postwatch read` of long files: memory is flat, and rows do not depend on it or on the number of processes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.deploy.cli import main
from postwatch.streams.commands import laid_aside, newest_rows
from postwatch.streams.commands.newest_rows import NewestRows
from postwatch.streams.contracts.outcome import Attempt, Outcome, to_json_object
from postwatch.streams.contracts.outcome_json import encode_row
from postwatch.streams.errors import StoreError

from tests.benchmarks.workload import PLAIN, make_lines
from tests.streams.joining.test_golden import HOSTING_DAY, LOGS

READ = """
import resource, sys
from postwatch.deploy.cli import main
from postwatch.streams.commands import laid_aside, log_files, newest_rows, side_by_side
laid_aside.MOST_OPEN, newest_rows.MOST_ROWS, newest_rows._MOST_RUNS, newest_rows._MOST_BYTES = 200, 500, 8, 1 << 18
log_files._CHUNK_BYTES, side_by_side.FIRST_BLOCKS = 1 << 14, 1
status = main(["read", *sys.argv[1:]])
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak KiB", peak, "child", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0, file=sys.stderr)
sys.exit(status)
"""


def read_apart(*arguments: object) -> tuple[int, str, str]:
    """In a process of its own, with small bounds: exit status, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


def write_log(path: Path, lines: int) -> Path:
    """Of every tenth message the end is missing, so that ever more stay open."""
    kept = [line for line in make_lines(PLAIN, lines) if not (line.endswith(b"Completed") and line[35:36] == b"7")]
    path.write_bytes(b"".join(line + b"\n" for line in kept))
    return path


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_what_is_laid_aside_changes_no_row(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Line by line, with room for no open message and for one row."""
    assert main(["read", str(log)]) == 0
    expected = capsys.readouterr()
    monkeypatch.setattr(laid_aside, "MOST_OPEN", 0)
    monkeypatch.setattr(newest_rows, "MOST_ROWS", 1)
    monkeypatch.setattr("postwatch.streams.commands.log_files._CHUNK_BYTES", 64)
    assert main(["read", str(log)]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (expected.out, expected.err)


def test_two_processes_tell_what_one_tells(tmp_path: Path) -> None:
    log = write_log(tmp_path / "mainlog", 5_000)
    files = [log, *LOGS]
    one = read_apart("--processes", 1, *files)
    two = read_apart("--processes", 2, *files)
    assert one[0] == two[0] == 0
    assert one[1] == two[1]
    assert one[1].count("\n") > 1_500
    assert one[2].splitlines()[:-1] == two[2].splitlines()[:-1]
    assert (one[2].split()[-1], two[2].split()[-1]) == ("False", "True")


def test_a_file_that_another_process_can_not_read_is_named(tmp_path: Path) -> None:
    log = write_log(tmp_path / "mainlog", 2_000)
    status, out, err = read_apart("--processes", 2, log, tmp_path / "nowhere")
    assert (status, out) == (2, "")
    assert "nowhere can't be read: No such file or directory" in err


def test_standard_input_is_read_by_two_processes(tmp_path: Path) -> None:
    """It is a pipe: none of it may be lost where the reading goes on in another process."""
    log = write_log(tmp_path / "mainlog", 5_000)
    expected = read_apart("--processes", 1, log)
    with subprocess.Popen(["cat", log], stdout=subprocess.PIPE) as cat:
        command = [sys.executable, "-c", READ, "--processes", "2", "-"]
        done = subprocess.run(command, stdin=cat.stdout, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == expected[1]


def test_memory_stays_however_long_the_file(tmp_path: Path) -> None:
    peaks = []
    for lines in (20_000, 60_000):
        status, out, err = read_apart("--processes", 1, write_log(tmp_path / "mainlog", lines))
        assert status == 0
        assert out.count("\n") > lines * 0.29
        peaks.append(int(err.split()[-3]))
    assert peaks[1] < peaks[0] + 8_000, peaks


def test_rows_come_in_the_order_of_arrival(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", str(HOSTING_DAY)]) == 0
    times = [json.loads(line)["queued_at"] for line in capsys.readouterr().out.splitlines()]
    assert all(earlier <= later for earlier, later in pairwise(times))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
ROWS = st.builds(
    Outcome,
    account=st.sampled_from(["a@x.example", "b@x.example"]),
    queue_id=st.sampled_from("QRS"),
    queued_at=st.integers(0, 3),
    updated_at=st.integers(0, 1 << 42),
    server=st.just("web7"),
    recipient=st.sampled_from(["r", "s"]),
    direction=st.just("sent"),
    response=TEXTS,
    version=st.integers(0, 3),
    is_deleted=st.integers(0, 1),
    log_lines=st.lists(TEXTS, max_size=2).map(tuple),
    attempts=st.lists(st.builds(Attempt, at=st.integers(0, 1 << 42), response=TEXTS), max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(ROWS, max_size=40),
    most=st.integers(1, 9),
    runs=st.integers(2, 3),
    size=st.sampled_from([0, 1_500, 10_000]),
)
def test_of_each_key_the_highest_version_stays(rows: list[Outcome], most: int, runs: int, size: int) -> None:
    expected: dict[tuple[object, ...], Outcome] = {}
    for row in rows:
        key = row.queued_at, row.server, row.queue_id, row.recipient, row.account, row.direction
        if key not in expected or row.version >= expected[key].version:
            expected[key] = row
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newest_rows, "MOST_ROWS", most)
        patch.setattr(newest_rows, "_MOST_RUNS", runs)
        patch.setattr(newest_rows, "_BLOCK_ROWS", 2)
        for name in ("_MOST_BYTES", "_READ_BYTES", "_SKIPPED_BYTES"):
            patch.setattr(newest_rows, name, size)
        kept = NewestRows()
        for row in rows:
            kept.add([row])
        told = b"".join(kept.texts())
    assert told == b"".join(encode_row(row) + b"\n" for _, row in sorted(expected.items()) if not row.is_deleted)


def test_rows_of_several_runs_are_told_in_order_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_rows, "MOST_ROWS", 6)
    monkeypatch.setattr(newest_rows, "_BLOCK_ROWS", 2)
    rows = [Outcome(queued_at=place * 7 % 30, version=place) for place in range(90)]
    kept = NewestRows()
    for row in rows:
        kept.add([row])
        assert len(kept._entries) < 6
    newest = sorted(rows[-30:], key=lambda row: row.queued_at)
    assert b"".join(kept.texts()) == b"".join(encode_row(row) + b"\n" for row in newest)


def noted_reads(kept: NewestRows, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Where each read of lines begins and ends, from now on."""
    read: list[tuple[int, int]] = []
    read_lines = kept._lines.read

    def note(begin: int, end: int) -> bytes:
        read.append((begin, end))
        return read_lines(begin, end)

    monkeypatch.setattr(kept._lines, "read", note)
    return read


def test_lines_are_read_a_stretch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Outcome(queue_id=f"{number:04}", response="x" * 1_000) for number in range(100)]
    kept = NewestRows()
    kept.add(rows)
    monkeypatch.setattr(newest_rows, "_READ_BYTES", 10_000)
    read = noted_reads(kept, monkeypatch)
    list(kept.texts())
    assert [begin for begin, _ in read[1:]] == [end for _, end in read[:-1]]
    assert all(end - begin < 12_000 for begin, end in read)
    assert len(read) <= 20


def test_lines_far_from_each_other_are_not_read_with_all_that_is_between(monkeypatch: pytest.MonkeyPatch) -> None:
    between = Outcome(queue_id="1", response="x" * 100_000)
    rows = [Outcome(queue_id="0"), between, Outcome(queue_id="2"), between._replace(is_deleted=1)]
    kept = NewestRows()
    kept.add(rows)
    read = noted_reads(kept, monkeypatch)
    assert b"".join(kept.texts()) == encode_row(rows[0]) + b"\n" + encode_row(rows[2]) + b"\n"
    assert sum(end - begin for begin, end in read) < 10_000


def test_a_full_folder_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_rows, "_MOST_BYTES", 0)
    full = open("/dev/full", "w+b")  # noqa: SIM115  # to close it fails
    monkeypatch.setattr("tempfile.TemporaryFile", lambda prefix: full)
    try:
        with pytest.raises(StoreError, match=r"TMPDIR names its folder\): No space left on device"):
            NewestRows().add([Outcome()])
    finally:
        with suppress(OSError):
            full.close()


@given(row=ROWS)
def test_a_row_is_written_as_its_object_says(row: Outcome) -> None:
    assert json.dumps(json.loads(encode_row(row))) == json.dumps(to_json_object(row))
