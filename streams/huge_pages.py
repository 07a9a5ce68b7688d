"""Memory for the objects of messages in huge pages, where the core is compiled: `huge_pages.c`.

A join works on some hundred thousand objects at a time, and finds each of them a twentieth faster.
"""

from __future__ import annotations

from postwatch.streams import core_build

MODULE = "postwatch_core_pages"


def use_huge_pages() -> bool:
    """Call once, before the first line is read. Returns whether new memory is asked for in huge pages."""
    module = core_build.module_in_c(MODULE)
    return module is not None and bool(module.use())
