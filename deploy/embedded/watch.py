"""The loop of `postwatch up` and `postwatch demo`: supervise until a signal comes or the work is done, then end all."""

from __future__ import annotations

import threading
from collections.abc import Callable

from postwatch.deploy.embedded.progress import Progress
from postwatch.deploy.embedded.supervisor import Supervisor

_TURN_SECONDS = 0.1


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
