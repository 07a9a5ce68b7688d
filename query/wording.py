"""How things are said to people, in the terminal and on the page alike: strangers' text, times, spans, sizes.

No text that comes from a log is shown before `visible` has been over it: subjects, addresses and responses are
written by strangers, and a terminal obeys what it prints.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from postwatch.query.filters import AccountScope, Domain, Mailbox, ReportFilters
from postwatch.query.reports import ServersReport

_MOST_NAMED_SERVERS = 3


def visible(text: str) -> str:
    """Text whose control, formatting and line-breaking characters stand as escapes: ESC as \\x1b, a right-to-left
    override as \\u202e. Blanks, letters and symbols of every script stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _escape(character) for character in text)


def _is_harmless(character: str) -> bool:
    # C*: controls, formats (bidirectional overrides among them), surrogates, private and unassigned; Zl, Zp: lines.
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def utc_time(at_ms: int) -> str:
    """'2026-11-23 13:42:18', UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_span(span_ms: int) -> str:
    """One number that says how long: 'under 1 s', '1.5 s', '12 s', '3 min', '5 h', '2 days'."""
    seconds = span_ms / 1000
    if seconds < 1:
        return "under 1 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def byte_size(size_bytes: int) -> str:
    """'812 B', '12.3 KB', '4.0 MB'."""
    size = float(size_bytes)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def account_words(account: AccountScope) -> str:
    if isinstance(account, Mailbox):
        return account.name
    if isinstance(account, Domain):
        return f"@{account.domain}"
    return account.user


def no_mail(filters: ReportFilters) -> str:
    """What is said instead of an empty table."""
    where = f"of {visible(account_words(filters.account))} in the last {count(filters.days, 'day')}"
    if filters.after:
        return f"No older mail {where}."
    asked = []
    if filters.recipient:
        asked.append(f"recipient {visible(filters.recipient)}")
    if filters.status:
        asked.append(f"status {filters.status}")
    return f"No mail {where} has {' and '.join(asked)}." if asked else f"No mail {where}."


def silence(report: ServersReport) -> str:
    """Why mail may be missing from a report; empty where nothing is known to be."""
    if not report.servers:
        return "No server has sent a sign of life yet, so mail may be missing: is a shipper running?"
    stale = sorted(report.stale(), key=lambda server: server.age_ms)
    if not stale:
        return ""
    named = [f"{visible(server.server)} for {time_span(server.age_ms)}" for server in stale[:_MOST_NAMED_SERVERS]]
    if len(stale) > len(named):
        named.append(f"{len(stale) - len(named)} more for longer")
    return (
        f"{len(stale)} of {count(len(report.servers), 'server')} silent ({', '.join(named)}):"
        " their newest mail may be missing here."
    )
