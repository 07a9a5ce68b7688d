"""Log files as events, block by block; of more than a few blocks, a second process parses while the first one joins.

Invariant: blocks and ends of files come in the order of the files, and are the same in one process and in two.
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
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple, NoReturn

import msgspec
from postwatch.producers.service.errors import BadInputError, PostwatchError
from postwatch.streams.commands.log_files import read_logs
from postwatch.streams.joining.stored_message import IS_NATIVE
from postwatch.streams.parsers.events import Arrival, Attempt, Event, LifecycleEvent, Refusal, Step
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.log_format import LineParser

FIRST_BLOCKS = 16
"""Parsed here: a second process would cost more than it gives for a small file."""
_SHOWN_CHARACTERS = 500
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ of Linux, which not every build of Python names."""
_SIZE = struct.Struct(">I")
_KINDS: tuple[Any, ...] = (Arrival, Attempt, LifecycleEvent, Refusal, Step)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


class Block(NamedTuple):
    """What whole lines of a file came to."""

    events: list[Event]
    unreadable: list[tuple[str, str]]
    """Reason and beginning of each line that can't be read."""


class FileEnd(NamedTuple):
    """A file was read to its end."""

    name: str
    counts: LineCounts


def parse_logs(paths: Sequence[str], parser: LineParser) -> Iterator[Block | FileEnd]:
    """The blocks of each file, then its end. Raises BadInputError."""
    for path in paths:
        for file in read_logs(path):
            parser.stamps.shipped(file.written_ms)
            counts = LineCounts()
            for block in file.blocks:
                lines = decode_lines(block)
                parsed = parse_lines(parser, lines, counts)
                shown = [(one.reason, lines[one.number][:_SHOWN_CHARACTERS]) for one in parsed.unreadable]
                yield Block(parsed.events, shown)
            yield FileEnd(file.name, counts)


def side_by_side(parsed: Iterator[Block | FileEnd]) -> Iterator[Block | FileEnd]:
    """The same; after the first blocks a child of this process goes on where this one stands, and sends what it parsed.

    Only where this process has one thread: a fork copies what the others hold. The compiled core parses and joins in
    one process: its events are no structs, and would cost more on their way than a second process gives.
    """
    yield from itertools.islice(parsed, FIRST_BLOCKS)
    if threading.active_count() > 1 or IS_NATIVE:
        yield from parsed
        return
    readable, writable = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os.close(readable)
        _send_and_exit(parsed, writable)
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
    """A block, an end of a file, or why there is no more, on its way through the pipe."""

    order: bytes = b""
    """The kind of each event."""
    events: list[bytes] = []
    """The events of each kind."""
    unreadable: list[tuple[str, str]] = []
    name: str | None = None
    counts: tuple[int, int, dict[str, int], dict[str, int], int] = (0, 0, {}, {}, 0)
    """Of LineCounts, in its order."""
    error: str = ""
    is_last: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Sent)
_events_decoders: list[msgspec.msgpack.Decoder[list[Any]]] = [
    msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]  # each kind in turn
    for kind in _KINDS
]


def _send_and_exit(parsed: Iterator[Block | FileEnd], writable: int) -> NoReturn:
    """Of the child: it must not run what its parent registered for its own end."""
    status = 1
    with contextlib.suppress(OSError):  # a smaller pipe is only slower
        fcntl.fcntl(writable, _SET_PIPE_SIZE, _PIPE_BYTES)
    try:
        with open(writable, "wb", buffering=0) as pipe:
            try:
                for one in parsed:
                    _write(pipe, _packed(one))
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


def _packed(one: Block | FileEnd) -> _Sent:
    if isinstance(one, FileEnd):
        counts = one.counts
        told = counts.lines, counts.events, counts.ignored, counts.unreadable, counts.suppressed_lines
        return _Sent(name=one.name, counts=told)
    kinds: list[list[Event]] = [[] for _ in _KINDS]
    order = bytearray()
    for event in one.events:
        number = _NUMBERS[type(event)]
        order.append(number)
        kinds[number].append(event)
    return _Sent(bytes(order), [_encoder.encode(events) if events else b"" for events in kinds], one.unreadable)


def _write(pipe: IO[bytes], sent: _Sent) -> None:
    value = _encoder.encode(sent)
    view = memoryview(_SIZE.pack(len(value)) + value)
    while view:
        view = view[pipe.write(view) :]


def _receive(pipe: IO[bytes]) -> Iterator[Block | FileEnd]:
    while head := pipe.read(_SIZE.size):
        sent = _decoder.decode(pipe.read(*_SIZE.unpack(head)))
        if sent.error:
            raise BadInputError(sent.error)
        if sent.is_last:
            return
        if sent.name is not None:
            lines, events_count, ignored, unreadable, suppressed = sent.counts
            yield FileEnd(sent.name, LineCounts(lines, events_count, Counter(ignored), Counter(unreadable), suppressed))
            continue
        events: list[Iterator[Event]] = [
            iter(decoder.decode(value) if value else ())
            for decoder, value in zip(_events_decoders, sent.events, strict=True)
        ]
        yield Block([next(events[number]) for number in sent.order], sent.unreadable)
    raise BadInputError("the process that parsed the files ended before they did")
