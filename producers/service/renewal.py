"""Secrets and certificates that are renewed in their files: the part ends, and begins anew as the same process.

librdkafka reads its files when a client is made, and never again. So a part that sees new ones finishes what it has
begun, as for SIGTERM, and replaces itself (execve): no supervisor is needed, and nothing is lost, as at any restart.
Invariant: half-written files are not taken up. What changed must stay the same for two looks, and be usable.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from postwatch.producers.service.errors import PostwatchError
from postwatch.producers.service.hashing import blake2b
from postwatch.producers.service.settings import load

log = structlog.get_logger()

BEGUN_ANEW = "NOTIFY_BEGUN_ANEW"
"""Variable with the id of a process that begins anew; no setting."""

_due = threading.Event()


def is_due() -> bool:
    """Whether this process ends only to begin anew."""
    return _due.is_set()


def begin_anew() -> None:
    """The same command, environment and process id; does not return."""
    log.info("part_begins_anew")
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ[BEGUN_ANEW] = str(os.getpid())
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def end_in_order() -> None:
    """As a supervisor would; the command line begins anew when the part has returned."""
    os.kill(os.getpid(), signal.SIGTERM)


class Renewal:
    """`sections` are the settings that name secrets and files; `act` is called once, when they were renewed."""

    def __init__(self, sections: Sequence[type[Any]], act: Callable[[], None]) -> None:
        self.act = act
        self._sections = sections
        self._in_use = self._read()
        self._candidate = self._in_use
        self._told = ""

    def look(self) -> bool:
        """Whether there is something new, whole and usable. Never raises."""
        try:
            found = self._read()
        except (PostwatchError, OSError) as error:
            self._tell(str(error))
            return False
        if found in (self._in_use, b"") or found != self._candidate:
            self._candidate = found
            return False
        if reason := self._unusable():
            self._tell(reason)
            return False
        return True

    def watch(self, every_seconds: float) -> None:
        """Look from a thread of its own, for as long as nothing is new."""
        if every_seconds > 0:
            threading.Thread(target=self._run, args=(every_seconds,), name="renewal", daemon=True).start()

    def _run(self, every_seconds: float) -> None:
        while not self.look():
            _due.wait(every_seconds)
        log.info("credentials_renewed")
        _due.set()
        self.act()

    def _read(self) -> bytes:
        """A digest of all secrets and named files. Raises PostwatchError or OSError where one is missing."""
        digest = blake2b()
        for value in self._values(is_file=False):
            digest.update(b"%d " % len(value) + value.encode())
        for path in self._values(is_file=True):
            digest.update(blake2b(Path(path).read_bytes()).digest())
        return digest.digest()

    def _values(self, *, is_file: bool) -> Sequence[str]:
        found = []
        for section in self._sections:
            settings = load(section)
            for field in dataclasses.fields(section):
                if field.metadata["is_read" if is_file else "secret"] and (value := getattr(settings, field.name)):
                    found.append(str(value))
        return found

    def _unusable(self) -> str:
        """Why no TLS client could be made of the files; empty: one could."""
        import ssl  # whoever renews nothing needs no TLS here: librdkafka has its own

        for section in self._sections:
            settings = load(section)
            try:
                context = ssl.create_default_context()
                for name in ("ssl_ca_file", "oauth_ca_file", "ca_file"):
                    if path := getattr(settings, name, ""):
                        context.load_verify_locations(path)
                if certificate := getattr(settings, "ssl_certificate_file", ""):
                    context.load_cert_chain(certificate, settings.ssl_key_file)
            except (ssl.SSLError, OSError) as error:
                return f"renewed files of [{section.SECTION}] can't be used: {error}"
        return ""

    def _tell(self, reason: str) -> None:
        if reason != self._told:
            self._told = reason
            log.warning("renewal_refused", reason=reason, remedy="the part goes on with what it has")
