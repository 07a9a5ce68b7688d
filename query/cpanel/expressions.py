"""Regular expressions of filters, bounded: RE2 reads a text once, whatever the expression, within a limit of memory.

It is the syntax of ClickHouse's `match`: no backreference and no look-around, so no expression takes long.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

MOST_EXPRESSION_BYTES = 1 << 20
"""Of memory, for one expression."""


class ExpressionError(ValueError):
    """It is none, or needs too much memory; the text says why."""


@lru_cache(256)
def compiled(expression: str) -> Any:
    """Raises ExpressionError."""
    options = re2.Options()
    options.max_mem = MOST_EXPRESSION_BYTES
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        said = error.args[0] if error.args else "it is not valid"
        raise ExpressionError(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from None


def matches(value: str, expression: str) -> bool:
    """Whether a part of the value matches."""
    return compiled(expression).search(value) is not None
