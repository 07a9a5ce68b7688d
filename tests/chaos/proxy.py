"""A TCP proxy between the sinks and ClickHouse that can be told to behave as bad networks do.

What it does to a connection is decided at each piece of data, so a change reaches connections that are kept alive.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from enum import Enum

from postwatch.deploy.embedded.ports import LOOPBACK

_PIECE_BYTES = 16_384
_SLOW_SECONDS = 0.25
_SILENT_SECONDS = 0.5
"""A request is whole when its sender says nothing more for so long."""
LATE_SECONDS = 3.0
_PATIENCE_SECONDS = 10.0
_RESET = struct.pack("ii", 1, 0)


class Behaviour(Enum):
    """What becomes of connections and of the inserts in them."""

    PASS = "passes all"
    REFUSE = "refuses"
    SLOW = "is slow"
    CUT = "cuts in the middle of an insert"
    DROP_ANSWER = "drops the answer to an insert that was taken"
    LATE = "delivers an insert when its sender has long given up"


class Proxy:
    """Listens on a port of its own from the start; `close` ends it."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self.behaviour = Behaviour.PASS
        self.hurt = 0
        """How many connections were refused or cut, or lost an answer."""
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.behaviour is Behaviour.REFUSE:
                self._hurt(client)
                continue
            try:
                server = socket.create_connection((LOOPBACK, self._target_port), timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            _Connection(self, client, server)

    def _hurt(self, *sockets: socket.socket) -> None:
        self.hurt += 1
        for one in sockets:
            _reset(one)


class _Connection:
    """Two threads that carry bytes until one side ends."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_insert = False
        self._answered = threading.Event()
        """ClickHouse has said something in this connection."""
        for carry in (self._carry_requests, self._carry_answers):
            threading.Thread(target=self._until_end, args=(carry,), daemon=True).start()

    def _until_end(self, carry: object) -> None:
        assert callable(carry)
        with contextlib.suppress(OSError):
            carry()
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _carry_requests(self) -> None:
        while piece := self._client.recv(_PIECE_BYTES):
            if piece.startswith((b"POST", b"GET")):
                head = piece.partition(b"\r\n")[0].upper()
                self._is_insert = b"INSERT" in head
            behaviour = self._proxy.behaviour
            if behaviour is Behaviour.REFUSE:
                self._proxy._hurt(self._client, self._server)
                return
            if behaviour is Behaviour.SLOW:
                time.sleep(_SLOW_SECONDS)
            if behaviour is Behaviour.LATE and self._is_insert:
                self._deliver_late(piece)
                return
            if behaviour is Behaviour.CUT and self._is_insert:
                self._server.sendall(piece[: max(1, len(piece) // 2)])
                self._proxy._hurt(self._client, self._server)
                return
            self._server.sendall(piece)

    def _deliver_late(self, piece: bytes) -> None:
        """The sender loses its connection and inserts again; the first insert arrives after that."""
        whole = bytearray(piece)
        self._client.settimeout(_SILENT_SECONDS)
        with contextlib.suppress(TimeoutError):
            while more := self._client.recv(_PIECE_BYTES):
                whole += more
        self._proxy._hurt(self._client)
        time.sleep(LATE_SECONDS)
        self._answered.clear()
        self._server.sendall(whole)
        self._answered.wait(_PATIENCE_SECONDS)

    def _carry_answers(self) -> None:
        while piece := self._server.recv(_PIECE_BYTES):
            self._answered.set()
            if self._proxy.behaviour is Behaviour.DROP_ANSWER and self._is_insert:
                self._proxy._hurt(self._client)
                return
            if self._proxy.behaviour is Behaviour.SLOW:
                time.sleep(_SLOW_SECONDS)
            self._client.sendall(piece)


def _reset(one: socket.socket) -> None:
    """Close with a reset, as a machine that dies does, not in good order."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RDWR)  # wakes the other thread, which still holds the socket
    one.close()
