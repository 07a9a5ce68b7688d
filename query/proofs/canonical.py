"""JSON that has one spelling for one meaning, so that a signature covers the meaning.

Objects, lists, texts and whole numbers of at most 53 bits: of such documents RFC 8785 says that names are sorted, that
nothing stands between the parts, and how each character is escaped, which is how `json` writes them. Numbers with a
point, null and switches are refused, for their spelling is what RFC 8785 is hard about.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 8
MAX_NUMBER = (1 << 53) - 1
"""What every reader of JSON keeps exactly (RFC 8259 §6)."""

Document = dict[str, Any]


class NotCanonicalError(ValueError):
    """The text, or the value, is none of these; the message says why, for people."""


def canonical_json(value: Any) -> bytes:
    """A value → its one spelling. Raises NotCanonicalError."""
    _check(value, 0)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    except UnicodeEncodeError as error:
        raise NotCanonicalError("a text in it is not valid Unicode") from error


def read_document(raw: bytes) -> Document:
    """An object that `canonical_json` takes, however it is spaced. Raises NotCanonicalError."""
    if len(raw) > MAX_BYTES:
        raise NotCanonicalError(f"it has {len(raw)} bytes, more than a proof can have")
    try:
        found = json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_whole,
        )
    except UnicodeDecodeError as error:
        raise NotCanonicalError("it is not UTF-8 text") from error
    except RecursionError as error:
        raise NotCanonicalError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise NotCanonicalError(f"it is not JSON (line {error.lineno})") from error
    if not isinstance(found, dict):
        raise NotCanonicalError("it is no JSON object")
    _check(found, 0)
    return found


def _object(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotCanonicalError(f"{twice!r} stands in it twice, so it may mean two things")
    return found


def _refuse_number(spelled: str) -> NoReturn:
    raise NotCanonicalError(f"{spelled[:40]} in it is not a whole number")


def _whole(spelled: str) -> int:
    if len(spelled) > len(str(-MAX_NUMBER)):
        raise NotCanonicalError(f"the number {spelled[:20]}… in it is too large")
    return int(spelled)


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NotCanonicalError("it is nested too deeply")
    if type(value) is dict:
        for name, part in value.items():
            # Sorted by code points, as `json` does, is sorted by UTF-16 units, as RFC 8785 asks, where names are ASCII.
            if type(name) is not str or not name.isascii():
                raise NotCanonicalError(f"{name!r} in it is not a name that a proof has")
            _check(part, depth + 1)
    elif type(value) is list:
        for part in value:
            _check(part, depth + 1)
    elif type(value) is int:
        if abs(value) > MAX_NUMBER:
            raise NotCanonicalError(f"the number {value} in it is too large")
    elif type(value) is not str:
        raise NotCanonicalError(f"{json.dumps(value, default=repr)} in it is no text and no whole number")
