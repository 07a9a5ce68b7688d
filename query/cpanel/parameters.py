"""The parameters of a call: names and values as a script sends them, in the address or in the body.

Invariant: a value that means nothing is refused in words. cPanel itself ignores some, so that a script with
`success=true` gets failures alone and never learns why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from postwatch.query.cpanel.errors import CallError

Parameters = Mapping[str, str]

LATEST_SECONDS = 253_402_300_799
"""The end of the year 9999."""


def read_flag(parameters: Parameters, name: str) -> bool:
    """Booleans are 1 and 0 alone."""
    word = parameters.get(name, "").strip()
    if word not in ("", "0", "1"):
        raise CallError("%(name)s=%(word)s: use 1 or 0", name=name, word=word[:40])
    return word == "1"


def read_whole_number(parameters: Parameters, name: str, default: int, least: int = 0) -> int:
    word = parameters.get(name, "").strip()
    if not word:
        return default
    number = int(word) if word.isascii() and word.removeprefix("-").isdigit() and len(word) < 16 else least - 1
    if number < least:
        raise CallError("%(name)s=%(word)s: use a whole number from %(least)s", name=name, word=word[:40], least=least)
    return number


def read_seconds(parameters: Parameters, names: tuple[str, ...], default: int) -> int:
    """A time as seconds since 1970, under the first of these names that was sent."""
    for name in names:
        if parameters.get(name, "").strip():
            found = read_whole_number(parameters, name, default)
            return min(found, LATEST_SECONDS)
    return default


def read_choice(parameters: Parameters, name: str, choices: tuple[str, ...], default: str) -> str:
    word = parameters.get(name, "").strip() or default
    if word and word not in choices:
        raise CallError(
            "%(name)s=%(word)s: use %(choices)s", name=name, word=word[:40], choices=", ".join(filter(None, choices))
        )
    return word


def number_of(word: str) -> float | None:
    """A number that is one, or None."""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
