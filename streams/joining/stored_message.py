"""How a parked message is stored: a version byte, then msgpack.

Invariant: no entry is larger than Kafka takes, whatever strangers write: a message with thousands of recipients that
are deferred for days would else end the join again and again. What decides about a recipient is the last to go.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from postwatch.streams.contracts.outcome import DEFERRED
from postwatch.streams.errors import StoreError
from postwatch.streams.joining.message import Lineage, Message, Try
from postwatch.streams.parsers.events import ENVELOPE, Arrival, Attempt, LifecycleEvent, Refusal, Step
from postwatch.streams.parsers.native_fields import FieldReader, replace, to_fields
from postwatch.streams.parsers.queue_ids import queued_at

OPEN = -1
MOST_BYTES = 6 * 1024 * 1024
"""Of an entry: the changelog takes 8 MiB."""
_VERSION = b"\x01"
_DEFERRALS = (16, 4, 2)
"""Of a recipient: as many are kept of a message that is too large, and fewer where it still is."""


class StoredMessage(msgspec.Struct, array_like=True):
    closed_by_offset: int
    """Offset of the fetch that closed it; the entry goes when the commit has passed that. OPEN while it is open."""
    message: Message


IS_NATIVE = not issubclass(Message, msgspec.Struct)
"""Whether the compiled build runs, whose classes msgspec does not know."""
_NATIVES = (Message, Lineage, Try, Arrival, Attempt, LifecycleEvent, Refusal, Step)
_decoder = msgspec.msgpack.Decoder(StoredMessage, dec_hook=FieldReader(*_NATIVES).read if IS_NATIVE else None)
_encoder = msgspec.msgpack.Encoder(enc_hook=to_fields if IS_NATIVE else None)


def encode_stored(message: Message, closed_by_offset: int = OPEN) -> bytes:
    """An entry of the table. A message that is too large for one is thinned out, for good."""
    value = _encode(message, closed_by_offset)
    if len(value) > MOST_BYTES:
        for _ in _thinnings(message):
            value = _encode(message, closed_by_offset)
            if len(value) <= MOST_BYTES:
                break
    return value


def _encode(message: Message, closed_by_offset: int) -> bytes:
    changed, message.dirty = message.dirty, None
    try:
        return _VERSION + _encoder.encode(StoredMessage(closed_by_offset, message))
    finally:
        message.dirty = changed


def _thinnings(message: Message) -> Iterator[None]:
    """Take away more and more, from what repeats to all attempts, whose rows are in the table."""
    for most in _DEFERRALS:
        for attempts in _all_attempts(message):
            attempts[:] = _without_repetitions(attempts, most)
        yield
    for attempts in _all_attempts(message):
        attempts[:] = [replace(attempt, line="") for attempt in attempts]
    parts = message.parts or {}
    for name, part in parts.items():
        if part.part == ENVELOPE:
            parts[name] = replace(part, line="")
    yield
    message.attempts.clear()
    message.earlier = None
    yield


def _all_attempts(message: Message) -> Iterator[list[Attempt]]:
    """Of each recipient, here and before a filter gave the message back."""
    yield from message.attempts.values()
    if message.lineage is not None:
        yield from message.lineage.handed.values()


def _without_repetitions(attempts: list[Attempt], most: int) -> list[Attempt]:
    """All that are not deferrals, and of these the first ones and the last."""
    deferrals = [attempt for attempt in attempts if attempt.status == DEFERRED and attempt.is_attempt]
    surplus = set(map(id, deferrals[most - 1 : -1]))
    return [attempt for attempt in attempts if id(attempt) not in surplus]


def decode_stored(value: bytes) -> StoredMessage:
    """The inverse of `encode_stored`. Raises StoreError for an entry that this version can't read."""
    if value[:1] != _VERSION:
        raise StoreError(
            f"a parked message of version {value[:1].hex()} was written by a newer Postwatch; run that version"
        )
    try:
        stored = _decoder.decode(value[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(f"a parked message can't be read: {error}") from error
    stored.message.id_time = queued_at(stored.message.queue_id)
    return stored
