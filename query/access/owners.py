"""Who owns which domains, and who has sold them: the lists that say what an owner and a reseller see.

The invariant: a list that can't be read, is empty or holds what it should not never replaces a good one. Until the
first good one was read nobody is an owner.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import structlog
from postwatch.producers.service.errors import BadInputError, SettingsError
from postwatch.query.access.settings import AccessSettings
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.streams.enrichment.hosted_domains import REREAD_SECONDS, DomainsSource, domain_lines, parse_domains
from prometheus_client import Counter

log = structlog.get_logger()

OWNERS_VARIABLE = "POSTWATCH_ACCESS_OWNERS"
RESELLERS_VARIABLE = "POSTWATCH_ACCESS_RESELLERS"

_NOBODY = frozenset({"", "*", "root", "nobody"})
"""Names of panels' lists that stand for the machine itself: whoever has such a name owns nobody's mail by it."""
_NAME = re.compile(r"[^\s:,<>()\"'\x00-\x1f\x7f]{1,128}")

_READS = Counter("postwatch_owners_reads_total", "Times that a list of owners or resellers was read.", ["outcome"])


def parse_resellers(text: str, where: str) -> Mapping[str, str]:
    """Lines `owner: reseller`, as cPanel's `trueuserowners` has them; `#` begins a comment.

    Raises BadInputError that names the line, or both lines that contradict each other.
    """
    found: dict[str, str] = {}
    lines: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        words = line.partition("#")[0]
        if not words.strip():
            continue
        owner, _, reseller = (part.strip().lower() for part in words.partition(":"))
        if not _NAME.fullmatch(owner) or not _NAME.fullmatch(reseller):
            raise BadInputError(f"{where} line {number}: {line[:80]!r} names no owner: use `owner: reseller`")
        _refuse_contradiction(where, lines, number, owner, reseller)
        found[owner] = reseller
    if not found:
        raise BadInputError(f"{where} holds no owner: write one `owner: reseller` a line")
    return found


def parse_owners(text: str, where: str) -> Mapping[str, str]:
    """As `parse_domains`. A domain that two owners have is nobody's to guess: one would read the other's mail.

    Raises BadInputError that names both lines.
    """
    lines: dict[str, tuple[int, str]] = {}
    for number, domain, owner in domain_lines(text, where):
        _refuse_contradiction(where, lines, number, domain, owner.lower())
    return parse_domains(text, where)


def _refuse_contradiction(
    where: str, lines: dict[str, tuple[int, str]], number: int, name: str, belongs_to: str
) -> None:
    """The same said twice is no contradiction: lists of several servers are put together."""
    first, said = lines.setdefault(name, (number, belongs_to))
    if said != belongs_to:
        raise BadInputError(
            f"{where} lines {first} and {number}: {name} is of {said!r} and of {belongs_to!r}; leave one of them"
        )


@dataclass(frozen=True, slots=True)
class Owned:
    """What a name owns: domains, and its own mail as a system user. Nothing: the name is in no list."""

    domains: frozenset[str] = frozenset()
    system_users: frozenset[str] = frozenset()

    def __or__(self, other: Owned) -> Owned:
        return Owned(self.domains | other.domains, self.system_users | other.system_users)


_NOTHING = Owned()


@dataclass(frozen=True, slots=True)
class OwnerLists:
    """One version of both lists, by name. Names are lower-case."""

    owners: Mapping[str, Owned] = field(default_factory=dict)
    resellers: Mapping[str, Owned] = field(default_factory=dict)

    @classmethod
    def of(cls, domains: Mapping[str, str], resellers: Mapping[str, str]) -> Self:
        """Domain → owner and owner → reseller, as the lists say."""
        by_owner: dict[str, set[str]] = {owner: set() for owner in resellers}
        for domain, owner in domains.items():
            by_owner.setdefault(owner.lower(), set()).add(domain)
        owners = {
            name: Owned(frozenset(theirs), frozenset() if "@" in name else frozenset({name}))
            for name, theirs in by_owner.items()
            if name not in _NOBODY
        }
        by_reseller: dict[str, Owned] = {}
        for owner, reseller in resellers.items():
            if reseller not in _NOBODY and owner in owners:
                by_reseller[reseller] = by_reseller.get(reseller, _NOTHING) | owners[owner]
        return cls(owners, by_reseller)

    def of_owner(self, name: str) -> Owned:
        """What this name owns itself."""
        return self.owners.get(name, _NOTHING)

    def of_reseller(self, name: str) -> Owned:
        """What this name owns itself, and what the owners own to whom it sold."""
        return self.of_owner(name) | self.resellers.get(name, _NOTHING)


class OwnerBook:
    """The lists in use. Without a place for the domains there are no owners, and `lists` stays empty."""

    def __init__(self, domains: str, resellers: str, settings: tuple[str, str]) -> None:
        """`settings`: the names of the settings of both places. Reads both; raises BadInputError."""
        self._sources: tuple[tuple[str, DomainsSource], ...] = (
            *((("domains", DomainsSource(domains, settings[0], parse_owners)),) if domains else ()),
            *((("resellers", DomainsSource(resellers, settings[1], parse_resellers)),) if resellers else ()),
        )
        self._read: dict[str, Mapping[str, str]] = {}
        for name, source in self._sources:
            self._read[name] = source.read() or {}
        self.lists = self._combined()
        self.names = self._named()

    def _named(self) -> OwnerNames:
        return OwnerNames(self._read.get("domains", {}), self._read.get("resellers", {}))

    def _combined(self) -> OwnerLists:
        return OwnerLists.of(self._read.get("domains", {}), self._read.get("resellers", {}))

    def reread(self) -> None:
        """Look at both lists once, and use what is new and good."""
        is_new = False
        for name, source in self._sources:
            try:
                found = source.read()
            except BadInputError as error:
                _READS.labels("failed").inc()
                log.error("owners_not_reread", list=name, error=str(error))
                continue
            _READS.labels("unchanged" if found is None else "read").inc()
            if found is not None:
                self._read[name] = found
                is_new = True
        if is_new:
            self.lists = self._combined()
            self.names = self._named()
            log.info("owners_read", owners=len(self.lists.owners), resellers=len(self.lists.resellers))

    def follow(self, wait: Callable[[float], bool]) -> None:
        """Look again every REREAD_SECONDS, in a thread of its own, until `wait` says to stop."""
        if self._sources:
            threading.Thread(target=self._follow, args=(wait,), name="owners", daemon=True).start()

    def _follow(self, wait: Callable[[float], bool]) -> None:
        while not wait(REREAD_SECONDS):
            self.reread()


def open_owners(settings: AccessSettings) -> OwnerBook:
    """Reads the lists that the settings name. Raises SettingsError that names the setting."""
    try:
        return OwnerBook(settings.owners, settings.resellers, (OWNERS_VARIABLE, RESELLERS_VARIABLE))
    except BadInputError as error:
        raise SettingsError(str(error)) from error
