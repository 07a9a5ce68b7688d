"""zstd data (RFC 8878) as a stream that may grow: frames one after another, read as far as they are there.

The end of the data is no error, wherever in a frame it stands: KumoMTA writes one frame for hours, and what it adds is
read on from there. What was decoded before damage is returned before the damage is told.
"""

from __future__ import annotations

import sys
from typing import IO

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

__all__ = ["ZstdContent", "ZstdError"]

_INPUT_BYTES = 32 * 1024
"""What is left of it is copied for each frame, so it is small: frames may be tiny and many."""
_SKIPPED_BYTES = 1 << 20


class ZstdContent:
    """The content of `raw`, which stands at the beginning of the first frame."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._begin()

    def _begin(self) -> None:
        self._decoder = ZstdDecompressor()
        self._damage: ZstdError | None = None
        self._is_inside = False
        self._place = 0

    @property
    def is_unfinished(self) -> bool:
        """Whether the bytes that were read so far end within a frame."""
        return self._is_inside and not self._decoder.eof

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of what is there. Raises ZstdError and OSError."""
        pieces: list[bytes] = []
        missing = size
        while missing > 0 and not self._damage:
            try:
                piece = self._decode(missing)
            except ZstdError as error:
                self._damage = error
                break
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        if self._damage and not pieces:
            raise self._damage
        self._place += size - missing
        return b"".join(pieces)

    def _decode(self, size: int) -> bytes:
        given = b""
        while True:
            if self._decoder.eof:
                given = self._decoder.unused_data
                self._decoder, self._is_inside = ZstdDecompressor(), False
            if not given and self._decoder.needs_input:
                given = self._raw.read(_INPUT_BYTES)
                if not given:
                    return b""
            self._is_inside = self._is_inside or bool(given)
            piece = self._decoder.decompress(given, size)
            given = b""
            if piece:
                return piece

    def seek(self, place: int) -> int:
        """Go there, or to the end of what is there. Going back reads from the beginning."""
        if place < self._place:
            self._raw.seek(0)
            self._begin()
        while self._place < place and self.read(min(place - self._place, _SKIPPED_BYTES)):
            pass
        return self._place

    def tell(self) -> int:
        return self._place
