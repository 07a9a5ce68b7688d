"""A zip archive as the log files in it.

Entries are streamed, and the list of entries is bounded, so neither costs memory by what it unpacks to.
"""

from __future__ import annotations

import calendar
import sys
from typing import IO, cast

from postwatch.producers.files.compression import ZIP, Decompressed, UnreadableError, telling_damage

if sys.version_info >= (3, 14):
    import zipfile
else:
    from backports.zstd import zipfile  # Python's own, which also reads entries that are compressed with zstd

__all__ = ["ZipLog", "only_log", "zip_logs", "zipfile"]

_MOST_LISTED_BYTES = 8 << 20
_BESIDE_THE_FILES = "__MACOSX/"
_IS_ENCRYPTED = 1
_NO_TIME = 1980


class ZipLog:
    """One file in the archive."""

    def __init__(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._entry = entry
        self.name = entry.filename
        self.size_bytes = entry.file_size

    @property
    def written_ms(self) -> int | None:
        """When it was written to for the last time, by the clock on the wall there; None where that isn't noted."""
        if self._entry.date_time[0] <= _NO_TIME:
            return None
        return calendar.timegm(self._entry.date_time) * 1000

    def open(self) -> Decompressed:
        """Raises OSError, and UnreadableError where a password would be needed."""
        if self._entry.flag_bits & _IS_ENCRYPTED:
            raise UnreadableError(f"its file {self.name} is encrypted: unpack it (`unzip -p`)")
        with telling_damage(ZIP):
            return Decompressed(ZIP, self._archive.open(self._entry))


def zip_logs(raw: IO[bytes]) -> list[ZipLog]:
    """The files in the archive, in its order; folders and what macOS adds are left out. Raises OSError."""
    with telling_damage(ZIP):
        archive = zipfile.ZipFile(cast("IO[bytes]", _Bounded(raw)))
    entries = (entry for entry in archive.infolist() if not entry.is_dir())
    return [ZipLog(archive, entry) for entry in entries if not entry.filename.startswith(_BESIDE_THE_FILES)]


def only_log(logs: list[ZipLog]) -> ZipLog:
    """The rotation of one log is one file. Raises UnreadableError."""
    if len(logs) != 1:
        raise UnreadableError(f"it holds {len(logs)} files, and a rotation is one: unpack it")
    return logs[0]


class _Bounded:
    """The archive's file; zipfile reads the whole list of entries at once, and that must not be too much."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.seek, self.tell, self.seekable = raw.seek, raw.tell, raw.seekable

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_LISTED_BYTES:
            raise UnreadableError(f"its list of files is longer than {_MOST_LISTED_BYTES >> 20} MiB: unpack it")
        return self._raw.read(size)

    def close(self) -> None:
        """Its opener closes it."""
