"""Who may write to the changelog: who was a member of the group a moment ago."""

from __future__ import annotations

import asyncio

import pytest
from postwatch.streams.faust_glue.lease import Lease, guard_sends


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Ended(Exception):
    """The process would have ended."""


def end(reason: str) -> None:
    raise Ended(reason)


def test_a_lease_begins_with_a_heartbeat_and_lasts_for_less_than_a_session_from_its_sending() -> None:
    clock = Clock()
    lease = Lease(6.0, clock)
    assert not lease.is_held()

    async def slow_heartbeat() -> bool:
        clock.now += 3.0
        return True

    assert asyncio.run(lease.renewed_by(slow_heartbeat)())  # type: ignore[arg-type]
    assert lease.is_held()
    clock.now = 105.0
    assert not lease.is_held(), "the broker may have had that heartbeat at 100, and have waited until 106"


def test_a_heartbeat_that_is_refused_renews_nothing() -> None:
    clock = Clock()
    lease = Lease(6.0, clock)

    async def refused() -> bool:
        return False

    assert not asyncio.run(lease.renewed_by(refused)())  # type: ignore[arg-type]
    assert not lease.is_held()


class Sends:
    """A producer's sends through the guard."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lease = Lease(6.0, self.clock)
        self.is_rebalancing = False
        self.sent: list[str] = []
        self.send = guard_sends(self._send, self.lease, lambda: self.is_rebalancing, end)

    async def _send(self, what: str) -> None:
        self.sent.append(what)


def test_a_send_goes_out_under_a_lease_in_a_rebalance_too() -> None:
    sends = Sends()
    sends.lease.renew(sends.clock.now)
    sends.is_rebalancing = True
    asyncio.run(sends.send("entry"))  # type: ignore[arg-type]
    assert sends.sent == ["entry"]


def test_a_send_waits_for_the_next_heartbeat_when_kafka_was_away() -> None:
    sends = Sends()

    async def outage() -> None:
        sending = asyncio.ensure_future(sends.send("entry"))
        await asyncio.sleep(0.12)
        assert sends.sent == []
        sends.lease.renew(sends.clock.now)
        await sending

    asyncio.run(outage())
    assert sends.sent == ["entry"]


def test_a_worker_that_was_thrown_out_ends_before_it_writes() -> None:
    sends = Sends()
    sends.is_rebalancing = True
    with pytest.raises(Ended, match="new owner"):
        asyncio.run(sends.send("entry"))  # type: ignore[arg-type]
    assert sends.sent == []
