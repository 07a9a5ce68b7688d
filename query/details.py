"""A delivery in plain words: its status, its facts, its attempts; for the terminal and the page.

What the log does not say is left out. The words are as the log has them: the caller makes them `visible`.
"""

from __future__ import annotations

from typing import NamedTuple

from postwatch.query.advice import ADVICE
from postwatch.query.wording import byte_size, time_span, utc_time
from postwatch.streams.contracts.columns import TEXTS, TIME
from postwatch.streams.contracts.outcome import COLUMNS, DELIVERED, DISCARDED, PENDING, RECEIVED, Outcome

_SAYS_NO_MORE = {DELIVERED, PENDING, DISCARDED}
"""Statuses that say no more than their result."""

_TIME_LABELS = {
    "accepted": "Delivered",
    "failed": "Failed",
    "pending": "Last event",
    "discarded": "Discarded",
}


_LABELED = {column.name: column for column in COLUMNS if column.about.label}
_PLACED = (
    "reason original_recipient subject server queue_id message_id remote_provider tls next_queue_id parent_queue_id"
).split()
"""Labeled columns that have a place of their own in `facts`; any other comes last."""


class Fact(NamedTuple):
    label: str
    words: str
    is_reply: bool = False
    """A server's reply, which may have several lines."""


def finer_status(row: Outcome) -> str:
    """The status if it says more than the result, such as 'bounced' for a failed one; else empty."""
    return "" if row.status in _SAYS_NO_MORE else row.status


def status_words(row: Outcome) -> str:
    """'failed (bounced)', or 'accepted'."""
    finer = finer_status(row)
    return f"{row.result} ({finer})" if finer else row.result


def way_words(row: Outcome) -> str:
    """The direction and the sender: 'sent by alice@example.com', 'received from …'."""
    sender = row.sender or "the mail system (a bounce)"
    return f"received from {sender}" if row.direction == RECEIVED else f"sent by {sender}"


def facts(row: Outcome, is_engineer: bool) -> list[Fact]:
    """What is known about a delivery, the most wanted first."""
    found = [
        Fact(
            _TIME_LABELS.get(row.result, "Last event"),
            f"{utc_time(row.updated_at)} UTC, {time_span(row.delay_ms)} after it was received",
        ),
        Fact("Error message" if row.result == "failed" else "Reply", row.response, is_reply=True),
        Fact("Reply code", _spaced(str(row.smtp_code or ""), row.enhanced_code)),
        _plain("reason", row),
        *_advice(row, is_engineer),
        Fact("Account", f"{row.account} ({row.direction})" if row.account else ""),
        Fact("Sender", row.sender or "<> (a bounce)"),
        _plain("original_recipient", row),
        _plain("subject", row),
        Fact("Size", byte_size(row.size_bytes) if row.size_bytes else ""),
        Fact("Received", f"{utc_time(row.queued_at)} UTC"),
        _plain("server", row),
        _plain("queue_id", row),
        _plain("message_id", row),
        Fact("Client", _with(row.client_host, row.client_ip)),
        Fact("Logged in as", _with(row.authenticated_as, row.auth_method)),
        Fact("Remote server", _with(row.remote_host, row.remote_ip)),
        _plain("remote_provider", row),
        _plain("tls", row),
        Fact("Route", " / ".join(filter(None, (row.router, row.transport)))),
        _plain("next_queue_id", row),
        _plain("parent_queue_id", row),
    ]
    found += [_plain(name, row) for name in _LABELED if name not in _PLACED]
    return [fact for fact in found if fact.words]


def _plain(name: str, row: Outcome) -> Fact:
    """A column as it is, under its own label."""
    column, value = _LABELED[name], getattr(row, name)
    if column.kind is TIME:
        return Fact(column.about.label, f"{utc_time(value)} UTC" if value else "")
    return Fact(column.about.label, ", ".join(value) if column.kind is TEXTS else str(value or ""))


def _advice(row: Outcome, is_engineer: bool) -> list[Fact]:
    advice = ADVICE.get(row.reason)
    if advice is None:
        return []
    for_owner = [Fact("Meaning", advice.meaning), Fact("What to do", advice.remedy)]
    return [*for_owner, Fact("For the engineer", f"{advice.cause} {advice.action}")] if is_engineer else for_owner


def attempt_lines(row: Outcome) -> list[str]:
    """Each attempt as a line: when, its status, the remote server and its reply."""
    return [
        _spaced(utc_time(one.at), one.status, _with(one.remote_host, one.remote_ip), one.response)
        for one in row.attempts
    ]


def _with(name: str, more: str) -> str:
    return f"{name} ({more})" if name and more else name or more


def _spaced(*words: str) -> str:
    return "  ".join(filter(None, words))
