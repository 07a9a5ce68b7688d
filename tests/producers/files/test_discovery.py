"""Globs mean the files of today and their rotations, and never an innocent neighbour."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from postwatch.producers.files.discovery import LOOKS_PER_ROUND, Discovery, FileKey, FoundFile, classify, discover
from postwatch.producers.ship_settings import FollowedGlob


@pytest.mark.parametrize(
    ("name", "pattern", "live"),
    [
        ("mainlog", "mainlog", "mainlog"),
        ("mainlog.1", "mainlog", "mainlog"),
        ("mainlog.12.gz", "mainlog", "mainlog"),
        ("mainlog-20261123", "mainlog", "mainlog"),
        ("mainlog-20261123.gz", "mainlog", "mainlog"),
        ("mainlog-2026-11-23_04:05.gz", "mainlog", "mainlog"),
        ("mainlog.2026-11-23T04", "mainlog", "mainlog"),
        ("mainlog-20261123.1.gz", "mainlog", "mainlog"),
        ("mainlog.1.xz", "mainlog", "mainlog"),
        ("mainlog-20261123.zst", "mainlog", "mainlog"),
        ("mainlog.3.zip", "mainlog", "mainlog"),
        ("mainlog.3.7z", "mainlog", "mainlog"),
        ("mainlog.1", "mainlog*", "mainlog"),
        ("mail.log.1", "*.log", "mail.log"),
        ("mail-20261123.log", "mail-*.log", "mail-20261123.log"),
        ("mail.1", "mail.*", "mail.1"),
        ("mainlog.bak", "mainlog", None),
        ("mainlog.1.swp", "mainlog", None),
        ("mainlog.1.doc", "mainlog", None),
        ("rejectlog", "mainlog", None),
        ("mainlog2", "mainlog", None),
    ],
)
def test_names(name: str, pattern: str, live: str | None) -> None:
    assert classify(name, pattern) == live


def test_rotations_come_first_and_the_oldest_of_them_before_the_others(tmp_path: Path) -> None:
    for name, seconds in (("mainlog", 400), ("mainlog.1", 300), ("mainlog.3.gz", 100), ("mainlog.2.gz", 200)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (seconds, seconds))
    (tmp_path / "mainlog.d").mkdir()
    found, trouble = discover([FollowedGlob(f"{tmp_path}/mainlog", "exim-main")])
    assert [Path(file.path).name for file in found] == ["mainlog.3.gz", "mainlog.2.gz", "mainlog.1", "mainlog"]
    assert [file.is_rotated for file in found] == [True, True, True, False]
    assert {file.live_path for file in found} == {f"{tmp_path}/mainlog"}
    assert found[0].modified_ms == 100_000
    assert trouble == []


def test_the_first_glob_that_fits_decides_the_format(tmp_path: Path) -> None:
    (tmp_path / "rejectlog").touch()
    (tmp_path / "mainlog").touch()
    globs = [FollowedGlob(f"{tmp_path}/rejectlog", "exim-reject"), FollowedGlob(f"{tmp_path}/*log", "exim-main")]
    found, _ = discover(globs)
    assert {Path(file.path).name: file.format for file in found} == {"rejectlog": "exim-reject", "mainlog": "exim-main"}


def test_folders_may_be_globs_too(tmp_path: Path) -> None:
    for folder in ("a/logs", "b/logs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "mainlog").touch()
    found, _ = discover([FollowedGlob(f"{tmp_path}/*/logs/mainlog", "auto")])
    assert len(found) == 2


def test_what_matches_nothing_is_said(tmp_path: Path) -> None:
    found, trouble = discover([FollowedGlob(f"{tmp_path}/mianlog", "auto")])
    assert found == []
    assert trouble == [(f"{tmp_path}/mianlog", "no such file yet")]


def test_a_folder_that_cannot_be_listed_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "mainlog").touch()
    found, trouble = discover([FollowedGlob(f"{tmp_path}/file/*", "auto"), FollowedGlob(f"{tmp_path}/mainlog", "auto")])
    assert [file.path for file in found] == [f"{tmp_path}/mainlog"]
    assert trouble == [(f"{tmp_path}/file", "Not a directory"), (f"{tmp_path}/file/*", "no such file yet")]


def test_a_dangling_link_is_not_there_and_a_looping_one_is_trouble(tmp_path: Path) -> None:
    (tmp_path / "mainlog").touch()
    (tmp_path / "mainlog.1").symlink_to(tmp_path / "gone")
    (tmp_path / "mainlog.2").symlink_to(tmp_path / "mainlog.2")
    found, trouble = discover([FollowedGlob(f"{tmp_path}/mainlog", "auto")])
    assert [file.path for file in found] == [f"{tmp_path}/mainlog"]
    assert [one.path for one in trouble] == [f"{tmp_path}/mainlog.2"]


@pytest.mark.parametrize(("name", "expected"), [("20261123-081500", True), ("mainlog-20261123", False), ("2.1", False)])
def test_a_file_that_is_named_by_its_time_alone_is_a_segment(tmp_path: Path, name: str, expected: bool) -> None:
    """KumoMTA names its files so, and adds to them until it begins the next one."""
    (tmp_path / name).write_bytes(b"")
    (found,), _ = discover([FollowedGlob(str(tmp_path / "*"), "kumomta")])
    assert (found.is_segment, found.is_rotated) == (expected, True)


NAMES = ("a.log", "b.log", "a.log.1", "other")


def _change(folder: Path, what: str, name: str, other: str) -> None:
    path, target = folder / name, folder / other
    if what == "write":
        path.write_text("line\n")
    elif what == "replace":
        (folder / "new").write_text("another file\n")
        (folder / "new").rename(path)
    elif what == "link":
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    elif what == "hard link" and target.exists() and name != other:
        path.unlink(missing_ok=True)
        path.hardlink_to(target)
    elif what == "swap" and path.exists() and target.exists() and name != other:
        path.rename(folder / "between")
        target.rename(path)
        (folder / "between").rename(target)
    elif what == "rename" and path.exists():
        path.rename(target)
    elif what == "delete":
        path.unlink(missing_ok=True)


@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(("write", "replace", "link", "hard link", "swap", "rename", "delete", "nothing")),
            st.sampled_from(NAMES),
            st.sampled_from(NAMES),
        ),
        max_size=2 * LOOKS_PER_ROUND,
    )
)
@example([("write", "a.log", "a.log"), ("nothing", "a.log", "a.log"), ("replace", "a.log", "a.log")])
@example([("write", "a.log", "a.log"), ("write", "b.log", "a.log"), ("swap", "a.log", "b.log")])
@example([("write", "a.log", "a.log"), ("rename", "a.log", "other"), ("link", "a.log", "other")])
def test_what_is_held_open_is_found_as_if_every_file_were_asked(changes: Sequence[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        globs = (FollowedGlob(f"{folder}/a*", "a"), FollowedGlob(f"{folder}/*.log", "auto"))
        discovery = Discovery(globs)
        held: set[FileKey] = set()
        for change in changes:
            _change(Path(folder), *change)
            found, errors = discovery.look(held)
            (expected, expected_errors) = discover(globs)
            assert sorted(map(_identity, found)) == sorted(map(_identity, expected))
            assert errors == expected_errors
            assert [file for file in found if file.key not in held] == [
                file for file in expected if file.key not in held
            ]
            for file in found:
                if not file.is_rotated and file.key not in held:
                    opened.enter_context(open(file.path, "rb"))
                    held.add(file.key)


def _identity(file: FoundFile) -> tuple[FileKey, str, str, str]:
    return file.key, file.path, file.live_path, file.format


def test_without_a_change_the_same_list_is_returned_and_only_now_and_then_all_are_asked(tmp_path: Path) -> None:
    """A file that is held tells by its descriptor what it holds."""
    log = tmp_path / "mainlog"
    log.touch()
    discovery = Discovery([FollowedGlob(str(log), "auto")])
    first, _ = discovery.look()
    with log.open("a") as file:
        file.write("line\n")
        file.flush()
        held = {first[0].key}
        looks = [discovery.look(held)[0] for _ in range(LOOKS_PER_ROUND)]
    assert all(look is first for look in looks[:-1])
    assert [found.size_bytes for found in looks[-1]] == [5]
    (tmp_path / "mainlog.1").touch()
    assert [Path(found.path).name for found in discovery.look(held)[0]] == ["mainlog.1", "mainlog"]
