"""The socket to which a service tells systemd how it does, and what was told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class NotifySocket:
    path: Path
    messages: list[str] = field(default_factory=list)

    def environment(self, watchdog_seconds: float) -> dict[str, str]:
        """What systemd sets for a unit with `WatchdogSec=`."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(round(watchdog_seconds * 1_000_000))}

    def count(self, assignment: str) -> int:
        return sum(assignment in message.splitlines() for message in list(self.messages))

    def said(self, name: str) -> list[str]:
        """The values of `name`, in the order in which they came."""
        lines = [line for message in list(self.messages) for line in message.splitlines()]
        return [line.partition("=")[2] for line in lines if line.partition("=")[0] == name]


@contextmanager
def listening(path: Path) -> Iterator[NotifySocket]:
    """Reads as fast as systemd does: the kernel keeps few datagrams."""
    told = NotifySocket(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(0.1)
        is_over = threading.Event()

        def read() -> None:
            while not is_over.is_set():
                try:
                    told.messages.append(receiver.recv(4096).decode())
                except TimeoutError:
                    continue

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield told
        finally:
            is_over.set()
            reader.join()
