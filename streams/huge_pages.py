"""Memory for the objects of messages in huge pages, where the core is compiled: `huge_pages.c`.

A join works on some hundred thousand objects at a time, and finds each of them a twentieth faster.
"""

from __future__ import annotations

from importlib import import_module

from postwatch.streams import core_build

MODULE = "postwatch_core_pages"


def use_huge_pages() -> bool:
    """Call once, before the first line is read. Returns whether new memory is asked for in huge pages."""
    if core_build.running.kind != core_build.COMPILED:
        return False
    is_there: bool = import_module(MODULE).use()
    return is_there
