"""Which files a set of globs means at this moment, their rotations among them.

A rotation of NAME is NAME with a number or a date behind a dot or a dash: mainlog.1, mainlog.2.gz, mainlog-20261123. It
counts as one only where NAME itself fits the glob. A suffix of compression may follow; the content decides whether it
can be read. A folder or file that can't be looked at is returned as trouble, and the others are found all the same.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from postwatch.producers.files.compression import SUFFIXES
from postwatch.producers.ship_settings import FollowedGlob

_ROTATION = re.compile(rf"(?P<live>.+?)[.-]\d[\dT_.:-]*(?:{'|'.join(map(re.escape, SUFFIXES))})?")
_SEGMENT = re.compile(r"(?:.*/)?\d{6,}")


class FileKey(NamedTuple):
    """A file on this machine, as long as it exists."""

    device: int
    inode: int


class FoundFile(NamedTuple):
    """A file that a glob means."""

    key: FileKey
    path: str
    live_path: str
    """The name that its daemon writes to; `path` itself unless the file was rotated."""
    format: str
    size_bytes: int
    modified_ms: int

    @property
    def is_rotated(self) -> bool:
        return self.path != self.live_path

    @property
    def is_segment(self) -> bool:
        """Named by its time alone, as KumoMTA's files: its writer adds to it, and nobody copies it there."""
        return _SEGMENT.fullmatch(self.live_path) is not None


class ReadError(NamedTuple):
    """A path that can't be looked at or read, and why."""

    path: str
    reason: str


@lru_cache(maxsize=1 << 14)
def classify(name: str, pattern: str) -> str | None:
    """The live name that a file's name stands for under a pattern; None when the pattern doesn't mean it."""
    rotation = _ROTATION.fullmatch(name)
    if rotation and fnmatch.fnmatchcase(rotation["live"], pattern):
        return rotation["live"]
    return name if fnmatch.fnmatchcase(name, pattern) else None


def discover(globs: Iterable[FollowedGlob]) -> tuple[list[FoundFile], list[ReadError]]:
    """Every file once, the glob that comes first deciding its format; rotations oldest first, then the live files."""
    found: dict[FileKey, FoundFile] = {}
    read_errors: list[ReadError] = []
    for followed in globs:
        folders, pattern = os.path.split(followed.glob)
        is_met = False
        for folder in sorted(glob.glob(folders, recursive=True)):
            for file in _look_into(folder, pattern, followed.format, read_errors):
                found.setdefault(file.key, file)
                is_met = True
        if not is_met:
            read_errors.append(ReadError(followed.glob, "no such file yet"))
    return sorted(found.values(), key=_reading_order), read_errors


def _look_into(folder: str, pattern: str, log_format: str, read_errors: list[ReadError]) -> Iterator[FoundFile]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        read_errors.append(ReadError(folder, error.strerror or str(error)))
        return
    for name in names:
        live = classify(name, pattern)
        if live is None:
            continue
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue  # rotated away since the folder was listed
        except OSError as error:
            read_errors.append(ReadError(path, error.strerror or str(error)))
            continue
        if stat.S_ISREG(status.st_mode):
            key = FileKey(status.st_dev, status.st_ino)
            modified_ms = status.st_mtime_ns // 1_000_000
            live_path = path if live == name else os.path.join(folder, live)
            yield FoundFile(key, path, live_path, log_format, status.st_size, modified_ms)


def _reading_order(file: FoundFile) -> tuple[bool, int, str]:
    return (not file.is_rotated, file.modified_ms if file.is_rotated else 0, file.path)
