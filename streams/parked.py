"""How a parked message is stored: a version byte, then msgpack. The key is the server and the queue id."""

from __future__ import annotations

import msgspec
from postwatch.streams.message import Message

OPEN = -1
_VERSION = b"\x01"


class Parked(msgspec.Struct, array_like=True):
    closed_by_offset: int
    """Offset of the fetch that closed it; the entry goes when the commit has passed that. OPEN while it is open."""
    message: Message


_decoder = msgspec.msgpack.Decoder(Parked)


def parked_key(server: str, queue_id: str) -> bytes:
    return f"{server}\0{queue_id}".encode()


def encode_parked(message: Message, closed_by_offset: int = OPEN) -> bytes:
    changed, message.changed = message.changed, None
    try:
        return _VERSION + msgspec.msgpack.encode(Parked(closed_by_offset, message))
    finally:
        message.changed = changed


def decode_parked(value: bytes) -> Parked:
    """The inverse of `encode_parked`. Raises ValueError for another version."""
    if value[:1] != _VERSION:
        raise ValueError(f"a parked message of version {value[0]} was written by a newer Postwatch; run that version")
    return _decoder.decode(value[1:])
