"""What C tells of usual lines, of a record's lines and of a mailbox, where the core is compiled: `scan.c`.

Each function knows less than the Python that stands beside its call, tells the same of what it knows, and else nothing.
"""

from __future__ import annotations

from typing import Any

from postwatch.streams import core_build

MODULE = "postwatch_core_scan"
SCAN: Any = core_build.module_in_c(MODULE)
"""None: the core runs interpreted."""
