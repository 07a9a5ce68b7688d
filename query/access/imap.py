"""Asks the provider's own IMAP server whether a name and a password belong together.

The invariant: a password goes to a server whose certificate was checked, or to this machine, and nowhere else; not to a
log, not to an error. "Can't say now" is never taken for "wrong", and never for "right".
"""

from __future__ import annotations

import contextlib
import enum
import imaplib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.roles import keeps_its_letters
from postwatch.query.access.site import is_loopback
from prometheus_client import Counter

log = structlog.get_logger()

IMAP_VARIABLE = "POSTWATCH_ACCESS_IMAP"
MOST_NAME_CHARACTERS = 254
MOST_PASSWORD_BYTES = 1024

_SCHEMES = {"imaps": 993, "imap": 143, "imap+plain": 143}
_CAN_NOT_SAY = {"UNAVAILABLE", "LIMIT", "INUSE", "SERVERBUG", "CONTACTADMIN", "PRIVACYREQUIRED"}
"""Response codes of RFC 5530 and RFC 9051 that say nothing of the password."""
_CODE = re.compile(r"\[([A-Z]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_CHECKS = Counter(
    "postwatch_imap_checks_total", "Passwords that the IMAP server was asked about, by verdict.", ["verdict"]
)


class Verdict(enum.Enum):
    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """The server is away, busy, or says that it can't tell now."""


def is_askable(name: str, password: str) -> bool:
    """Whether a server may be asked at all: SASL PLAIN ends fields with NUL, and no real name holds a control."""
    try:
        length = len(password.encode())
        name.encode()
    except UnicodeEncodeError:
        return False
    if not 0 < len(name) <= MOST_NAME_CHARACTERS or not 0 < length <= MOST_PASSWORD_BYTES:
        return False
    if _CONTROL.search(name) or any(character in password for character in "\0\r\n"):
        return False
    return keeps_its_letters(name)


@dataclass(frozen=True, slots=True)
class ImapAddress:
    """`imaps://HOST[:PORT]` (TLS), `imap://HOST[:PORT]` (STARTTLS) or, for loopback, `imap+plain://HOST[:PORT]`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def read(cls, address: str) -> ImapAddress:
        """Raises SettingsError."""
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _SCHEMES or not parts.hostname or parts.username or parts.path not in ("", "/"):
            raise SettingsError(
                f"{IMAP_VARIABLE}={address!r} is not an address: use imaps://HOST:993, or imap://HOST:143 for STARTTLS"
            )
        if parts.scheme == "imap+plain" and not is_loopback(parts.hostname):
            raise SettingsError(f"{IMAP_VARIABLE}={address!r} would send passwords unencrypted: use imaps://HOST:993")
        return cls(parts.scheme, parts.hostname, port or _SCHEMES[parts.scheme])


class ImapCheck:
    """Checks passwords. Blocks for up to twice the timeout: call it in a thread."""

    def __init__(self, address: str, ca_file: str, timeout_seconds: float, connections: int) -> None:
        """Raises SettingsError for an address or a CA file that can't be used."""
        self._address = ImapAddress.read(address)
        self._timeout = timeout_seconds
        self._slots = threading.BoundedSemaphore(connections)
        try:
            self._tls = ssl.create_default_context(cafile=ca_file or None)  # checks the chain and the host's name
        except OSError as error:
            raise SettingsError(f"POSTWATCH_ACCESS_IMAP_CA_FILE={ca_file!r} can't be read: {error}") from error

    def check(self, name: str, password: str) -> Verdict:
        """Whether the server takes this name and password. Waits for a free connection for as long as the timeout."""
        if not is_askable(name, password):
            return Verdict.WRONG
        verdict = Verdict.UNKNOWN
        if self._slots.acquire(timeout=self._timeout):
            try:
                verdict = self._ask(name, password)
            finally:
                self._slots.release()
        else:
            log.warning("imap_check_failed", cause="every connection is in use")
        _CHECKS.labels(verdict.value).inc()
        return verdict

    def _ask(self, name: str, password: str) -> Verdict:
        answer = f"\0{name}\0{password}".encode()
        try:
            with self._connection() as connection:
                if "AUTH=PLAIN" not in connection.capabilities or connection.state != "NONAUTH":
                    log.error("imap_check_failed", cause="the server does not offer AUTHENTICATE PLAIN")
                    return Verdict.UNKNOWN
                try:
                    connection.authenticate("PLAIN", lambda _challenge: answer)
                except imaplib.IMAP4.abort:
                    raise
                except imaplib.IMAP4.error as error:
                    # The only answer that says something of the password: a greeting that refuses us does not.
                    if _is_refusal(_words(error)):
                        return Verdict.WRONG
                    raise
                return Verdict.RIGHT
        except (imaplib.IMAP4.error, OSError) as error:  # ssl.SSLError and a timeout too
            log.warning("imap_check_failed", cause=_words(error))
        return Verdict.UNKNOWN

    @contextlib.contextmanager
    def _connection(self) -> Iterator[imaplib.IMAP4]:
        """A connection to which a password may be given. A server that trickles is cut off at twice the timeout, also
        while it greets: the timeout of a socket is for each piece."""
        where, timeout = self._address, self._timeout
        with socket.create_connection((where.host, where.port), timeout) as plain, _cut_off(plain, 2 * timeout):
            opened = self._tls.wrap_socket(plain, server_hostname=where.host) if where.scheme == "imaps" else plain
            with contextlib.closing(opened):
                connection = _Connection(opened, where)
                try:
                    if where.scheme == "imap":
                        connection.starttls(self._tls)
                    yield connection
                    with contextlib.suppress(OSError, imaplib.IMAP4.error):
                        connection.logout()
                finally:
                    with contextlib.suppress(OSError):
                        connection.shutdown()


class _Connection(imaplib.IMAP4):
    """IMAP over a socket that is connected already."""

    def __init__(self, opened: socket.socket, where: ImapAddress) -> None:
        self._opened = opened
        super().__init__(where.host, where.port)

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        self.sock = self._opened
        self.file = self.sock.makefile("rb")


@contextlib.contextmanager
def _cut_off(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Ends the connection after so long, whatever is wrapped around it meanwhile."""
    with connected.dup() as handle:

        def cut() -> None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _is_refusal(answer: str) -> bool:
    code = _CODE.search(answer)
    return "command error: BAD" not in answer and (code is None or code[1] not in _CAN_NOT_SAY)


def _words(error: Exception) -> str:
    """What the server or the system said. The library quotes no argument of AUTHENTICATE."""
    return str(error)[:200]
