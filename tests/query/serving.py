"""Serves an application as `postwatch serve` does, in a thread of the tests, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from postwatch.query.access.site import Site
from postwatch.query.server import address_of, make_server, open_listener
from starlette.types import ASGIApp

from tests.waiting import wait_until


class Server(NamedTuple):
    address: str
    stop: Callable[[], float]
    """Ends it; returns how many seconds that took. Ended once, it stays so."""


@contextlib.contextmanager
def serving(app: ASGIApp, listen: str = "127.0.0.1:0", site: Site | None = None) -> Iterator[Server]:
    """The application answers from here on; at the end every request is answered and the thread has ended."""
    listener = open_listener(listen, site)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def stop() -> float:
        began = time.monotonic()
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the server does not end"
        return time.monotonic() - began

    try:
        wait_until(lambda: server.started or not thread.is_alive(), "the server answers")
        assert server.started, "the server ended at its start"
        yield Server(address_of(listener), stop)
    finally:
        stop()
        listener.close()
