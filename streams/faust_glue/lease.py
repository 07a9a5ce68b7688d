"""The lease (self-fencing): how long a worker may write for its partitions before the group may give them to another.

A worker that stood still (stopped, swapped out, cut off) wakes up with entries of the table in flight to the changelog.
Written then, they would hide those of the partition's new owner. The group removes a member when it has heard no
heartbeat for a session. So the lease lasts a little less than a session, counted from the moment at which the last
heartbeat that was answered was sent, and the worker sends nothing to the changelog after it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

MARGIN_SECONDS = 1.0
"""What a send may take from here to the broker's log."""
_LOOK_SECONDS = 0.05


class Lease:
    """Renewed by heartbeats, on the consumer's thread; looked at before each send, on the loop's."""

    def __init__(self, session_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = session_seconds - MARGIN_SECONDS
        self._clock = clock
        self._until = float("-inf")

    def is_held(self) -> bool:
        return self._clock() < self._until

    def renew(self, asked_at: float) -> None:
        """The group answered what was asked then (monotonic seconds) as it answers a member."""
        self._until = max(self._until, asked_at + self._seconds)

    def renewed_by(self, heartbeat: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        """The heartbeat of aiokafka's coordinator, which tells whether the group still knows the member."""

        async def beat() -> bool:
            asked_at = self._clock()
            is_member = await heartbeat()
            if is_member:
                self.renew(asked_at)
            return is_member

        return beat


def guard_sends(
    send: Callable[..., Awaitable[None]], lease: Lease, is_rebalancing: Callable[[], bool], fail: Callable[[str], None]
) -> Callable[..., Awaitable[None]]:
    """A send of aiokafka's producer that waits until the lease is held.

    While Kafka is away it waits, and goes on with the next heartbeat that is answered. After the group has removed the
    worker, a rebalance comes first: the process ends, for nothing of what is in flight was acknowledged.
    """

    async def guarded(*arguments: Any) -> None:
        while not lease.is_held():
            if is_rebalancing():
                fail("its lease ended and a rebalance began: its partitions may have a new owner")
            await asyncio.sleep(_LOOK_SECONDS)
        await send(*arguments)

    return guarded
