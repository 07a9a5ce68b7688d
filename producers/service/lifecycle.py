"""How a long-running part begins and ends: it waits for its servers, and stops on a signal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.outages import OutageLog

_RETRY_SECONDS = 2.0


def now_ms() -> int:
    """The machine's clock: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def stop_on_signal(*others: signal.Signals) -> threading.Event:
    """An event that SIGTERM, SIGINT (Ctrl-C) and `others` set. Call on the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, *others):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def await_server(
    outage: OutageLog,
    check: Callable[[], object],
    stopping: threading.Event,
    alive: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until `check` no longer raises UnavailableError, and complain meanwhile. False: it is time to stop.

    `alive` is called at each try.
    """
    while not stopping.is_set():
        alive()
        try:
            check()
        except UnavailableError as error:
            outage.away(str(error))
            stopping.wait(_RETRY_SECONDS)
        else:
            outage.back()
            return True
    return False
