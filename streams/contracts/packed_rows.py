"""Rows as `postwatch read` sorts and prints them: bytes alone. By `row_lines.c` where the core is compiled.

Invariant: keys have the order of their cells, and both builds make the same bytes.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from postwatch.streams import core_build
from postwatch.streams.contracts.columns import NESTED, TEXTS, TIME, Column
from postwatch.streams.contracts.outcome import COLUMNS, Outcome
from postwatch.streams.contracts.outcome_json import encode_row

MODULE = "postwatch_core_lines"
_KEY = ("queued_at", "server", "queue_id", "recipient", "account", "direction")
"""In the order in which rows are told; the account tells its domain."""
_END, _END_WITHIN = "\0", "\1\1"
_ESCAPE, _ESCAPE_WITHIN = "\1", "\1\2"
_TEXTS_OF_KEY = len(_KEY) - 1


class PackedRows(NamedTuple):
    """Rows side by side."""

    entries: list[bytes]
    """Of each row its key and its version, and where its line begins and ends: numbers of 8 bytes. So entries have the
    order of their keys, those of one key that of their versions, and those of one version that in which they came. A
    tombstone has no line: it ends where it begins. No key begins with another one."""
    text: bytes
    """All lines."""


_NUMBERS = struct.Struct(">QQQ")
_PLACE = struct.Struct(">QQ")


def key_of(entry: bytes) -> bytes:
    return entry[: -_NUMBERS.size]


def place_of(entry: bytes) -> tuple[int, int]:
    """Where its line begins and ends."""
    begin, end = _PLACE.unpack(entry[-_PLACE.size :])
    return begin, end


def pack_rows(rows: list[Outcome], start: int = 0) -> PackedRows:
    """The rows in their order. `start`: where the first line begins."""
    pack = _find_packer()
    if pack is not None:
        try:
            return PackedRows(*pack(rows, start))
        except (TypeError, ValueError, OverflowError):
            pass  # a cell that it does not know
    return pack_interpreted(rows, start)


def pack_interpreted(rows: Iterable[Outcome], start: int = 0) -> PackedRows:
    """The same without compiled code."""
    entries, lines = [], []
    for row in rows:
        line = b"" if row.is_deleted else encode_row(row) + b"\n"
        entries.append(_key_of(row) + _NUMBERS.pack(row.version, start, start + len(line)))
        lines.append(line)
        start += len(line)
    return PackedRows(entries, b"".join(lines))


def _key_of(row: Outcome) -> bytes:
    texts = row.server, row.queue_id, row.recipient, row.account, row.direction
    key = _END.join((*texts, ""))
    if key.count(_END) != _TEXTS_OF_KEY or _ESCAPE in key:
        escaped = (text.replace(_ESCAPE, _ESCAPE_WITHIN).replace(_END, _END_WITHIN) for text in texts)
        key = _END.join((*escaped, ""))
    return row.queued_at.to_bytes(8, "big") + key.encode("utf-8", "surrogatepass")


_Pack = Callable[[list[Outcome], int], tuple[list[bytes], bytes]]


@functools.cache
def _find_packer() -> _Pack | None:
    """None: the core is not compiled. Raises what the compiled code raises: TypeError, ValueError or OverflowError."""
    module = core_build.module_in_c(MODULE)
    if module is None:
        return None
    pack = module.pack
    kinds, labels = "".join(map(_letters, COLUMNS)), tuple(_labels(COLUMNS))
    places = {column.name: place for place, column in enumerate(COLUMNS)}
    key = tuple(places[name] for name in _KEY)

    def packer(rows: list[Outcome], start: int) -> tuple[list[bytes], bytes]:
        found: tuple[list[bytes], bytes] = pack(
            rows, kinds, labels, key, places["version"], places["is_deleted"], start
        )
        return found

    return packer


def _letters(column: Column) -> str:
    """The column as `row_lines.c` names it."""
    if column.kind is NESTED:
        return f"({''.join(map(_letters, column.parts))})"
    if column.kind is TEXTS:
        return "L"
    return "t" if column.kind is TIME else "s" if column.kind.name == "string" else "n"


def _labels(columns: Sequence[Column]) -> Iterable[Any]:
    for place, column in enumerate(columns):
        yield f'{"," if place else "{"}"{column.name}":'
        yield from _labels(column.parts)
