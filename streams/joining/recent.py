"""The keys that were put in last, bounded, at the price of a dict.

Invariant: of the last `most / 2` keys put in and not dropped none is missing, and no more than `most` are kept. A dict
whose oldest key is deleted for each new one would skip the places of all that were deleted before, again and again;
here the older half goes at once.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key; a key put in again is the newest."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._new: dict[Hashable, V] = {}
        self._old: dict[Hashable, V] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._new or key in self._old

    def put(self, key: Hashable, value: V) -> None:
        new = self._new
        new[key] = value
        if len(new) >= self._half:
            self._old, self._new = new, {}

    def get(self, key: Hashable) -> V | None:
        found = self._new.get(key)
        return found if found is not None else self._old.get(key)

    def drop(self, key: Hashable) -> None:
        self._new.pop(key, None)
        self._old.pop(key, None)
