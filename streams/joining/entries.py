"""Entries that Exim's syslog cut in pieces, put together for each process that writes them.

A process writes the pieces of one entry after another, so the order of its pieces is believed; those of other processes
may stand between. Pieces come again, in part and from an earlier place, when records are read again: a few entries are
kept to know them by. Nothing is made of an entry that lacks a piece, for its beginning may end within an address.
"""

from __future__ import annotations

from postwatch.streams.joining.message import Message
from postwatch.streams.parsers.events import LAST_PIECE, Arrival
from postwatch.streams.parsers.exim.pieces import MOST_APART_MS, continues, is_below
from postwatch.streams.parsers.queue_ids import PIECE_PREFIX

MOST_ENTRIES = 4
"""Of a process, unfinished or whole."""


def take_piece(process: Message, event: Arrival, offset: int) -> tuple[list[Arrival], list[Arrival]]:
    """Add a piece. Returns the pieces of the line that it ends, and the pieces that no whole line can be made of.

    `offset`: the place of its record in the stream; negative: not known. What was parked may be ahead of it.
    """
    process.read_until = max(process.read_until, offset)
    is_read_again = 0 <= offset <= process.parked_at
    entries = _entries(process)
    current = entries[-1] if entries else []
    repeated = next((entry for entry in reversed(entries) if any(piece.line == event.line for piece in entry)), None)
    if continues(current, event) and not is_read_again:
        current.append(event)
        return _keep(process, entries, event), []
    if repeated is not None:
        entries.remove(repeated)
        return _keep(process, [*entries, repeated], event), []
    if event.size_bytes == 1:
        process.parked_at = -1  # else it would be known: the stream began anew
        process.queued_at = event.at
        lost = [entry for entry in entries if _is_lost(entry, event)]
        kept = [entry for entry in entries if entry not in lost]
        if len(kept) >= MOST_ENTRIES:
            oldest = kept.pop(0)
            lost += [oldest] if is_unfinished(oldest) else []
        return _keep(process, [*kept, [event]], event), [piece for entry in lost for piece in entry]
    if is_below(current, event) or is_read_again:
        return _keep(process, entries, event, is_below_line=True), []
    lost = [current] if current and is_unfinished(current) else []
    _keep(process, [entry for entry in entries if entry not in lost], event, is_below_line=True)
    return [], [*(piece for entry in lost for piece in entry), event]


def unfinished_pieces(process: Message) -> list[Arrival]:
    """The pieces of lines whose rest did not come."""
    if not process.queue_id.startswith(PIECE_PREFIX):
        return []
    return [piece for entry in _entries(process) if is_unfinished(entry) for piece in entry]


def is_unfinished(entry: list[Arrival]) -> bool:
    return entry[-1].part != LAST_PIECE


def _is_lost(entry: list[Arrival], event: Arrival) -> bool:
    """Whether the rest of an entry can't come any more: the process writes a new one, so much later."""
    return is_unfinished(entry) and event.at - entry[-1].at > MOST_APART_MS


def _entries(process: Message) -> list[list[Arrival]]:
    entries: dict[str, list[Arrival]] = {}
    for name, piece in (process.parts or {}).items():
        entries.setdefault(name.partition(".")[0], []).append(piece)
    return list(entries.values())


def _keep(process: Message, entries: list[list[Arrival]], event: Arrival, is_below_line: bool = False) -> list[Arrival]:
    """Store the entries; returns the pieces of the last one where the event ends its line."""
    process.parts = {f"{number}.{piece.size_bytes}": piece for number, entry in enumerate(entries) for piece in entry}
    is_over = event.size_bytes == event.recipient_count and not any(map(is_unfinished, entries))
    process.completed_at = event.at if is_over else 0
    ends = not is_below_line and event.part == LAST_PIECE and entries[-1][-1].size_bytes == event.size_bytes
    return list(entries[-1]) if ends else []
