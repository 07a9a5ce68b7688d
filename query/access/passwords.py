"""The password file of owners, resellers and engineers: lines `name:argon2-hash[:role]`.

The invariant: an unknown name takes as long as a known one, so that timing tells nobody who is in the file. A line that
can't be read counts for nobody and no other line; a file that can't be read lets nobody in.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import argon2
import structlog
from argon2.exceptions import InvalidHashError, VerificationError
from postwatch.producers.service.errors import BadInputError
from postwatch.query.access.roles import ROLES, Identity, Role
from postwatch.query.errors import BusyError, StateError
from prometheus_client import Counter

log = structlog.get_logger()

LEAST_LENGTH = 12
MOST_BYTES = 1024
"""Of a password: argon2 takes time for each byte."""
_MOST_AT_ONCE = 2
"""Verifications at a time: each takes 64 MiB."""
_MOST_KIB, _MOST_PASSES, _MOST_LANES = 256 * 1024, 64, 64
"""Of a line of the file: an unknown name costs as much as its first line, so one line could stop the server."""
_LEAST_HASH_BYTES, _MOST_HASH_BYTES = 4, 512
_WAIT_SECONDS = 5.0
_MOST_NAME = 128

_BAD_LINES = Counter("postwatch_access_password_bad_lines_total", "Lines of the password file that can't be read.")


@dataclass(frozen=True, slots=True)
class _Entry:
    hash: str
    role: Role | None

    @property
    def fingerprint(self) -> str:
        """Changes with the password and with the role, and tells neither."""
        return hashlib.sha256(f"{self.hash}:{self.role or ''}".encode()).hexdigest()[:32]

    def identity(self, name: str) -> Identity:
        # Without a role the lists decide alone: they say whether he is an owner, a reseller, or both.
        return Identity(name, "password", roles=frozenset({self.role} if self.role else {"owner", "reseller"}))


def password_line(name: str, password: str, role: str = "") -> str:
    """The line of the file for this name. Raises BadInputError for a name or password that can't be used."""
    name = name.lower()
    if not name or len(name) > _MOST_NAME or any(sign in name for sign in ":#") or not name.isprintable():
        raise BadInputError(f"{name!r} can't be a name: use up to {_MOST_NAME} characters, without ':' and '#'")
    if name != name.strip():
        raise BadInputError(f"{name!r} can't be a name: it begins or ends with a blank")
    if len(password) < LEAST_LENGTH:
        raise BadInputError(f"the password is too short: use {LEAST_LENGTH} characters or more")
    if len(password.encode()) > MOST_BYTES or "\0" in password:
        raise BadInputError(f"the password can't be used: use up to {MOST_BYTES} bytes, without NUL")
    if role and role not in ROLES:
        raise BadInputError(f"{role!r} is not a role: use {', '.join(ROLES)}")
    return f"{name}:{argon2.PasswordHasher().hash(password)}" + (f":{role}" if role else "")


def parse_passwords(text: str) -> tuple[dict[str, _Entry], list[int]]:
    """The entries by name, and the numbers of the lines that can't be read. A name that stands twice is no entry."""
    found: dict[str, _Entry] = {}
    bad: list[int] = []
    twice: set[str] = set()
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        name = name.strip().lower()
        hashed, _, role = rest.partition(":")
        if not name or name in found or role not in ("", *ROLES) or not _is_hash(hashed):
            bad.append(number)
            twice.add(name)
            continue
        found[name] = _Entry(hashed, cast("Role", role) if role else None)
    return {name: entry for name, entry in found.items() if name not in twice}, bad


def _is_hash(text: str) -> bool:
    """Whether a password can be tried against it, at a cost that a log-in may have."""
    try:
        costs = argon2.extract_parameters(text)
        hash_bytes = len(base64.b64decode(text.rpartition("$")[2] + "===", altchars=b"+/"))
    except (InvalidHashError, ValueError):
        return False
    return (
        _LEAST_HASH_BYTES <= hash_bytes <= _MOST_HASH_BYTES
        and 1 <= costs.time_cost <= _MOST_PASSES
        and 1 <= costs.parallelism <= _MOST_LANES
        and 8 * costs.parallelism <= costs.memory_cost <= _MOST_KIB
    )


class PasswordFile:
    """The file in use; looked at again whenever it is asked, and read again when it has changed."""

    def __init__(self, path: str) -> None:
        """Raises StateError for a file that can't be read."""
        self._path = Path(path)
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._mark: tuple[int, int, int] | None = None
        self._entries: Mapping[str, _Entry] = {}
        self._dummy = ""
        self._current()

    def verify(self, name: str, password: str) -> tuple[Identity, str] | None:
        """Who has this name and password, and the fingerprint for his session; None: nobody. It takes some 0.1 s.

        Raises StateError for a file that can't be read, BusyError where too many wait.
        """
        entries = self._current()
        if len(password.encode("utf-8", "surrogatepass")) > MOST_BYTES:
            return None
        entry = entries.get(name.lower())
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            raise BusyError("too many passwords are being checked at the moment")
        try:
            argon2.PasswordHasher().verify(entry.hash if entry else self._dummy, password)
        except (VerificationError, UnicodeError):
            return None
        finally:
            self._slots.release()
        return (entry.identity(name.lower()), entry.fingerprint) if entry else None

    def fingerprint(self, name: str) -> str | None:
        """What a session of this name must hold to go on; None: the name is gone. Raises StateError."""
        entry = self._current().get(name.lower())
        return entry.fingerprint if entry else None

    def has(self, name: str) -> bool:
        """Whether this name is in the file, so that its password is checked here. Raises StateError."""
        return name.lower() in self._current()

    def _current(self) -> Mapping[str, _Entry]:
        with self._lock:
            try:
                status = self._path.stat()
                mark = (status.st_ino, status.st_size, status.st_mtime_ns)
                if mark != self._mark:
                    self._entries, bad = parse_passwords(self._path.read_text(encoding="utf-8"))
                    self._dummy = _dummy(self._entries)
                    self._mark = mark
                    _BAD_LINES.inc(len(bad))
                    log.info("passwords_read", names=len(self._entries), bad_lines=bad[:20])
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                raise StateError(f"the password file {self._path} can't be read: {reason}") from error
            return self._entries


def _dummy(entries: Mapping[str, _Entry]) -> str:
    """A hash that no password fits, as costly to try as the file's own."""
    first = next(iter(entries.values()), None)
    if first is None:
        return argon2.PasswordHasher().hash(hashlib.sha256().hexdigest())
    costs = argon2.extract_parameters(first.hash)
    hasher = argon2.PasswordHasher(costs.time_cost, costs.memory_cost, costs.parallelism, costs.hash_len)
    return hasher.hash(hashlib.sha256().hexdigest())
