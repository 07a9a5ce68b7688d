"""Memory in huge pages: with the compiled core it is asked for, and goes back; the interpreted one changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from postwatch.streams import core_build

_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_OBJECTS = """
import gc, re
from postwatch.streams.huge_pages import use_huge_pages

def read(what):
    return int(re.search(rf"^{what}: +([0-9]+) kB$", open("/proc/self/smaps_rollup").read(), re.M)[1])

asked = use_huge_pages()
before, before_huge = read("Rss"), read("AnonHugePages")
kept = [object() for _ in range(4_000_000)]
full, huge = read("Rss") - before, read("AnonHugePages") - before_huge
del kept
gc.collect()
print(asked, full, huge, read("Rss") - before)
"""


def run() -> tuple[bool, int, int, int]:
    """Whether huge pages were asked for; KB of 64 MB of objects; KB of that in huge pages; KB when they are gone."""
    done = subprocess.run([sys.executable, "-c", _OBJECTS], capture_output=True, text=True, check=True, timeout=60)
    asked, *sizes = done.stdout.split()
    full, huge, left = map(int, sizes)
    return asked == "True", full, huge, left


def test_memory_is_asked_for_in_huge_pages_by_the_compiled_core_alone() -> None:
    asked, full, huge, left = run()
    assert full > 60_000
    assert left < full / 4
    if core_build.running.kind == core_build.INTERPRETED:
        assert not asked
    else:
        assert asked
        if not _ENABLED.exists() or "[never]" in _ENABLED.read_text():
            pytest.skip("this kernel has no huge pages, or its administrator wants none")
        assert huge > full / 2
