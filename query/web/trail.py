"""The way to a page of a list: the cursors of the pages before it, in its address, so that a link leads back.

Invariant: an address stays short enough for every browser and proxy: of a long way the last pages are kept.
"""

from __future__ import annotations

import re

from postwatch.query.orders import MAX_CURSOR_CHARACTERS

FIRST = "-"
"""Stands for the first page, which has no cursor."""
_SEPARATOR = "."
_MOST_CHARACTERS = 1_500
_CURSOR = re.compile(rf"[\w-]{{1,{MAX_CURSOR_CHARACTERS}}}", re.ASCII)


def read_trail(words: str) -> tuple[str, ...]:
    """What is no way of ours is none."""
    found = tuple(words.split(_SEPARATOR)) if 0 < len(words) <= _MOST_CHARACTERS else ()
    return found if all(map(_CURSOR.fullmatch, found)) else ()


def trail_words(trail: tuple[str, ...]) -> str:
    words = _SEPARATOR.join(trail)
    while len(words) > _MOST_CHARACTERS:
        words = words.partition(_SEPARATOR)[2]
    return words
