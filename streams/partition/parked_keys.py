"""Which keys the table of parked messages may have: each message that begins is looked up, and nearly none is there.

Invariant: a key of the table is never missed. Of the others one in eight at most is looked up for nothing, after the
table was read; more, as it grows.
"""

from __future__ import annotations

from collections.abc import Collection

_FEWEST_BITS = 1 << 16
_BITS_A_KEY = 8


def stored_key(server: str, queue_id: str) -> bytes:
    """The key of a message in the table."""
    return f"{server}\0{queue_id}".encode()


class ParkedKeys:
    """A bit for each key, where its hash says; what left the table is forgotten when it is read anew."""

    def __init__(self, keys: Collection[bytes]) -> None:
        bits = _FEWEST_BITS
        while bits < _BITS_A_KEY * len(keys):
            bits *= 2
        self._mask = bits - 1
        self._bits = bytearray(bits // 8)
        for key in keys:
            self.add(key)

    def add(self, key: bytes) -> None:
        place = hash(key) & self._mask
        self._bits[place >> 3] |= 1 << (place & 7)

    def may_have(self, key: bytes) -> bool:
        place = hash(key) & self._mask
        return bool(self._bits[place >> 3] >> (place & 7) & 1)
