"""What a log file is compressed with, told by its first bytes, and its content as a stream.

A name proves nothing: KumoMTA compresses its log files and gives them no suffix. What is compressed in a way that can't
be read is refused with the remedy, never read as text. Content is decoded piece by piece, so however much a file
unpacks to, memory stays flat.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from postwatch.producers.files.zstd_content import ZstdContent, ZstdError

__all__ = ["Decompressed", "UnreadableError", "decompress", "recognise", "telling_damage"]

GZIP, ZSTD, ZIP = "gzip", "zstd", "zip"
START_BYTES = 512
"""Of a file's beginning, so much tells its compression; a tar archive takes the most."""
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lzma", ".zip", ".lz4", ".lz", ".lzo", ".Z", ".7z", ".rar")
"""Of names that compressed rotations have, whether they can be read or not."""
_READABLE = (
    (GZIP, re.compile(rb"\x1f\x8b")),
    ("bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")),
    ("xz", re.compile(rb"\xfd7zXZ\x00")),
    ("lzma", re.compile(rb"\x5d\x00\x00[\x00-\xff]{2}(?:[\x00-\xff]{3}\x00{5}|\xff{8})")),
    (ZSTD, re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),
    (ZIP, re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)")),
)
_UNREADABLE = (
    ("lz4", re.compile(rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18"), "lz4 -dc"),
    ("lzip", re.compile(rb"LZIP[\x00\x01]"), "lzip -dc"),
    ("lzop", re.compile(rb"\x89LZO\x00\r\n\x1a\n"), "lzop -dc"),
    ("lrzip", re.compile(rb"LRZI[\x00-\x0f]"), "lrzcat"),
    ("compress", re.compile(rb"\x1f\x9d"), "zcat"),
    ("pack", re.compile(rb"\x1f\x1e"), "zcat"),
    ("zstd before 0.8", re.compile(rb"[\x1e\x22-\x27]\xb5\x2f\xfd"), "zstd -dc"),
    ("snappy", re.compile(rb"\xff\x06\x00\x00sNaPpY"), "snzip -dc"),
    ("7-zip", re.compile(rb"7z\xbc\xaf\x27\x1c"), "7z x -so"),
    ("rar", re.compile(rb"Rar!\x1a\x07"), "unrar p -inul"),
    ("cabinet", re.compile(rb"MSCF\x00{4}"), "cabextract -p"),
    ("tar", re.compile(rb"(?s).{257}ustar[\x00 ]"), "tar -xOf"),
    ("systemd's journal", re.compile(rb"LPKSHHRH"), "journalctl -o short-full --file"),
)
_DAMAGE = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    ZstdError,
    struct.error,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What decoders raise, RuntimeError and its NotImplementedError for a zip of a kind that Python doesn't know."""


class UnreadableError(OSError):
    """The file is of a kind that can't be read, and never will be. The text names the remedy."""


class Content(Protocol):
    """What was compressed, as a stream."""

    def read(self, size: int, /) -> bytes:
        """Fewer than `size` bytes only at the end."""

    def seek(self, place: int, /) -> int: ...
    def tell(self) -> int: ...


def recognise(start: bytes) -> str | None:
    """The compression of a file that begins with these bytes; None where it is text. Raises UnreadableError."""
    for compression, magic in _READABLE:
        if magic.match(start):
            return compression
    for name, magic, command in _UNREADABLE:
        if magic.match(start):
            raise UnreadableError(
                f"it is {name} data, which can't be read: unpack it (`{command} FILE`), "
                "or have logs compressed with gzip, bzip2, xz, zstd or zip"
            )
    return None


class Decompressed:
    """The content of one compressed file. Damage is an OSError that names the compression."""

    def __init__(self, compression: str, content: Content) -> None:
        self._compression = compression
        self._content = content

    @property
    def is_unfinished(self) -> bool:
        """Whether what was read so far ends within a frame of zstd: it is still written, or was cut."""
        return isinstance(self._content, ZstdContent) and self._content.is_unfinished

    def read(self, size: int) -> bytes:
        """Fewer than `size` bytes only at the end. Raises OSError."""
        with telling_damage(self._compression):
            return self._content.read(size)

    def seek(self, place: int) -> int:
        """Raises OSError."""
        with telling_damage(self._compression):
            return self._content.seek(place)

    def tell(self) -> int:
        return self._content.tell()


def decompress(compression: str, raw: IO[bytes]) -> Decompressed:
    """The content of any compression but zip; `raw` stands at its beginning and stays the caller's."""
    match compression:
        case "gzip":
            return Decompressed(compression, gzip.GzipFile(fileobj=raw))
        case "bzip2":
            return Decompressed(compression, bz2.BZ2File(raw))
        case "xz" | "lzma":
            return Decompressed(compression, lzma.LZMAFile(raw))
        case _:
            return Decompressed(compression, ZstdContent(raw))


def _damage_of(compression: str) -> tuple[type[Exception], ...]:
    """Asked for when something was raised: the module of zip archives is loaded for them alone."""
    if compression != ZIP:
        return _DAMAGE
    from postwatch.producers.files.zip_archive import zipfile

    return (*_DAMAGE, zipfile.BadZipFile)


@contextmanager
def telling_damage(compression: str) -> Iterator[None]:
    """Whatever a decoder raises on damaged data → OSError that names the compression."""
    try:
        yield
    except _damage_of(compression) as error:
        raise OSError(f"broken {compression} data: {error}") from error
    except OSError as error:
        if error.errno or isinstance(error, UnreadableError):
            raise
        raise OSError(f"broken {compression} data: {error}") from error
