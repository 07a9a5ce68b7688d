"""The bytes of a log file, plain or gzip'd, read at byte offsets of the uncompressed content.

A source stays open over renames and deletion, so a rotated file can be read to its end.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from typing import Protocol

GZIP_SUFFIX = ".gz"
_GZIP_SIZE_MODULUS = 1 << 32
_LEAST_GZIP_BYTES = 18


class Source(Protocol):
    device: int
    inode: int
    is_growing: bool
    """Whether a writer may append; a compressed file stays as it is."""

    def read_at(self, byte_offset: int, size: int) -> bytes:
        """Up to `size` bytes from there; fewer only at the end. Raises OSError."""

    def unread_bytes(self, byte_offset: int) -> int:
        """How much follows this offset; negative when the file is shorter. Raises OSError."""

    def close(self) -> None: ...


class PlainSource:
    """A log file as its daemon writes it."""

    is_growing = True

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise OSError(f"{path} is not a regular file")
        self.device, self.inode = status.st_dev, status.st_ino

    def read_at(self, byte_offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, byte_offset)

    def unread_bytes(self, byte_offset: int) -> int:
        return os.fstat(self._descriptor).st_size - byte_offset

    def close(self) -> None:
        os.close(self._descriptor)


class GzipSource:
    """A rotated log that was compressed. What was read last is kept, for going back decompresses from the start."""

    is_growing = False

    def __init__(self, path: str) -> None:
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - stays open for the tail's life
        status = os.fstat(self._file.fileno())
        self.device, self.inode = status.st_dev, status.st_ino
        self._told_size = _size_in_trailer(path)
        self._end: int | None = None
        self._kept_offset, self._kept = 0, b""

    def read_at(self, byte_offset: int, size: int) -> bytes:
        behind_kept = byte_offset - self._kept_offset
        content = self._kept[behind_kept:] if 0 <= behind_kept <= len(self._kept) else b""
        if self._told_size < 0:
            raise OSError("broken gzip data: too short")
        try:
            self._file.seek(byte_offset + len(content))
            content += self._file.read(size - len(content)) if size > len(content) else b""
        except (EOFError, zlib.error) as error:
            raise OSError(f"broken gzip data: {error}") from error
        self._kept_offset, self._kept = byte_offset, content
        if len(content) < size:
            self._end = self._file.tell()
        return content[:size]

    def unread_bytes(self, byte_offset: int) -> int:
        """Until the end was seen: what the trailer tells, which is modulo 4 GiB and of the last member only."""
        if self._end is not None:
            return max(0, self._end - byte_offset)
        return (self._told_size - byte_offset) % _GZIP_SIZE_MODULUS

    def close(self) -> None:
        self._file.close()


def _size_in_trailer(path: str) -> int:
    """ISIZE, the last four bytes of the file (RFC 1952 §2.3.1); -1 for a file that is too short to be one."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size < _LEAST_GZIP_BYTES:
            return -1
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def open_source(path: str) -> PlainSource | GzipSource:
    """Raises OSError."""
    return GzipSource(path) if path.endswith(GZIP_SUFFIX) else PlainSource(path)
