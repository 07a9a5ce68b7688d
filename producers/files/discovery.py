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
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from postwatch.producers.files.compression import SUFFIXES
from postwatch.producers.ship_settings import FollowedGlob

_ROTATION = re.compile(rf"(?P<live>.+?)[.-]\d[\dT_.:-]*(?:{'|'.join(map(re.escape, SUFFIXES))})?")
_SEGMENT = re.compile(r"(?:.*/)?\d{6,}")

LOOKS_PER_ROUND = 10


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
    """A single look."""
    return Discovery(globs).look()


class Discovery:
    """Looks for the files of a set of globs, again and again.

    A file that the caller holds open is not asked for its status while its name stands for the same inode, as the list
    of the folder tells it: an inode is not used again while somebody has it open, so it is the same file, and what it
    holds by now its descriptor tells. A link never passes for its target: on one device they are two inodes. That a
    device was mounted over a single file no list tells; so each time in LOOKS_PER_ROUND every file is asked.
    """

    def __init__(self, globs: Iterable[FollowedGlob]) -> None:
        self._globs = tuple(globs)
        self._by_name: dict[tuple[FollowedGlob, str], dict[str, FoundFile]] = {}
        """What the look before has found: by glob and folder, then by name."""
        self._unsorted: list[FoundFile] = []
        self._sorted: list[FoundFile] = []
        self._looks = 0

    def look(self, held: Container[FileKey] = ()) -> tuple[list[FoundFile], list[ReadError]]:
        """Every file once, the glob that comes first deciding its format; rotations oldest first, then the live files.

        `held`: what the caller has open under the names that the look before has found. Size and time of these may be
        those of an earlier look. Where nothing has changed, the very list of the look before is returned.
        """
        if self._looks % LOOKS_PER_ROUND == 0:
            held = ()
        self._looks += 1
        found: dict[FileKey, FoundFile] = {}
        by_name: dict[tuple[FollowedGlob, str], dict[str, FoundFile]] = {}
        read_errors: list[ReadError] = []
        for followed in self._globs:
            folders, pattern = os.path.split(followed.glob)
            is_met = False
            for folder in sorted(glob.glob(folders, recursive=True)):
                before = self._by_name.get((followed, folder), {})
                files = _look_into(folder, pattern, followed.format, before, held, read_errors)
                for file in files.values():
                    found.setdefault(file.key, file)
                is_met = is_met or bool(files)
                by_name[followed, folder] = files
            if not is_met:
                read_errors.append(ReadError(followed.glob, "no such file yet"))
        self._by_name = by_name
        if (files_now := list(found.values())) != self._unsorted:
            self._unsorted, self._sorted = files_now, sorted(files_now, key=_reading_order)
        return self._sorted, read_errors


def _look_into(
    folder: str,
    pattern: str,
    log_format: str,
    before: Mapping[str, FoundFile],
    held: Container[FileKey],
    read_errors: list[ReadError],
) -> dict[str, FoundFile]:
    """By name, what of the folder the pattern means. `before`: what the look before has found there."""
    found: dict[str, FoundFile] = {}
    try:
        device = os.stat(folder).st_dev
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                file = before.get(name)
                if file is None or file.key != (device, entry.inode()) or file.key not in held:
                    file = _look_at(folder, name, pattern, log_format, read_errors)
                if file is not None:
                    found[name] = file
    except OSError as error:
        read_errors.append(ReadError(folder, error.strerror or str(error)))
        return {}
    return found


def _look_at(folder: str, name: str, pattern: str, log_format: str, read_errors: list[ReadError]) -> FoundFile | None:
    live = classify(name, pattern)
    if live is None:
        return None
    path = os.path.join(folder, name)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None  # rotated away since the folder was listed
    except OSError as error:
        read_errors.append(ReadError(path, error.strerror or str(error)))
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    key = FileKey(status.st_dev, status.st_ino)
    live_path = path if live == name else os.path.join(folder, live)
    return FoundFile(key, path, live_path, log_format, status.st_size, status.st_mtime_ns // 1_000_000)


def _reading_order(file: FoundFile) -> tuple[bool, int, str]:
    return (not file.is_rotated, file.modified_ms if file.is_rotated else 0, file.path)
