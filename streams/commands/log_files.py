"""Log files as blocks of whole lines, plain or compressed, and the logs in a zip archive one by one.

Memory is flat: a file is decoded piece by piece, and of a line without an end only its beginning is kept. What can't be
read ends the command with the file's name and the remedy.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, cast

from postwatch.producers.files.compression import START_BYTES, ZIP, UnreadableError, decompress, recognise
from postwatch.producers.record import MAX_RECORD_BYTES
from postwatch.producers.service.errors import BadInputError

if TYPE_CHECKING:
    from postwatch.producers.files.zip_archive import ZipLog

_CHUNK_BYTES = 1 << 16
"""What is made of more would not fit the processor's cache: with 256 KiB all that follows takes a tenth longer."""
_MOST_OF_A_LINE = MAX_RECORD_BYTES
"""More characters than the parsers keep of a line."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class LogFile(NamedTuple):
    """One log: a file, or one of the files in a zip archive. Its blocks can be read once, before the next file's."""

    name: str
    written_ms: int
    """When it was written to for the last time; standard input is written now."""
    blocks: Iterator[bytes]
    """Whole lines; the last line needs no newline. Raises BadInputError."""


def read_logs(path: str) -> Iterator[LogFile]:
    """The logs that a path means; - is standard input. Raises BadInputError that names the file."""
    name = "standard input" if path == "-" else path
    try:
        written_ms = int((time.time() if path == "-" else os.stat(path).st_mtime) * 1000)
        with nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as raw:
            start = raw.read(START_BYTES)
            if recognise(start) != ZIP:
                yield LogFile(name, written_ms, _blocks(name, start, raw))
                return
            from postwatch.producers.files.zip_archive import zip_logs  # for these alone

            logs = zip_logs(_seekable(raw))
            for log in logs:
                yield _in_archive(name, written_ms, log)
            if not logs:
                yield LogFile(name, written_ms, iter(()))
    except OSError as error:
        raise _unreadable(name, error) from error


def _in_archive(archive: str, written_ms: int, log: ZipLog) -> LogFile:
    """Its own time counts where it is the older one: an archive may be made years later."""
    name = f"{archive}:{log.name}"
    try:
        content = log.open()
        blocks = _blocks(name, content.read(START_BYTES), content)
    except OSError as error:
        raise _unreadable(name, error) from error
    return LogFile(name, min(written_ms, log.written_ms or written_ms), blocks)


def _blocks(name: str, start: bytes, raw: _Readable) -> Iterator[bytes]:
    try:
        compression = recognise(start)
        whole: _Readable = _Prefixed(start, raw)
        if compression is None:
            yield from _whole_lines(whole, lambda: False)
            return
        if compression == ZIP:
            raise UnreadableError("it is a zip archive in a zip archive: unpack it")
        content = decompress(compression, cast("IO[bytes]", whole))
        start = content.read(START_BYTES)
        if recognise(start):
            raise UnreadableError(f"what it holds is compressed once more: unpack the {compression} data")
        yield from _whole_lines(_Prefixed(start, content), lambda: content.is_unfinished)
        if content.is_unfinished:
            print(
                f"{name} ends within a frame of zstd: it is still written, or was cut; "
                "it was read to its last whole line",
                file=sys.stderr,
            )
    except OSError as error:
        raise _unreadable(name, error) from error


def _whole_lines(stream: _Readable, is_unfinished: Callable[[], bool]) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(_CHUNK_BYTES):
        whole, newline, tail = block.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = tail
        else:
            rest += tail
        rest = rest[:_MOST_OF_A_LINE]
    if rest and not is_unfinished():
        yield rest


class _Prefixed:
    """What was read of a stream already, and the stream."""

    def __init__(self, start: bytes, stream: _Readable) -> None:
        self._start = start
        self._stream = stream

    def read(self, size: int) -> bytes:
        start, self._start = self._start[:size], self._start[size:]
        return start + self._stream.read(size - len(start)) if len(start) < size else start


def _seekable(raw: IO[bytes]) -> IO[bytes]:
    if not raw.seekable():
        raise UnreadableError(
            "a zip archive can't be read from a pipe: name the file, or use `unzip -p FILE | postwatch read -`"
        )
    return raw


def _unreadable(name: str, error: OSError) -> BadInputError:
    return BadInputError(f"{name} can't be read: {error.strerror or error}")
