"""The columns of the list: those of cPanel's Track Delivery that logs tell, and a few more.

Which are shown is the viewer's choice. A column that he may not see is not offered; what is shown of a row passed
through privacy.py before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from postwatch.query.labels import label
from postwatch.query.translation import N_
from postwatch.query.viewer import Viewer
from postwatch.query.wording import byte_size, time_span
from postwatch.streams.contracts.outcome import Outcome


@dataclass(frozen=True, slots=True)
class ListColumn:
    """A column of the list. Of one without `words` the template knows more than its text."""

    name: str
    label: str
    words: Callable[[Outcome], str] | None = None
    order: str = ""
    """One of orders.ORDERS: a click on the heading orders the list by it."""
    is_default: bool = False
    is_for_engineers: bool = False
    reads: str = ""
    """The fields that it shows, beside those that are always read."""


def _written(row: Outcome) -> str:
    return row.original_recipient or row.recipient


def _code(row: Outcome) -> str:
    return " ".join(filter(None, (str(row.smtp_code or ""), row.enhanced_code)))


def _login(row: Outcome) -> str:
    return f"{row.authenticated_as} ({row.auth_method})" if row.auth_method else row.authenticated_as


COLUMNS = (
    ListColumn("status", N_("Status"), order="status", is_default=True),
    ListColumn("event", N_("Last event"), order="event", is_default=True),
    ListColumn("sent", N_("Sent"), order="sent", is_default=True),
    ListColumn("sender", N_("Sender"), lambda row: row.sender, order="sender", is_default=True),
    ListColumn("recipient", N_("Recipient"), order="recipient", is_default=True),
    ListColumn("reply", N_("Reply"), is_default=True),
    ListColumn("subject", N_("Subject"), lambda row: row.subject, reads="subject"),
    ListColumn("direction", N_("Direction"), lambda row: label(row.direction)),
    ListColumn("account", N_("Account"), lambda row: row.account),
    ListColumn("delivered-to", N_("Delivered to"), lambda row: row.recipient),
    ListColumn("domain", N_("Delivery domain"), lambda row: row.recipient.rpartition("@")[2]),
    ListColumn(
        "size",
        N_("Size"),
        lambda row: byte_size(row.size_bytes) if row.size_bytes else "",
        order="size",
        reads="size_bytes",
    ),
    ListColumn("duration", N_("Duration"), lambda row: time_span(row.delay_ms), order="duration", reads="delay_ms"),
    ListColumn("reason", N_("Reason"), lambda row: label(row.reason)),
    ListColumn("code", N_("Reply code"), _code, reads="smtp_code enhanced_code"),
    ListColumn("attempts", N_("Attempts"), lambda row: str(len(row.attempts) or ""), reads="attempts"),
    ListColumn("host", N_("Remote server"), lambda row: row.remote_host, order="host"),
    ListColumn("ip", N_("Remote IP address"), lambda row: row.remote_ip, reads="remote_ip"),
    ListColumn("provider", N_("Provider"), lambda row: row.remote_provider, reads="remote_provider"),
    ListColumn("tls", N_("Encryption"), lambda row: row.tls, reads="tls"),
    ListColumn("client", N_("Client"), lambda row: row.client_host, reads="client_host"),
    ListColumn("client-ip", N_("Client IP address"), lambda row: row.client_ip, reads="client_ip"),
    ListColumn("login", N_("Logged in as"), _login, reads="auth_method"),
    ListColumn("router", N_("Router"), lambda row: row.router, reads="router"),
    ListColumn("transport", N_("Transport"), lambda row: row.transport, reads="transport"),
    ListColumn("message-id", N_("Message-ID"), lambda row: row.message_id, reads="message_id"),
    ListColumn("queue-id", N_("Queue ID"), lambda row: row.queue_id, reads="queue_id"),
    ListColumn("server", N_("Server"), lambda row: row.server, is_for_engineers=True),
)


def offered_columns(viewer: Viewer) -> tuple[ListColumn, ...]:
    """What this viewer may choose from."""
    return tuple(column for column in COLUMNS if viewer.is_engineer or not column.is_for_engineers)


def chosen_columns(viewer: Viewer, names: Iterable[str], account: str) -> tuple[ListColumn, ...]:
    """The columns of these names, in the order of the list; the usual ones where none of them is there. In a list of
    several accounts the account is one of the usual ones."""
    wanted = set(names)
    offered = offered_columns(viewer)
    return tuple(one for one in offered if one.name in wanted) or tuple(
        one for one in offered if one.is_default or (one.name == "account" and is_of_several(account))
    )


def is_of_several(account: str) -> bool:
    """Whether what was asked for is more than one account: a domain, or all of them."""
    return account.startswith("@") or ("@" not in account and "." in account)


def read_fields(columns: Iterable[ListColumn]) -> frozenset[str]:
    """What a list with these columns needs of each row."""
    return frozenset(name for column in columns for name in column.reads.split())
