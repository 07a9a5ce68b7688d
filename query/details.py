"""A delivery in plain words: its status, its facts, its attempts; for the terminal and the page.

What the log does not say is left out. The words are as the log has them: the caller makes them `visible`.
"""

from __future__ import annotations

from typing import NamedTuple

from postwatch.query.advice import ADVICE
from postwatch.query.labels import label
from postwatch.query.translation import N_
from postwatch.query.translation import gettext as _
from postwatch.query.wording import byte_size, time_span, utc_time
from postwatch.query.zones import zone_name
from postwatch.streams.contracts.columns import TEXTS, TIME
from postwatch.streams.contracts.outcome import COLUMNS, DELIVERED, DISCARDED, PENDING, RECEIVED, Attempt, Outcome

_SAYS_NO_MORE = {DELIVERED, PENDING, DISCARDED}
"""Statuses that say no more than their result."""

_TIME_LABELS = {
    "accepted": N_("Delivered"),
    "failed": N_("Failed"),
    "pending": N_("Last event"),
    "discarded": N_("Discarded"),
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
    sender = row.sender or _("the mail system (a bounce)")
    return (
        _("received from %(sender)s", sender=sender)
        if row.direction == RECEIVED
        else _("sent by %(sender)s", sender=sender)
    )


def facts(row: Outcome, is_engineer: bool, with_advice: bool = True) -> list[Fact]:
    """What is known about a delivery, the most wanted first."""
    found = [
        Fact(
            _(_TIME_LABELS.get(row.result, "Last event")),
            _(
                "%(time)s %(zone)s, %(span)s after it was received",
                time=utc_time(row.updated_at),
                zone=zone_name(),
                span=time_span(row.delay_ms),
            ),
        ),
        Fact(_("Error message") if row.result == "failed" else _("Reply"), row.response, is_reply=True),
        Fact(_("Reply code"), _spaced(str(row.smtp_code or ""), row.enhanced_code)),
        _plain("reason", row),
        *(_advice(row, is_engineer) if with_advice else ()),
        Fact(_("Account"), f"{row.account} ({label(row.direction)})" if row.account else ""),
        Fact(_("Sender"), row.sender or _("<> (a bounce)")),
        _plain("original_recipient", row),
        _plain("subject", row),
        Fact(_("Size"), byte_size(row.size_bytes) if row.size_bytes else ""),
        Fact(_("Received"), _("%(time)s %(zone)s", time=utc_time(row.queued_at), zone=zone_name())),
        _plain("server", row),
        _plain("queue_id", row),
        _plain("message_id", row),
        Fact(_("Client"), _with(row.client_host, row.client_ip)),
        Fact(_("Logged in as"), _with(row.authenticated_as, row.auth_method)),
        Fact(_("Remote server"), _with(row.remote_host, row.remote_ip)),
        _plain("remote_provider", row),
        _plain("tls", row),
        Fact(_("Route"), " / ".join(filter(None, (row.router, row.transport)))),
        _plain("next_queue_id", row),
        _plain("parent_queue_id", row),
    ]
    found += [_plain(name, row) for name in _LABELED if name not in _PLACED]
    return [fact for fact in found if fact.words]


def _plain(name: str, row: Outcome) -> Fact:
    """A column as it is, under its own label."""
    column, value = _LABELED[name], getattr(row, name)
    if name == "reason":
        return Fact(_(column.about.label), label(value))
    if column.kind is TIME:
        return Fact(
            _(column.about.label), _("%(time)s %(zone)s", time=utc_time(value), zone=zone_name()) if value else ""
        )
    return Fact(_(column.about.label), ", ".join(value) if column.kind is TEXTS else str(value or ""))


def _advice(row: Outcome, is_engineer: bool) -> list[Fact]:
    advice = ADVICE.get(row.reason)
    if advice is None:
        return []
    for_owner = [Fact(_("Meaning"), _(advice.meaning)), Fact(_("What to do"), _(advice.remedy))]
    if not is_engineer:
        return for_owner
    return [*for_owner, Fact(_("For the engineer"), f"{_(advice.cause)} {_(advice.action)}")]


def attempt_lines(row: Outcome) -> list[str]:
    """Each attempt as a line: when, its status, the remote server and its reply."""
    return [_spaced(utc_time(one.at), attempt_words(one)) for one in row.attempts]


def attempt_words(one: Attempt) -> str:
    """An attempt without its time."""
    return _spaced(label(one.status), _with(one.remote_host, one.remote_ip), one.response)


def _with(name: str, more: str) -> str:
    return f"{name} ({more})" if name and more else name or more


def _spaced(*words: str) -> str:
    return "  ".join(filter(None, words))
