"""The rest of an iterator, worked out by a child of this process while this one uses what it gives.

Invariant: the items are the same, in the same order; an error comes in its place. The child is a copy of this process,
so it goes on where this one stands, with all that was read.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any, Generic, NoReturn, TypeVar

from postwatch.producers.service.errors import BadInputError, PostwatchError

_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ of Linux, which not every build of Python names."""
_HEAD = struct.Struct(">IB")
"""The size of what follows, and what it is."""
_ITEM, _ERROR, _LAST = range(3)

Item = TypeVar("Item")


class Form(Generic[Item]):
    """How items go through a pipe: as what `marshal` writes, which is quickest; both ends are the same program."""

    def __init__(self, pack: Callable[[Item], Any], unpack: Callable[[Any], Item]) -> None:
        self.pack = pack
        self.unpack = unpack


def in_child(items: Iterator[Item], form: Form[Item]) -> Iterator[Item]:
    """What `items` has left. The child begins with the first item that is asked for.

    Only where this process has one thread: a fork copies what the others hold.
    """
    readable, writable = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os.close(readable)
        _send_and_exit(items, form, writable)
    os.close(writable)
    try:
        with open(readable, "rb", buffering=_PIPE_BYTES) as pipe:
            yield from _receive(pipe, form)
    finally:
        os.waitpid(child, 0)


def _send_and_exit(items: Iterator[Item], form: Form[Item], writable: int) -> NoReturn:
    """Of the child: it must not run what its parent registered for its own end."""
    status = 1
    with contextlib.suppress(OSError):  # a smaller pipe is only slower
        fcntl.fcntl(writable, _SET_PIPE_SIZE, _PIPE_BYTES)
    try:
        with open(writable, "wb", buffering=0) as pipe:
            try:
                for item in items:
                    packed = form.pack(item)
                    del item  # `marshal` takes half as long for what nothing else holds: it can't meet it again
                    _write(pipe, _ITEM, packed)
                _write(pipe, _LAST, None)
            except PostwatchError as error:
                _write(pipe, _ERROR, str(error))
        status = 0
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # the parent has what it wanted, or tells why it ends
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def _write(pipe: IO[bytes], kind: int, sent: Any) -> None:
    value = marshal.dumps(sent)
    for part in (_HEAD.pack(len(value), kind), value):
        view = memoryview(part)
        while view:
            view = view[pipe.write(view) :]


def _receive(pipe: IO[bytes], form: Form[Item]) -> Iterator[Item]:
    while head := pipe.read(_HEAD.size):
        size, kind = _HEAD.unpack(head)
        sent = marshal.loads(pipe.read(size))
        if kind == _LAST:
            return
        if kind == _ERROR:
            raise BadInputError(sent)
        yield form.unpack(sent)
    raise BadInputError("a process that read the files ended before they did")
