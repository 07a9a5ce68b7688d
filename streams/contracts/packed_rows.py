"""Rows as `postwatch read` sorts and prints them: bytes alone. By `row_lines.c` where the core is compiled.

Invariant: keys have the order of their cells, and both builds make the same bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
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
    """Rows side by side: of each its key, its version and its line, which is empty for a tombstone."""

    keys: list[bytes]
    versions: list[int]
    lines: list[bytes]


def pack_rows(rows: list[Outcome]) -> PackedRows:
    """The rows in their order."""
    pack = _find_packer()
    if pack is not None:
        try:
            return PackedRows(*pack(rows))
        except (TypeError, ValueError, OverflowError):
            pass  # a cell that it does not know
    return pack_interpreted(rows)


def pack_interpreted(rows: Iterable[Outcome]) -> PackedRows:
    """The same without compiled code."""
    packed = PackedRows([], [], [])
    for row in rows:
        packed.keys.append(_key_of(row))
        packed.versions.append(row.version)
        packed.lines.append(b"" if row.is_deleted else encode_row(row) + b"\n")
    return packed


def _key_of(row: Outcome) -> bytes:
    texts = row.server, row.queue_id, row.recipient, row.account, row.direction
    key = _END.join((*texts, ""))
    if key.count(_END) != _TEXTS_OF_KEY or _ESCAPE in key:
        escaped = (text.replace(_ESCAPE, _ESCAPE_WITHIN).replace(_END, _END_WITHIN) for text in texts)
        key = _END.join((*escaped, ""))
    return row.queued_at.to_bytes(8, "big") + key.encode("utf-8", "surrogatepass")


_Pack = Callable[[list[Outcome]], tuple[list[bytes], list[int], list[bytes]]]


@functools.cache
def _find_packer() -> _Pack | None:
    """None: the core is not compiled. Raises what the compiled code raises: TypeError, ValueError or OverflowError."""
    if core_build.running.kind != core_build.COMPILED:
        return None
    pack = import_module(MODULE).pack
    kinds, labels = "".join(map(_letters, COLUMNS)), tuple(_labels(COLUMNS))
    places = {column.name: place for place, column in enumerate(COLUMNS)}
    key = tuple(places[name] for name in _KEY)

    def packer(rows: list[Outcome]) -> tuple[list[bytes], list[int], list[bytes]]:
        found: tuple[list[bytes], list[int], list[bytes]] = pack(
            rows, kinds, labels, key, places["version"], places["is_deleted"]
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
