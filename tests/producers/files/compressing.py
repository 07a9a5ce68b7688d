"""What compresses logs in tests."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
from collections.abc import Callable, Mapping
from functools import partial

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["COMPRESSORS", "zipped", "zipped_of", "zstd"]


def zipped(name: str, content: bytes) -> bytes:
    return zipped_of({name: content})


def zipped_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return archive.getvalue()


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": partial(gzip.compress, compresslevel=1),
    ".bz2": partial(bz2.compress, compresslevel=1),
    ".xz": partial(lzma.compress, preset=0),
    ".lzma": partial(lzma.compress, format=lzma.FORMAT_ALONE, preset=0),
    ".zst": zstd.compress,
    ".zip": partial(zipped, "mainlog"),
}
"""By the suffix that each gives."""
