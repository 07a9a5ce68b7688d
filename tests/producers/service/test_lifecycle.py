"""A part waits for its servers and says why; a signal stops it."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from postwatch.producers.service import lifecycle
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.lifecycle import await_server, stop_on_signal
from postwatch.producers.service.outages import OutageLog

from tests.waiting import PATIENCE


def test_a_start_waits_until_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_RETRY_SECONDS", 0)
    health = Health()
    seen: list[dict[str, str]] = []

    def check() -> None:
        seen.append(health.complaints())
        if len(seen) < 3:
            raise UnavailableError("nobody there")

    assert await_server(OutageLog("kafka", health), check, threading.Event())
    assert seen == [{}, {"kafka": "nobody there"}, {"kafka": "nobody there"}]
    assert health.complaints() == {}


def test_a_start_ends_when_it_is_time_to_stop() -> None:
    health = Health()
    stopping = threading.Event()

    def check() -> None:
        stopping.set()
        raise UnavailableError("nobody there")

    assert not await_server(OutageLog("kafka", health), check, stopping)
    assert health.complaints() == {"kafka": "nobody there"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_an_event(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        stopping = stop_on_signal(signal.SIGHUP)
        assert not stopping.is_set()
        os.kill(os.getpid(), number)
        assert stopping.wait(PATIENCE)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
