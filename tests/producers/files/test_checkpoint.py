"""The checkpoint survives everything, or says what is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.files.checkpoint import (
    Checkpoint,
    SavedFile,
    claim_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from postwatch.producers.files.discovery import FileKey
from postwatch.producers.files.fingerprint import Identity, Position
from postwatch.producers.service.errors import BadInputError, SettingsError

CHECKPOINT = Checkpoint(
    1_790_000_000_123,
    (
        SavedFile(
            Identity("f1", 80, "d1"),
            Position(4096, "p1"),
            "/var/log/mainlog",
            "/var/log/mainlog.1",
            FileKey(64769, 1234),
            is_finished=True,
        ),
    ),
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    assert load_checkpoint(path) is None
    save_checkpoint(path, CHECKPOINT)
    assert load_checkpoint(path) == CHECKPOINT
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_crash_while_saving_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, CHECKPOINT)

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, Checkpoint(0, ()))
    assert load_checkpoint(path) == CHECKPOINT


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"version": 2, "scanned_ms": 1, "files": []}',
        b'{"version": 1, "scanned_ms": 1, "files": [{}]}',
        b'{"version": 1, "files": []}',
    ],
)
def test_a_damaged_one_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "move it away to have every followed file sent again" in str(caught.value)


@given(cut=st.integers(0, 400))
def test_a_torn_one_is_never_half_believed(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "checkpoint.json"
    save_checkpoint(path, CHECKPOINT)
    content = path.read_bytes()
    if cut < len(content.rstrip()):
        path.write_bytes(content[:cut])
        with pytest.raises(BadInputError):
            load_checkpoint(path)


def test_an_unreadable_one_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="can't be read: Is a directory"):
        load_checkpoint(tmp_path)


def test_only_one_shipper_may_have_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "checkpoint.json"
    lock = claim_checkpoint(path, "POSTWATCH_SHIP_CHECKPOINT_FILE")
    with pytest.raises(SettingsError, match=r"POSTWATCH_SHIP_CHECKPOINT_FILE=.* is in use by another shipper"):
        claim_checkpoint(path, "POSTWATCH_SHIP_CHECKPOINT_FILE")
    os.close(lock)
    os.close(claim_checkpoint(path, "POSTWATCH_SHIP_CHECKPOINT_FILE"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"POSTWATCH_SHIP_CHECKPOINT_FILE=.*: (Not a directory|File exists)"):
        claim_checkpoint(tmp_path / "file" / "checkpoint.json", "POSTWATCH_SHIP_CHECKPOINT_FILE")
