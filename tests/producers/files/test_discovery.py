"""Globs mean the files of today and their rotations, and never an innocent neighbour."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from postwatch.producers.files.discovery import classify, discover
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
