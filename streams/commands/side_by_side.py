"""The second process of `postwatch read`: it reads, parses and joins while the first one writes the rows.

Rows go between the two as bytes, which cost least to send: their keys, versions and lines.
Invariant: the turns are the same, in the same order, in one process and in two.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import struct
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import IO, NoReturn

import msgspec
from postwatch.producers.service.errors import BadInputError, PostwatchError
from postwatch.streams.commands.log_rows import Turn
from postwatch.streams.contracts.packed_rows import PackedRows
from postwatch.streams.parsers.lines import LineCounts

FIRST_TURNS = 16
"""Of this process: a second one would cost more than it gives for a small file."""
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ of Linux, which not every build of Python names."""
_SIZE = struct.Struct(">I")


def side_by_side(turns: Iterator[Turn]) -> Iterator[Turn]:
    """The same; after the first turns a child of this process goes on where this one stands, and sends what it gets.

    Only where this process has one thread: a fork copies what the others hold.
    """
    yield from itertools.islice(turns, FIRST_TURNS)
    if threading.active_count() > 1:
        yield from turns
        return
    readable, writable = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os.close(readable)
        _send_and_exit(turns, writable)
    os.close(writable)
    try:
        with open(readable, "rb", buffering=_PIPE_BYTES) as pipe:
            yield from _receive(pipe)
    finally:
        os.waitpid(child, 0)


def usable_cores() -> int:
    """How many processes can run side by side."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


class _Sent(msgspec.Struct, array_like=True):
    """A turn, or why there is no more, on its way through the pipe."""

    rows: PackedRows = PackedRows([], [], [])
    told: list[str] = []
    counts: tuple[int, int, dict[str, int], dict[str, int], int] | None = None
    """LineCounts, in its order."""
    error: str = ""
    is_last: bool = False


_encoder = msgspec.msgpack.Encoder()


def _send_and_exit(turns: Iterator[Turn], writable: int) -> NoReturn:
    """Of the child: it must not run what its parent registered for its own end."""
    status = 1
    with contextlib.suppress(OSError):  # a smaller pipe is only slower
        fcntl.fcntl(writable, _SET_PIPE_SIZE, _PIPE_BYTES)
    try:
        with open(writable, "wb", buffering=0) as pipe:
            try:
                for turn in turns:
                    _write(pipe, _packed(turn))
                _write(pipe, _Sent(is_last=True))
            except PostwatchError as error:
                _write(pipe, _Sent(error=str(error), is_last=True))
        status = 0
    except BrokenPipeError:
        pass  # the parent has what it wanted
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def _packed(turn: Turn) -> _Sent:
    counts = turn.counts
    if counts is None:
        return _Sent(turn.rows, turn.told)
    told = counts.lines, counts.events, counts.ignored, counts.unreadable, counts.suppressed_lines
    return _Sent(turn.rows, turn.told, told)


def _write(pipe: IO[bytes], sent: _Sent) -> None:
    value = _encoder.encode(sent)
    view = memoryview(_SIZE.pack(len(value)) + value)
    while view:
        view = view[pipe.write(view) :]


def _receive(pipe: IO[bytes]) -> Iterator[Turn]:
    decoder = msgspec.msgpack.Decoder(_Sent)
    while head := pipe.read(_SIZE.size):
        sent = decoder.decode(pipe.read(*_SIZE.unpack(head)))
        if sent.error:
            raise BadInputError(sent.error)
        if sent.is_last:
            return
        counts = None
        if sent.counts is not None:
            lines, events, ignored, unreadable, suppressed = sent.counts
            counts = LineCounts(lines, events, Counter(ignored), Counter(unreadable), suppressed)
        yield Turn(sent.rows, sent.told, counts)
    raise BadInputError("the process that joined the files ended before they did")
