"""Free ports on the loopback, and the right to a port between being chosen and being listened on.

A server needs seconds until it listens; two stacks that start at once would both find a usual port free, and one's
workers would feed the other's servers. So a stack claims the ports that it is going to use.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_FIRST_PORT = 15_000
_FIRST_OUTGOING_PORT = 32_768
_DICE = random.SystemRandom()  # a test that seeds the usual one would choose the ports of another
_chosen: set[int] = set()


class PortClaims:
    """Locks on files named by ports, in a folder that the stacks of a user share. Held until the process ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def take(self, wished: int) -> int:
        """The wished port where it is free and nobody has claimed it, else another."""
        if wished and is_free(wished) and self._claim(wished):
            return wished
        return choose_port()

    def _claim(self, port: int) -> bool:
        descriptor = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        return True


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose_port() -> int:
    """A free one that this process has not chosen before.

    Below those that systems give to outgoing connections: such a one could be taken while its server is started again,
    by any client, and even by one that tries to reach that very server.
    """
    while True:
        port = _DICE.randrange(_FIRST_PORT, _FIRST_OUTGOING_PORT)
        if port not in _chosen and is_free(port):
            _chosen.add(port)
            return port


def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
