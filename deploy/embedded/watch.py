"""The loop of `postwatch up` and `postwatch demo`: supervise until a signal comes or the work is done, then end all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from postwatch.deploy.embedded.progress import Progress
from postwatch.deploy.embedded.supervisor import Supervisor

_TURN_SECONDS = 0.1


def stop_on_signal() -> threading.Event:
    """An event that Ctrl-C, SIGTERM and a closed terminal set."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def watch(supervisor: Supervisor, progress: Progress, stopping: threading.Event, turn: Callable[[], bool]) -> None:
    """Look after the parts; once all have worked, take a `turn` each time, until one says that it was the last.

    Whatever happens, nothing is left running at the end.
    """
    try:
        while not stopping.is_set():
            supervisor.tick()
            if missing := supervisor.waiting_for():
                progress.wait_for(missing)
            elif turn():
                break
            stopping.wait(_TURN_SECONDS)
        progress.tell("ending all parts")
    finally:
        supervisor.stop()
