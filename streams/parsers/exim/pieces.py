"""Entries that Exim cut in pieces for syslog, and the entry that they make again. Pure.

Exim cuts an entry behind 870 bytes and at each newline in it, and counts the pieces: `[1/3] ` where it cut within a
line, `[2\\3] ` where a newline followed (`write_syslog` in Exim's src/log.c). Only the first line of an entry tells
what happened; further ones are the headers below a refusal. What a stranger writes never stands where the count does.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import LAST_PIECE, PIECE, Arrival, Parsed, Unreadable
from postwatch.streams.parsers.exim.grammar import HEAD
from postwatch.streams.parsers.exim.main_log import STAMP, EximMainParser
from postwatch.streams.parsers.queue_ids import PIECE_PREFIX
from postwatch.streams.parsers.syslog import Header, process_of
from postwatch.streams.parsers.timestamps import StampReader, find_zone

COUNT = compiled(r"\[(\d{1,4}+)([/\\])(\d{1,4}+)\] ")
MOST_PIECES = 100
"""Of a line: Exim's own buffer for an entry holds about ten."""
MOST_APART_MS = 60_000
"""The pieces of an entry are written at once; a process that goes on so much later is another one of that number."""
_FULL_BYTES = 870
_END_OF_CHARACTER = compiled(r"(?:\\x[89a-f][0-9a-f]){1,3}$")
_REST_OF_CHARACTER = compiled(r"(?:\\x[89ab][0-9a-f]){1,3}")
_parser = EximMainParser(StampReader(find_zone("UTC", "syslog")))


def read_piece(header: Header, count: re.Match[str], line: str, stamps: StampReader) -> Arrival | Unreadable:
    """One piece. That of a line's beginning gets a stamp in UTC, so that it can be read without the log's zone."""
    number, pieces = int(count[1]), int(count[3])
    if not 0 < number <= pieces:
        return Unreadable("a piece of an entry that counts itself wrong")
    text = header.text[count.end() :]
    part = LAST_PIECE if count[2] == "\\" or number == pieces else PIECE
    if part == PIECE and len(text.encode()) == _FULL_BYTES - 1:
        text += " "  # which journald takes from the end
    if number == 1:
        try:
            text = _with_stamp_in_utc(text, header.at, stamps)
        except ValueError:
            return Unreadable("impossible time stamp")
    return Arrival(
        f"{PIECE_PREFIX}{header.program}[{process_of(header)}]",
        header.at,
        line,
        subject=text,
        size_bytes=number,
        recipient_count=pieces,
        part=part,
    )


def begins_entry(event: Arrival) -> bool:
    return event.part in (PIECE, LAST_PIECE) and event.size_bytes == 1


def continues(pieces: Sequence[Arrival], event: Arrival) -> bool:
    """Whether a piece is the next one of the line that begins with these."""
    return (
        bool(pieces)
        and pieces[-1].part == PIECE
        and event.size_bytes == pieces[-1].size_bytes + 1 <= MOST_PIECES
        and event.recipient_count == pieces[-1].recipient_count
        and abs(event.at - pieces[-1].at) <= MOST_APART_MS
    )


def is_below(pieces: Sequence[Arrival], event: Arrival) -> bool:
    """Whether a piece is of a further line of the entry whose first line these are."""
    return bool(pieces) and (
        pieces[-1].part == LAST_PIECE
        and event.size_bytes > pieces[-1].size_bytes
        and event.recipient_count == pieces[-1].recipient_count
        and abs(event.at - pieces[-1].at) <= MOST_APART_MS
    )


def put_together(pieces: Sequence[Arrival]) -> Parsed:
    """All pieces of a line, in their order → what it means."""
    line = ""
    for piece in pieces:
        line = _joined(line, piece.subject)
    return _parser.parse(line)


def with_stamp(text: str, at: int) -> str:
    """The entry with the stamp of syslog's head in front of it."""
    moment = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} +0000 {text}"


def _with_stamp_in_utc(text: str, at: int, stamps: StampReader) -> str:
    if not STAMP.match(text):
        return with_stamp(text, at)
    head = HEAD.match(text)
    if head is None:
        raise ValueError("no stamp of Exim's")
    second, fraction, offset = head[1], head[2], head[3]
    moment = datetime.datetime.fromtimestamp(stamps.read(second, None, offset) / 1000, datetime.UTC)
    rest = text[len(second) + len(fraction or "") + len(offset or "") :]
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction or ''} +0000{rest}"


def _joined(left: str, right: str) -> str:
    """A character of several bytes may have been cut; its bytes stand there as escapes."""
    end, rest = _END_OF_CHARACTER.search(left[-12:]), _REST_OF_CHARACTER.match(right)
    if end is not None and rest is not None:
        try:
            character = bytes.fromhex((end[0] + rest[0]).replace("\\x", "")).decode()
        except ValueError:
            return left + right
        return left[: -len(end[0])] + character + right[rest.end() :]
    return left + right
