"""Asks the provider's own IMAP server whether a name and a password belong together.

The invariant: a password goes to a server whose certificate was checked, or to this machine, and nowhere else; not to a
log, not to an error. "Can't say now" is never taken for "wrong", and never for "right".
"""

from __future__ import annotations

import contextlib
import enum
import imaplib
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from postwatch.producers.service.errors import SettingsError
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
    # 'K' (Kelvin) is 'k' in lower-case: such a name must not become another's.
    return name.lower().isascii() == name.isascii() and sum(map(str.isascii, name.lower())) == sum(
        map(str.isascii, name)
    )


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
                if "AUTH=PLAIN" not in connection.capabilities:
                    log.error("imap_check_failed", cause="the server does not offer AUTHENTICATE PLAIN")
                    return Verdict.UNKNOWN
                connection.authenticate("PLAIN", lambda _challenge: answer)
                return Verdict.RIGHT
        except imaplib.IMAP4.abort as error:
            cause = _words(error)
        except imaplib.IMAP4.error as error:
            cause = _words(error)
            code = _CODE.search(cause)
            if "command error: BAD" not in cause and (code is None or code[1] not in _CAN_NOT_SAY):
                return Verdict.WRONG
        except OSError as error:  # ssl.SSLError and a timeout too
            cause = _words(error)
        log.warning("imap_check_failed", cause=cause)
        return Verdict.UNKNOWN

    @contextlib.contextmanager
    def _connection(self) -> Iterator[imaplib.IMAP4]:
        """A connection to which a password may be given. A server that trickles is cut off at twice the timeout."""
        where, timeout = self._address, self._timeout
        connection: imaplib.IMAP4
        if where.scheme == "imaps":
            connection = imaplib.IMAP4_SSL(where.host, where.port, ssl_context=self._tls, timeout=timeout)
        else:
            connection = imaplib.IMAP4(where.host, where.port, timeout=timeout)
        cut_off = threading.Timer(2 * timeout, connection.shutdown)
        cut_off.daemon = True
        cut_off.start()
        try:
            if where.scheme == "imap":
                connection.starttls(self._tls)
            yield connection
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                connection.logout()
        finally:
            cut_off.cancel()
            with contextlib.suppress(OSError):
                connection.shutdown()


def _words(error: Exception) -> str:
    """What the server or the system said. The library quotes no argument of AUTHENTICATE."""
    return str(error)[:200]
