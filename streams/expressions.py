"""Regular expressions that mean the same on each Python that we run on.

Python 3.11.0 to 3.11.4 (Debian 12 has 3.11.2) give no text back after a possessive repeat of a group that failed
half-way, so an optional field takes the blank before the next one and the line can't be read. An atomic group around a
greedy repeat is the same by definition, and right there.
"""

from __future__ import annotations

import re

_IS_SOUND = re.match(r"(?:a(?:b|c|de))*+ad", "ad") is not None
_REPEAT = re.compile(r"([*+?]|\{\d*,?\d*\})\+")


def compiled(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """As re.compile."""
    return re.compile(pattern if _IS_SOUND else with_atomic_groups(pattern), flags)


def with_atomic_groups(pattern: str) -> str:
    """The pattern with `(?>(...)*)` in place of each `(...)*+`. Repeats of a single character stay: they are sound."""
    parts: list[str] = []
    """What was read, piece by piece."""
    opened: list[int] = []
    """Where in `parts` each group that is open began."""
    place = 0
    while place < len(pattern):
        size = _length(pattern, place)
        token = pattern[place : place + size]
        place += size
        if token == "(":
            opened.append(len(parts))
        parts.append(token)
        if token == ")":
            start = opened.pop()
            if repeat := _REPEAT.match(pattern, place):
                group = "".join(parts[start:])
                parts[start:] = [f"(?>{group}{repeat[1]})"]
                place = repeat.end()
    return "".join(parts)


def _length(pattern: str, place: int) -> int:
    """Of an escape, a set of characters or a single character."""
    if pattern[place] == "\\":
        return 2
    if pattern[place] != "[":
        return 1
    end = place + 1 + pattern.startswith("^", place + 1)
    end += pattern.startswith("]", end)  # as the first character it is one of the set
    while pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    return end + 1 - place
