"""How long a worker may write for its partitions: until the group may have given them to somebody else.

A worker that stood still (stopped, swapped out, cut off) wakes up with entries of the table on their way to the
changelog. Written then, they would lie on top of those of the partition's new owner. The group throws a member out when
it has heard no heartbeat for a session; so the worker counts a little less than a session from the moment at which it
sent the last heartbeat that was answered, and sends nothing to the changelog beyond that.
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

    Kafka away: it waits, and goes on with the next heartbeat that is answered. Thrown out: the rebalance comes first,
    and what is on its way belongs to a partition's past; the process ends, for nothing of it was acknowledged.
    """

    async def guarded(*arguments: Any) -> None:
        while not lease.is_held():
            if is_rebalancing():
                fail("it stood still for so long that its partitions may have a new owner")
            await asyncio.sleep(_LOOK_SECONDS)
        await send(*arguments)

    return guarded
