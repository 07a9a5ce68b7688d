"""The bytes of a log file, plain or compressed, read at byte offsets of the uncompressed content.

A source stays open over renames and deletion, so a rotated file can be read to its end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from postwatch.producers.files.compression import (
    GZIP,
    START_BYTES,
    ZIP,
    ZSTD,
    Decompressed,
    UnreadableError,
    decompress,
    recognise,
)

_GZIP_SIZE_MODULUS = 1 << 32


class Source(Protocol):
    device: int
    inode: int
    is_growing: bool
    """Whether a writer may append, and what is there can be read before the end is written."""
    is_compressed: bool
    """Going back costs a decompression from the start, and what is damaged stays so."""
    status: tuple[int, int]
    """Size of the file and time of its last change, in ns, at the last call of `look` or `unread_bytes`."""

    @property
    def is_unfinished(self) -> bool:
        """Whether the file ends within a frame of zstd."""

    def look(self) -> tuple[int, int]:
        """Its status now. Raises OSError."""

    def read_at(self, byte_offset: int, size: int) -> bytes:
        """Up to `size` bytes from there; fewer only at the end. Raises OSError."""

    def unread_bytes(self, byte_offset: int) -> int:
        """How much follows this offset; negative when the file is shorter. Raises OSError."""

    def close(self) -> None: ...


class PlainSource:
    """A log file as its daemon writes it. Slotted: a server may have thousands."""

    __slots__ = ("_descriptor", "device", "inode", "status")
    is_growing = True
    is_compressed = False
    is_unfinished = False

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise OSError(f"{path} is not a regular file")
        self.device, self.inode = status.st_dev, status.st_ino
        self.status = _size_and_time(status)

    def look(self) -> tuple[int, int]:
        self.status = _size_and_time(os.fstat(self._descriptor))
        return self.status

    def read_at(self, byte_offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, byte_offset)

    def unread_bytes(self, byte_offset: int) -> int:
        return self.look()[0] - byte_offset

    def open_again(self) -> IO[bytes]:
        """The very same file, whatever its name means by now."""
        return os.fdopen(os.dup(self._descriptor), "rb")

    def close(self) -> None:
        os.close(self._descriptor)


class CompressedSource:
    """A log that is compressed. What was read last is kept, for going back decompresses from the start.

    Frames of zstd are read as far as they are there, and read on when there is more. What is damaged stays so.
    """

    is_compressed = True

    def __init__(self, plain: PlainSource, compression: str) -> None:
        self.device, self.inode = plain.device, plain.inode
        self.is_growing = compression == ZSTD
        self._file = plain.open_again()
        self._compression = compression
        self._begin(self.look()[0])

    def look(self) -> tuple[int, int]:
        self.status = _size_and_time(os.fstat(self._file.fileno()))
        return self.status

    def _begin(self, file_bytes: int) -> None:
        self._file_bytes = file_bytes
        self._told_size = _size_in_trailer(self._file, file_bytes) if self._compression == GZIP else None
        self._content: Decompressed | None = None
        self._damage = ""
        self._end: int | None = None
        self._kept_offset, self._kept = 0, b""

    @property
    def is_unfinished(self) -> bool:
        return self._content is not None and self._content.is_unfinished

    def read_at(self, byte_offset: int, size: int) -> bytes:
        self._notice_growth()
        self._open_content()
        behind_kept = byte_offset - self._kept_offset
        content = self._kept[behind_kept:] if 0 <= behind_kept <= len(self._kept) else b""
        content += self._read(byte_offset + len(content), size - len(content))
        if content:
            self._kept_offset, self._kept = byte_offset, content
        return content[:size]

    def unread_bytes(self, byte_offset: int) -> int:
        """Exact where the end was seen; else what is told or the compressed rest, and at least what is known."""
        if self._notice_growth() < 0:
            return -1
        if self._end is None:
            self._look_for_more(byte_offset)
        if self._end is not None:
            return max(0, self._end - byte_offset)
        known = max(1, self._kept_offset + len(self._kept) - byte_offset)
        if self._told_size is None:
            return known + self._file_bytes - self._file.tell()
        return (self._told_size - byte_offset) % _GZIP_SIZE_MODULUS or known

    def close(self) -> None:
        self._file.close()

    def _read(self, byte_offset: int, size: int) -> bytes:
        content = self._open_content()
        if size <= 0:
            return b""
        with self._remembering_damage():
            if content.tell() != byte_offset:
                content.seek(byte_offset)
            found = content.read(size)
        if len(found) < size:
            self._end = content.tell()
        return found

    def _open_content(self) -> Decompressed:
        if self._damage:
            raise OSError(self._damage)
        if self._content is None:
            with self._remembering_damage():
                if self._compression == ZIP:
                    from postwatch.producers.files.zip_archive import only_log, zip_logs  # few have such files

                    log = only_log(zip_logs(self._file))
                    content, self._told_size = log.open(), log.size_bytes
                else:
                    self._file.seek(0)
                    content = decompress(self._compression, self._file)
                start = content.read(START_BYTES)
                if recognise(start):
                    raise UnreadableError(f"what it holds is compressed once more: unpack the {self._compression} data")
            self._content, self._kept_offset, self._kept = content, 0, start
        return self._content

    @contextmanager
    def _remembering_damage(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._damage = error.strerror or str(error)
            raise

    def _look_for_more(self, byte_offset: int) -> None:
        """Whether anything follows; a trailer doesn't tell, for it is that of the last member only."""
        self._open_content()
        behind_kept = byte_offset - self._kept_offset - len(self._kept)
        if behind_kept == 0:
            self._kept += self._read(byte_offset, 1)
        elif behind_kept > 0:
            self.read_at(byte_offset, 1)

    def _notice_growth(self) -> int:
        """By how much the file grew since the last look; less than 0: it was truncated.

        What follows in zstd data is read on; what is of another kind, or damaged, is read again.
        """
        file_bytes, _ = self.look()
        growth = file_bytes - self._file_bytes
        if growth < 0 or (growth and (self._damage or not self.is_growing)):
            self._begin(file_bytes)
        elif growth:
            self._file_bytes, self._end = file_bytes, None
        return growth


def _size_and_time(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _size_in_trailer(file: IO[bytes], size_bytes: int) -> int:
    """ISIZE, the last four bytes of a gzip file (RFC 1952 §2.3.1): modulo 4 GiB, and of the last member only."""
    file.seek(max(0, size_bytes - 4))
    return int.from_bytes(file.read(4), "little")


def open_source(path: str) -> PlainSource | CompressedSource:
    """Raises OSError; UnreadableError where the content can't be read at all."""
    plain = PlainSource(path)
    try:
        compression = recognise(plain.read_at(0, START_BYTES))
        if compression is None:
            return plain
        opened = CompressedSource(plain, compression)
    except OSError:
        plain.close()
        raise
    plain.close()
    return opened
