from __future__ import annotations

import pytest
from postwatch.streams.joining.recent import Recent


@pytest.mark.parametrize("count", [1, 4, 5, 9, 100])
def test_the_newest_half_is_there_and_no_more_than_the_most(count: int) -> None:
    recent: Recent[int] = Recent(10)
    for key in range(count):
        recent.put(key, key)
    kept = [key for key in range(count) if key in recent]
    assert kept == list(range(count - len(kept), count))
    assert min(count, 5) <= len(kept) <= 10
    assert [recent.get(key) for key in kept] == kept


def test_what_was_dropped_is_gone_from_both_halves() -> None:
    recent: Recent[str] = Recent(4)
    for key in ("a", "b", "a"):
        recent.put(key, key)
    recent.drop("a")
    recent.drop("never put in")
    assert "a" not in recent
    assert recent.get("a") is None
    assert recent.get("b") == "b"
