"""The list of hosted domains, from a file or an http(s) address, read again while the join runs.

The invariant: a version that can't be fetched, is cut short, is empty or holds what is no domain never replaces a
good one. It is logged and counted, and the list that was known stays in use.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import structlog
from postwatch.producers.service.errors import BadInputError
from postwatch.streams.expressions import compiled
from prometheus_client import Counter, Gauge

log = structlog.get_logger()

Domains = Mapping[str, str]
"""Hosted domain → owner; a domain of other letters than ASCII stands in both its forms."""

REREAD_SECONDS = 30.0
MAX_BYTES = 64 * 1024 * 1024
_TIMEOUT_SECONDS = 10.0
_DOMAIN = compiled(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")

_READS = Counter("postwatch_domains_reads_total", "Times that the list of hosted domains was looked at.", ["outcome"])
_COUNT = Gauge("postwatch_hosted_domains", "Domains in the list in use.")


def parse_domains(text: str, where: str) -> Domains:
    """Lines `domain: owner` (cPanel's `userdomains` and `trueuserdomains`) or `domain` alone; `#` begins a comment.

    cPanel's `*: nobody` is no domain of ours, nor is the wildcard of a web site, `*.domain`. Raises BadInputError that
    names the line.
    """
    found: dict[str, str] = {}
    for _, name, owner in domain_lines(text, where):
        found[name] = owner
        found[_to_unicode(name)] = owner
    if not found:
        raise BadInputError(f"{where} holds no domain: write one `domain: owner` a line")
    return found


def domain_lines(text: str, where: str) -> Iterator[tuple[int, str, str]]:
    """The number of each line that names a domain, the domain in ASCII, and its owner. Raises BadInputError."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        name, _, owner = line.partition("#")[0].partition(":")
        name = name.strip().lower().rstrip(".")
        if name in ("", "*") or name.startswith("*."):
            continue
        ascii_name = _to_ascii(name)
        if not _DOMAIN.fullmatch(ascii_name):
            raise BadInputError(
                f"{where} line {number}: {line[:80]!r} names no domain: use `domain: owner` or `domain`"
            )
        yield number, ascii_name, owner.strip()


def _to_ascii(name: str) -> str:
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return ""


def _to_unicode(name: str) -> str:
    if "xn--" not in name:
        return name
    try:
        return name.encode().decode("idna")
    except UnicodeError:
        return name


class DomainsSource:
    """A file or an http(s) address, and what it was like when it was read last."""

    def __init__(
        self, place: str, setting: str, parse: Callable[[str, str], Mapping[str, str]] = parse_domains
    ) -> None:
        """Raises BadInputError for an address that names a password."""
        self._place = place
        self._parse = parse
        self._is_address = place.startswith(("http://", "https://"))
        if self._is_address and "@" in place.partition("://")[2].partition("/")[0]:
            raise BadInputError(f"{setting} must not name a user and password in the address; none is sent")
        # What stands behind the question mark may be a token, and this is shown in logs and errors.
        self._where = f"{setting}={place.partition('?')[0] if self._is_address else place}"
        self._mark: object = None
        """The file's identity, or the answer's ETag and date."""

    def read(self) -> Domains | None:
        """The list, or None where it has not changed since it was read last. Raises BadInputError."""
        try:
            found = self._fetch() if self._is_address else self._read_file()
            if found is None:
                return None
            content, mark = found
            domains = self._parse(content.decode(), self._where)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise BadInputError(f"{self._where} can't be read: {_reason(error)}") from error
        self._mark = mark
        return domains

    def _read_file(self) -> tuple[bytes, object] | None:
        path = Path(self._place)
        mark = _identity(path)
        if mark == self._mark:
            return None
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        _check_size(content)
        if _identity(path) != mark:
            raise OSError("it changed while it was read")
        return content, mark

    def _fetch(self) -> tuple[bytes, object] | None:
        request = urllib.request.Request(self._place)
        if isinstance(self._mark, dict):
            for name, value in self._mark.items():
                request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                content: bytes = answer.read(MAX_BYTES + 1)
                headers = answer.headers
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.NOT_MODIFIED:
                    return None
            raise
        _check_size(content)
        if headers["Content-Length"] and int(headers["Content-Length"]) != len(content):
            raise OSError("the answer was cut short")
        known = {"If-None-Match": headers["ETag"], "If-Modified-Since": headers["Last-Modified"]}
        return content, {name: value for name, value in known.items() if value}


def _reason(error: Exception) -> str:
    """Without the wrapping of urllib; an address that it can't use stands in its words, and is not repeated."""
    if isinstance(error, http.client.InvalidURL):
        return "the address can't be used"
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(cause, "strerror", None) or cause)


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_size(content: bytes) -> None:
    if len(content) > MAX_BYTES:
        raise OSError(f"it is larger than {MAX_BYTES} bytes")


def read_domains(place: str, setting: str) -> Domains:
    """The list as it is now. Raises BadInputError that names the setting."""
    domains = DomainsSource(place, setting).read()
    assert domains is not None  # only what was read before can be unchanged
    return domains


def reread(source: DomainsSource, use: Callable[[Domains], None]) -> None:
    """Look at the source once, and use its list where it is a new and good one."""
    try:
        domains = source.read()
    except BadInputError as error:
        _READS.labels("failed").inc()
        log.error("domains_not_reread", error=str(error))
        return
    if domains is None:
        _READS.labels("unchanged").inc()
        return
    _READS.labels("read").inc()
    _COUNT.set(len(domains))
    use(domains)
    log.info("domains_read", domains=len(domains))


def follow(source: DomainsSource, use: Callable[[Domains], None]) -> None:
    """Look at the source every REREAD_SECONDS for as long as the process lives, in a thread of its own."""
    threading.Thread(target=_follow, args=(source, use), name="hosted-domains", daemon=True).start()


def _follow(source: DomainsSource, use: Callable[[Domains], None]) -> None:
    while True:
        reread(source, use)
        time.sleep(REREAD_SECONDS)
