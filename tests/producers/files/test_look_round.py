"""Files that are written to are looked at in every turn, quiet ones in turns, and none is passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from postwatch.producers.files import look_round
from postwatch.producers.files.discovery import FileKey, FoundFile
from postwatch.producers.files.fingerprint import identify
from postwatch.producers.files.known_file import KnownFile, OpenFile
from postwatch.producers.files.look_round import QUIET_AFTER_MS, LookRound
from postwatch.producers.files.source import PlainSource


@contextmanager
def opened(folder: Path, number: int) -> Iterator[list[OpenFile]]:
    """So many logs, last written to at 0."""
    files = []
    for index in range(number):
        path = folder / f"log{index}"
        path.write_text("line\n")
        found = FoundFile(FileKey(1, index), str(path), str(path), "exim-main", 5, 0)
        files.append(OpenFile(PlainSource(str(path)), found, now_ms=0))
    try:
        yield files
    finally:
        for file in files:
            file.source.close()


@pytest.mark.parametrize(("number", "turns"), [(0, 1), (50, 1), (51, 2), (250, 5), (5001, 99)])
def test_every_quiet_file_has_its_turn(tmp_path: Path, number: int, turns: int) -> None:
    with opened(tmp_path, min(number, 300)) as some:
        files = (some * (number // 300 + 1))[:number]
        looks = LookRound()
        looks.renew(files, QUIET_AFTER_MS)
        parts = [looks.due() for _ in range(turns)]
        assert [file for part in parts for file in part] == files
        assert looks.due() == parts[0]


def test_a_file_is_awake_while_it_is_written_to_or_its_lines_wait(tmp_path: Path) -> None:
    with opened(tmp_path, 60) as files:
        looks = LookRound()
        looks.renew(files, QUIET_AFTER_MS - 1)
        assert looks.due() == files
        files[59].active_ms = 1
        files[58].lingers_since_ms = 1
        files[57].is_rotated = True
        looks.renew(files, QUIET_AFTER_MS)
        for _ in range(2):
            assert looks.due()[:3] == files[57:60]


def test_a_quiet_file_that_is_written_to_is_looked_at_in_every_turn_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_round, "FEWEST_QUIET", 1)
    with opened(tmp_path, 4) as files:
        looks = LookRound()
        looks.renew(files, QUIET_AFTER_MS)
        assert looks.due() == [files[0]]
        looks.wake(files[0], QUIET_AFTER_MS)  # nothing was in it
        files[1].lingers_since_ms = QUIET_AFTER_MS
        assert looks.due() == [files[1]]
        looks.wake(files[1], QUIET_AFTER_MS)
        looks.wake(files[1], QUIET_AFTER_MS)
        assert [looks.due() for _ in range(4)] == [
            [files[1], files[2]],
            [files[1], files[3]],
            [files[1], files[0]],
            [files[1]],
        ]
        looks.forget(files[1])
        looks.forget(files[2])
        assert looks.due() == [files[2]]


def test_a_quiet_file_is_left_out_while_nothing_is_in_it(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as [file]:
        identity = identify(b"line\n", "nonce")
        assert identity is not None
        file.attach(KnownFile(identity, file.found, now_ms=0))
        assert file.tail is not None
        assert file.tail.read()
        looks = LookRound()
        looks.renew([file], QUIET_AFTER_MS)
        assert looks.due() == [file]  # no look has found it empty yet
        status = os.stat(file.found.path)
        file.idle_at = (file.tail.byte_offset, status.st_mtime_ns)
        assert looks.due() == []
        with Path(file.found.path).open("a") as log:
            log.write("x")
        assert looks.due() == [file]
        os.truncate(file.found.path, 2)
        assert looks.due() == [file]
        os.truncate(file.found.path, 5)
        os.utime(file.found.path, ns=(0, status.st_mtime_ns))
        assert looks.due() == []
        os.utime(file.found.path, ns=(0, status.st_mtime_ns + 1))  # it was written again to the same size
        assert looks.due() == [file]
