"""The checkpoint: a JSON file that says which files are known and how far Kafka has each of them.

It is replaced as a whole (written beside, fsynced, renamed, the folder fsynced), so a crash leaves the old one or the
new one. One that can't be understood ends the process: beginning again unasked would send every line a second time.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from postwatch.producers.files.discovery import FileKey
from postwatch.producers.files.fingerprint import Identity, Position
from postwatch.producers.service.errors import BadInputError, SettingsError

CHECKPOINT_VERSION = 1
_FILES_AT_ONCE = 250


class SavedFile(NamedTuple):
    """One file in the checkpoint."""

    identity: Identity
    acknowledged: Position
    live_path: str
    path: str
    """Where it was seen last. A hint for people; a file is recognised by its content."""
    key: FileKey
    """What is tried first when the file is looked for."""
    is_finished: bool
    """Rotated and read to its end: nobody needs to worry when it's gone."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    scanned_ms: int
    """Rotations that have not changed since then are known, or were there before the first start."""
    files: tuple[SavedFile, ...]


def load_checkpoint(path: Path) -> Checkpoint | None:
    """None when there is none. Raises BadInputError that names the file and what to do."""
    try:
        return _decode(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInputError(f"the checkpoint {path} can't be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(
            f"the checkpoint {path} is damaged or of another version ({error!r}): restore it from a backup, "
            "or move it away to have every followed file sent again from its beginning"
        ) from error


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Raises OSError; then the old checkpoint is still there."""
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "wb") as file:
        file.writelines(_encode(checkpoint))
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def claim_checkpoint(path: Path, setting: str) -> int:
    """Make the folder and keep other shippers away while this process lives. Raises SettingsError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(
            f"{setting}={path}: {error.strerror}; name a file in a folder that the shipper may write to"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SettingsError(
            f"{setting}={path} is in use by another shipper: stop it, or give this one a checkpoint of its own"
        ) from error
    return lock


def _encode(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Many files in one call, which takes half as long as one by one; not all, for thousands would be megabytes."""
    yield b'{"version": %d, "scanned_ms": %d, "files": [' % (CHECKPOINT_VERSION, checkpoint.scanned_ms)
    for start in range(0, len(checkpoint.files), _FILES_AT_ONCE):
        files = [_encode_file(file) for file in checkpoint.files[start : start + _FILES_AT_ONCE]]
        yield (b", " if start else b"") + json.dumps(files)[1:-1].encode()
    yield b"]}\n"


def _encode_file(file: SavedFile) -> dict[str, Any]:
    identity, acknowledged = file.identity, file.acknowledged
    return {
        "identity": {
            "fingerprint": identity.fingerprint,
            "head_bytes": identity.head_bytes,
            "head_digest": identity.head_digest,
        },
        "acknowledged": {"byte_offset": acknowledged.byte_offset, "proof_digest": acknowledged.proof_digest},
        "live_path": file.live_path,
        "path": file.path,
        "key": file.key,
        "is_finished": file.is_finished,
    }


def _decode(found: Any) -> Checkpoint:
    if found["version"] != CHECKPOINT_VERSION:
        raise ValueError(f"version {found['version']}, this shipper writes version {CHECKPOINT_VERSION}")
    return Checkpoint(int(found["scanned_ms"]), tuple(_decode_file(one) for one in found["files"]))


def _decode_file(found: Any) -> SavedFile:
    device, inode = found["key"]
    return SavedFile(
        identity=Identity(**found["identity"]),
        acknowledged=Position(int(found["acknowledged"]["byte_offset"]), str(found["acknowledged"]["proof_digest"])),
        live_path=str(found["live_path"]),
        path=str(found["path"]),
        key=FileKey(int(device), int(inode)),
        is_finished=bool(found["is_finished"]),
    )
