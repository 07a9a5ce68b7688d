"""What a process keeps of the memory that it once needed: bounded here, for workers and the embedded engine.

By default glibc's malloc gives each thread an arena of its own, and the size from which a block goes back to the system
as soon as it is freed rises with every larger one that is, up to 32 MiB; Arrow's own allocator keeps its pages too. So
a process would stay as large as its largest moment. Other C libraries have no such options, and are left alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from importlib.abc import MetaPathFinder
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Numbers of options in glibc's malloc.h."""
_LARGE_BYTES = 256 * 1024
BATCH_BYTES = 4 * 1024 * 1024
"""For a process that makes one batch of a few MiB after another: the system clears each new page of a batch first,
which takes half of the time of encoding it."""
_ARENAS = 2
_TRIM_EVERY_SECONDS = 5.0


def bound_heap(large_bytes: int = _LARGE_BYTES) -> None:
    """Call at the start of a process, before it has threads.

    A block of `large_bytes` goes back as soon as it is freed, and so does twice as much at the heap's end; what is
    smaller is used again, and goes back within seconds.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        return
    libc.mallopt(_ARENA_MAX, _ARENAS)
    libc.mallopt(_MMAP_THRESHOLD, large_bytes)
    libc.mallopt(_TRIM_THRESHOLD, 2 * large_bytes)
    threading.Thread(target=_trim, args=(libc,), name="heap", daemon=True).start()


def bound_arrow() -> None:
    """Call in a worker, before it imports pyarrow, which reads the variable then; its own setter misses half of it."""
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    sys.meta_path.insert(0, _WithoutFrames())


class _WithoutFrames(MetaPathFinder):
    """Arrow imports pandas, 60 MB, and numpy, 13 MB, where they happen to be installed, to know values of their types.
    Here are none.
    """

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname in ("numpy", "pandas"):
            raise ModuleNotFoundError(f"{fullname} is not used here", name=fullname)


def _trim(libc: Any) -> None:
    """Free pages between those in use go back too, which malloc does only when it is asked."""
    while True:
        time.sleep(_TRIM_EVERY_SECONDS)
        libc.malloc_trim(0)
