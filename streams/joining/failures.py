"""What the join could not make rows of: a message on which it failed, or an entry of which a piece is missing."""

from __future__ import annotations

from typing import NamedTuple

from postwatch.streams.joining.entries import unfinished_pieces
from postwatch.streams.joining.message import Message, all_lines
from postwatch.streams.parsers.events import Arrival, Event

LOST_PIECE = "an entry of which a piece is missing"


class Failure(NamedTuple):
    """A message on which the join failed, which is a fault of Postwatch; or an entry that can't be read. Its lines
    become dead letters."""

    server: str
    queue_id: str
    lines: tuple[str, ...]
    error: Exception | None
    reason: str = ""
    """Why the lines can't be read, where the join did not fail."""


def unfinished_entry(process: Message) -> Failure | None:
    """The pieces of a line whose rest did not come; None: there are none, or the message is no such process."""
    pieces = unfinished_pieces(process)
    return unread(process, pieces, LOST_PIECE) if pieces else None


def unread(process: Message, pieces: list[Arrival], reason: str) -> Failure:
    """The pieces of an entry that can't be read."""
    return Failure(process.server, process.queue_id, tuple(piece.line for piece in pieces), None, reason)


def close_failed(message: Message, error: Exception, event: Event | None) -> Failure:
    """Close a message on which the join failed, with nothing left in it that could fail again."""
    lines = dict.fromkeys(all_lines(message))
    if event is not None:
        lines[event.line] = None
    empty = Message(message.server, message.queue_id, message.queued_at)
    for name in message.__struct_fields__:
        if name not in ("dirty", "id_time"):
            setattr(message, name, getattr(empty, name))
    if message.dirty:
        message.dirty.clear()
    message.completed_at = max(event.at if event is not None else message.queued_at, 1)
    message.is_settled = True
    return Failure(message.server, message.queue_id, tuple(lines), error)
