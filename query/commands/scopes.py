"""What the commands that hand out access share: whose mail, who types the command, and times in their tables."""

from __future__ import annotations

import argparse
import getpass
import os

from postwatch.producers.service.errors import BadInputError
from postwatch.query.access.handover import read_mailbox
from postwatch.query.access.tokens import TokenScope
from postwatch.query.filters import Domain, read_account
from postwatch.streams.contracts.outcome import iso_time


def operator() -> str:
    """Who types the command, for the log."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def read_scope(arguments: argparse.Namespace, *, hands_over: bool = False) -> TokenScope:
    """Of `--account`, `--domain`, `--all` and `--engineer`. Raises BadInputError."""
    return TokenScope(
        accounts=frozenset(map(read_mailbox, arguments.account)),
        domains=frozenset(map(_read_domain, arguments.domain)),
        sees_all=arguments.all,
        is_engineer=arguments.engineer,
        hands_over=hands_over,
    )


def _read_domain(word: str) -> str:
    scope = read_account(f"@{word.removeprefix('@')}")
    if not isinstance(scope, Domain):
        raise BadInputError(f"{word!r} is not a domain")
    return scope.domain


def scope_words(scope: TokenScope) -> str:
    of = ["all"] if scope.sees_all else [*sorted(scope.accounts), *(f"@{name}" for name in sorted(scope.domains))]
    extra = [word for word, holds in (("engineer", scope.is_engineer), ("hand-over", scope.hands_over)) if holds]
    return ", ".join([*of, *extra])


def minute_words(at_ms: int) -> str:
    """'2026-11-23 13:42'."""
    return iso_time(at_ms)[:16].replace("T", " ")
