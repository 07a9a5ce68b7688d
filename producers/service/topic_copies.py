"""On how many brokers a topic is, and how many of them acknowledge a record."""

from __future__ import annotations

MOST_COPIES = 3


def copies_among(wanted: int, brokers: int) -> int:
    """How many a topic is to have in a cluster of so many brokers. `wanted`: 0: MOST_COPIES, or all there are."""
    return wanted or min(MOST_COPIES, brokers)


def in_sync_copies(copies: int) -> int:
    """How many must have a record before it is acknowledged: one broker of three may be away, and one may die."""
    return 2 if copies >= MOST_COPIES else 1
