"""What a worker keeps of a backlog once it is through: tried in a process of its own, for it changes the process."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_WORKER = """
import resource, sys, time
from postwatch.producers.service.memory import BATCH_BYTES, bound_arrow, bound_heap

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

bound_heap(BATCH_BYTES)
bound_arrow()
from postwatch.streams.commands import join, sink
assert "pyarrow" not in sys.modules  # what is read before is not bounded
import pyarrow
pyarrow.array(["a"])
before = resident()
for size in (1_000_000, 30_000_000, 1_000_000):
    backlog = [b"x" * size for _ in range(120_000_000 // size)]
    table = pyarrow.array(backlog, pyarrow.large_binary())
    assert resident() - before > 200_000_000
    del backlog, table
give_up_at = time.monotonic() + 60  # it is a matter of seconds
while resident() - before >= 20_000_000 and time.monotonic() < give_up_at:
    time.sleep(0.1)
has_frames = "pandas" in sys.modules or "numpy" in sys.modules
print((resident() - before) // 1_000_000, has_frames, pyarrow.default_memory_pool().backend_name)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc's malloc alone is bounded")
def test_a_backlog_leaves_nothing_behind_and_no_frames_are_read() -> None:
    done = subprocess.run([sys.executable, "-c", _WORKER], capture_output=True, text=True, check=True)
    megabytes, has_frames, allocator = done.stdout.split()
    assert int(megabytes) < 20
    assert (has_frames, allocator) == ("False", "system")
