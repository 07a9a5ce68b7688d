"""Reads one log file forwards, in chunks of whole lines, and notices when it is not the same file any more.

Every read looks at the file's first lines and at the bytes before the place where the last read ended. Where these
have changed, the file was truncated and perhaps written again, however long it is by now: nothing of it is returned
under the old identity.
"""

from __future__ import annotations

from typing import NamedTuple

from postwatch.producers.files.cutting import cut_block, cut_line, leading_nuls
from postwatch.producers.files.fingerprint import PROOF_BYTES, START, Identity, Position, digest
from postwatch.producers.files.source import Source
from postwatch.producers.record import MAX_LINE_BYTES, MAX_RECORD_BYTES


class TruncatedError(Exception):
    """The file is shorter than what was read of it, or its bytes have changed: it is another file now."""


class Chunk(NamedTuple):
    """What becomes the value of one record."""

    value: bytes
    byte_offset: int
    end: Position
    is_cut: bool


class Tail:
    """An open file, its identity, and how far it was read.

    `read` never returns a part of a line; the rest of a file that ends without a newline waits for it.
    """

    __slots__ = ("_proof", "_searched", "byte_offset", "identity", "skipped_nuls", "source")

    def __init__(self, source: Source, identity: Identity, position: Position = START) -> None:
        """Raises OSError, and TruncatedError when the position isn't one of this file."""
        self.source = source
        self.identity = identity
        self.byte_offset = position.byte_offset
        self.skipped_nuls = 0
        self._proof = source.read_at(position.byte_offset - position.proof_bytes, position.proof_bytes)
        self._searched = 0
        if not position.holds(self._proof):
            raise TruncatedError

    def unread_bytes(self) -> int:
        """What follows the last whole line that was read. Raises OSError."""
        return self.source.unread_bytes(self.byte_offset)

    def read(self) -> list[Chunk]:
        """The next whole lines, MAX_RECORD_BYTES at most in each chunk; none when there are none yet.

        Raises OSError and TruncatedError; then nothing was consumed.
        """
        content = self._read_on(MAX_RECORD_BYTES)
        while self.byte_offset == self.skipped_nuls and self._skip_nuls(content):
            content = self._read_on(MAX_RECORD_BYTES)
        block = content[len(self._proof) :]
        chunks = [
            Chunk(piece.value, self.byte_offset + piece.start, self._position(content, piece.end), piece.is_cut)
            for piece in cut_block(block)
        ]
        if not chunks and len(block) > MAX_LINE_BYTES:
            chunks = self._read_long_line(block)
        elif chunks:
            self._move(chunks[-1].end, content[: len(self._proof) + chunks[-1].end.byte_offset - self.byte_offset])
        return chunks

    def _read_on(self, size: int) -> bytes:
        """The proof and up to `size` bytes behind it."""
        if not self.source.is_compressed and not self.identity.begins(self.source.read_at(0, self.identity.head_bytes)):
            raise TruncatedError
        content = self.source.read_at(self.byte_offset - len(self._proof), len(self._proof) + size)
        if not content.startswith(self._proof):
            raise TruncatedError
        return content

    def _read_long_line(self, block: bytes) -> list[Chunk]:
        """A line that no block holds: look for its end, further each time, and keep only its beginning."""
        place = max(self._searched, self.byte_offset + len(block))
        while True:
            searched = self.source.read_at(place - PROOF_BYTES, PROOF_BYTES + MAX_RECORD_BYTES)
            newline = searched.find(b"\n", PROOF_BYTES)
            if newline >= 0:
                before_end = searched[: newline + 1]
                end = Position(place - PROOF_BYTES + newline + 1, digest(before_end[-PROOF_BYTES:]))
                chunk = Chunk(cut_line(block[:MAX_LINE_BYTES]), self.byte_offset, end, is_cut=True)
                self._move(end, before_end)
                return [chunk]
            place = self._searched = place - PROOF_BYTES + len(searched)
            if len(searched) < PROOF_BYTES + MAX_RECORD_BYTES:
                return []

    def _position(self, content: bytes, piece_end: int) -> Position:
        behind = len(self._proof) + piece_end
        return Position(self.byte_offset + piece_end, digest(content[max(0, behind - PROOF_BYTES) : behind]))

    def _move(self, end: Position, content_before: bytes) -> None:
        self._proof = _end_of(content_before)
        self.byte_offset = end.byte_offset
        self._searched = 0

    def _skip_nuls(self, content: bytes) -> int:
        nuls = leading_nuls(content[len(self._proof) :])
        if nuls:
            self._proof = _end_of(content[: len(self._proof) + nuls])
            self.byte_offset += nuls
            self.skipped_nuls += nuls
        return nuls


def _end_of(content: bytes) -> bytes:
    """The proof that it is, as a copy even where it is all of it.

    What was read of a short file stands at the beginning of memory for a whole record, mapped for it alone: kept as it
    is, it would keep a page and a mapping, of which a process may have 65,530.
    """
    return bytes(memoryview(content)[-PROOF_BYTES:])
