"""What a part tells systemd: that it works, that its main loop turns, and that it stops. Without systemd, nothing.

Invariant: `alive` is called by the main loop alone, so a loop that hangs is silent and systemd starts the part again.
Whether Kafka or ClickHouse answer does not matter: a part that waits for them turns too. Until the part is ready, each
call asks for more time to start, so an outage at boot does not end a start, and a start that hangs is ended.
The protocol is that of sd_notify(3): lines of NAME=value in a datagram to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from postwatch.producers.service import renewal
from postwatch.producers.service.health import Health

if TYPE_CHECKING:
    import asyncio

MORE_TIME_SECONDS = 120
"""How long a start may be silent before systemd ends it."""
_BEAT_SECONDS = 10.0
"""Between two beats where no watchdog asks for more."""
_LOOP_SECONDS = 1.0
_MOST_STATUS = 300


class Systemd:
    """The way to systemd. Sends never wait, and never fail the part: the watchdog notices a beat that is lost."""

    def __init__(
        self, health: Health, environ: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = ""
        if address.startswith(("/", "@")):
            self._address = "\0" + address[1:] if address.startswith("@") else address
        self._health = health
        self._clock = clock
        self._every_seconds = min(_watchdog_seconds(environ) / 2, _BEAT_SECONDS)
        self._next_beat = 0.0
        self._is_ready = self._is_stopping = False
        self._is_reloading = environ.get(renewal.BEGUN_ANEW) == str(os.getpid())

    def alive(self) -> None:
        """The main loop turns. Call as often as you like; one call in some seconds is sent."""
        self._health.turn()
        now = self._clock()
        if self._is_stopping or now < self._next_beat:
            return
        self._next_beat = now + self._every_seconds
        beats = []
        if (
            self._is_ready or self._is_reloading
        ):  # the watchdog of a reload goes on; that of a start begins when it is ready
            beats.append("WATCHDOG=1")
        if not self._is_ready:
            beats.append(f"EXTEND_TIMEOUT_USEC={MORE_TIME_SECONDS * 1_000_000}")
        self._send(*beats, self._status())

    def ready(self) -> None:
        """The part works. Call as often as you like; the first call is sent."""
        if not self._is_ready:
            self._is_ready = self._health.is_ready = True
            self._send("READY=1", self._status())

    def stopping(self) -> None:
        """The part ends what it has begun, and then itself."""
        if not self._is_stopping:
            self._is_stopping = True
            if renewal.is_due():  # the same process begins anew: to systemd that is a reload
                now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                self._send(
                    "RELOADING=1", f"MONOTONIC_USEC={now_us}", "WATCHDOG=1", "STATUS=taking up renewed credentials"
                )
            else:
                self._send("STOPPING=1", "STATUS=stopping")

    def watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let an event loop, which runs or will run, say that it is alive."""
        loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self.alive()
        loop.call_later(min(self._every_seconds, _LOOP_SECONDS), self._turn, loop)

    def _status(self) -> str:
        complaints = "; ".join(f"{name}: {reason}" for name, reason in sorted(self._health.complaints().items()))
        words = complaints or ("working" if self._is_ready else "starting")
        return "STATUS=" + " ".join(words.split())[:_MOST_STATUS]

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """How long systemd waits for a beat of this process; without a watchdog, for ever."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() and int(microseconds) else float("inf")
