"""One try to tell an endpoint: signed, to the address that was checked, without following redirects.

The signature is that of HMAC-SHA256 over `STAMP.BODY`; the stamp is in the header, so a copy that is sent again later
can be told by its age. Only a status of 200 to 299 counts as taken.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from postwatch.query.push.addresses import (
    Network,
    RefusedAddressError,
    Resolve,
    allowed_addresses,
    read_url,
    resolve_name,
)

STAMP, SIGNATURE, EVENT_ID = "Postwatch-Timestamp", "Postwatch-Signature", "Postwatch-Event"


class NotTakenError(Exception):
    """The endpoint did not take the event; the text says why."""


def signature_of(secret: str, stamp: int, body: bytes) -> str:
    signed = f"{stamp}.".encode() + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Sender:
    networks: Sequence[Network]
    timeout_seconds: float
    resolve: Resolve = resolve_name
    tls: ssl.SSLContext | None = None
    """None: the system's authorities."""

    def send(self, url: str, secret: str, event_id: str, body: bytes, stamp: int) -> None:
        """Raises NotTakenError."""
        try:
            place = read_url(url)
            address = allowed_addresses(place, self.networks, self.resolve)[0]
        except RefusedAddressError as error:
            raise NotTakenError(f"refused: {error}") from error
        except (OSError, ValueError) as error:
            raise NotTakenError(f"its name can't be resolved: {error}") from error
        is_tls = place.scheme == "https"
        connection = _Connection(address, place.hostname or "", place.port or (443 if is_tls else 80))
        connection.timeout = self.timeout_seconds
        connection.context = (self.tls or ssl.create_default_context()) if is_tls else None
        deadline = threading.Timer(self.timeout_seconds, connection.give_up)  # each byte may come just in time
        deadline.daemon = True
        deadline.start()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Postwatch-Webhook/1",
            STAMP: str(stamp),
            SIGNATURE: signature_of(secret, stamp, body),
            EVENT_ID: event_id,
        }
        try:
            connection.request("POST", (place.path or "/") + (f"?{place.query}" if place.query else ""), body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotTakenError(f"{type(error).__name__}: {error}"[:200]) from error
        finally:
            deadline.cancel()
            connection.close()
        if not 200 <= status < 300:
            moved = ", and redirects are not followed" if 300 <= status < 400 else ""
            raise NotTakenError(f"it answered {status}{moved}")


class _Connection(http.client.HTTPConnection):
    """To one address, whatever the name has by now."""

    context: ssl.SSLContext | None = None

    def __init__(self, address: str, host: str, port: int) -> None:
        super().__init__(host, port)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self.context is not None:
            self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)

    def give_up(self) -> None:
        sock = self.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return
