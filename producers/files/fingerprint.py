"""Who a log file is: told by its content, for names are rotated and inodes are used again.

Pure. An identity is a digest of the file's first lines and of a nonce given when the file was first seen, so that a
file that was truncated and begins with the very same line is another one. A position proves itself: it holds a digest
of the bytes before it, and a file where these differ is not the file that was read.

What no content can tell: a file that is emptied and written again with the very same lines up to the position. Logs
have times and ids in their lines, so it takes a copy of the file to do that. Nor whose copy it is that ends before the
position, because lines were added and read between copying and truncating: it is sent once more, as a file of its own,
rather than perhaps never.
"""

from __future__ import annotations

from dataclasses import dataclass

from postwatch.producers.service.hashing import blake2b

HEAD_BYTES = 4096
"""Of a file's beginning, at most so much goes into its identity."""
PROOF_BYTES = 1024
"""Bytes before a position that are compared before reading goes on there."""


def digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """A file as the `file` header names it, and how to recognise its beginning."""

    fingerprint: str
    head_bytes: int
    head_digest: str

    def begins(self, start: bytes) -> bool:
        """Whether a file that starts with these bytes, HEAD_BYTES or all it has, may be this one."""
        return len(start) >= self.head_bytes and digest(start[: self.head_bytes]) == self.head_digest


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file behind a whole line."""

    byte_offset: int
    proof_digest: str

    @property
    def proof_bytes(self) -> int:
        return min(self.byte_offset, PROOF_BYTES)

    def holds(self, before: bytes) -> bool:
        """Whether `before`, the `proof_bytes` bytes in front of the position, are those that were read."""
        return len(before) == self.proof_bytes and digest(before) == self.proof_digest


START = Position(0, digest(b""))


def identify(start: bytes, nonce: str) -> Identity | None:
    """A new identity for a file that starts with these bytes; None while it has no whole line yet."""
    start = start[:HEAD_BYTES]
    head = start[: start.rfind(b"\n") + 1]
    if not head and len(start) == HEAD_BYTES:
        head = start
    if not head:
        return None
    return Identity(digest(head + nonce.encode()), len(head), digest(head))
