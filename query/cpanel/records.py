"""A delivery row → its records: one for each attempt, with the fields and types of cPanel's `emailtrack_search`. Pure.

Invariant: what a viewer may not see of the row is null or empty in each of its records. What no log tells is the same
value always; docs/cpanel-api.md lists those.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from postwatch.query.cpanel.owner_names import REMOTE, OwnerNames
from postwatch.query.hops.own_servers import NO_NAMES, OwnNames
from postwatch.query.privacy import sees_target, visible_row
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    PENDING,
    RECEIVED,
    REJECTED,
    Attempt,
    Outcome,
)

SUCCESS, DEFER, FAILURE, IN_PROGRESS = "success", "defer", "failure", "inprogress"
TYPES = {
    DELIVERED: SUCCESS,
    DEFERRED: DEFER,
    PENDING: IN_PROGRESS,
    BOUNCED: FAILURE,
    EXPIRED: FAILURE,
    REJECTED: FAILURE,
    CANCELLED: FAILURE,
    DISCARDED: FAILURE,
}
"""Status → type. What was discarded did not arrive, so it is no success."""
_SAYS_SO = frozenset({EXPIRED, CANCELLED, DISCARDED, REJECTED})
"""Statuses that no answer tells: without a reply the message is this word."""

Shown = TypeVar("Shown", bound=Outcome)


class TrackRecord(NamedTuple):
    """An attempt, as cPanel's documentation names and types it."""

    type: str
    msgid: str
    sendunixtime: int
    actionunixtime: int
    actiontime: str
    sender: str
    email: str
    user: str
    domain: str
    senderhost: str
    senderip: str
    senderauth: str
    spamscore: int
    size: int
    recipient: str
    deliveredto: str | None
    deliveryuser: str | None
    deliverydomain: str | None
    router: str
    transport: str | None
    transport_is_remote: int
    host: str | None
    ip: str | None
    message: str


def events_of(row: Outcome) -> Iterator[Attempt]:
    """What happened to a row: its attempts, and its status where no attempt ended with it. SQL: `statistics.EVENTS`."""
    yield from row.attempts
    if not row.attempts or _is_no_attempt(row.status, row.attempts[-1].status):
        yield Attempt(row.updated_at, row.status, row.smtp_code, row.response, row.remote_host, row.remote_ip)


def _is_no_attempt(status: str, last: str) -> bool:
    """Whether a status is told behind the last attempt: what waits for a next one waits since that one."""
    return status == PENDING or (status not in (DEFERRED, last))


def is_remote(shown: Outcome) -> bool:
    """Whether it goes to another server, as far as the viewer sees. SQL: `statistics.IS_REMOTE`."""
    if shown.direction == RECEIVED:
        return False
    transport = shown.transport.lower()
    return "smtp" in transport and "lmtp" not in transport if transport else bool(shown.remote_ip)


def records_of(viewer: Viewer, names: OwnerNames, row: Shown, servers: OwnNames = NO_NAMES) -> Iterator[TrackRecord]:
    """The records of a row as the viewer may see them, in the order of their attempts."""
    shown = visible_row(viewer, row, servers)
    knows_target = sees_target(viewer, row)
    sent_as = shown.original_recipient or shown.recipient
    common = {
        "msgid": shown.queue_id,
        "sendunixtime": shown.queued_at // 1000,
        "sender": shown.sender,
        "email": shown.sender,
        "user": user_of(viewer, names, row),
        "domain": domain_of(shown.sender),
        "senderhost": shown.client_host,
        "senderip": shown.client_ip,
        "senderauth": shown.auth_method,
        "spamscore": 0,
        "size": shown.size_bytes,
        "recipient": sent_as,
        "deliveredto": shown.recipient if knows_target else None,
        "deliveryuser": delivery_user_of(viewer, names, row) if knows_target else None,
        "deliverydomain": domain_of(shown.recipient) or None if knows_target else None,
        "router": shown.router,
        "transport": shown.transport or None,
        "transport_is_remote": int(is_remote(shown)),
    }
    for event in events_of(shown):
        yield TrackRecord(
            type=TYPES.get(event.status, FAILURE),
            actionunixtime=event.at // 1000,
            actiontime=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(event.at // 1000)),
            host=event.remote_host or None,
            ip=event.remote_ip or None,
            message=message_of(event),
            **common,  # type: ignore[arg-type]
        )


def message_of(event: Attempt) -> str:
    """The answer; of what no answer tells, the status, so that it is not taken for a refusal without words."""
    if event.status not in _SAYS_SO:
        return event.response
    return f"{event.status}: {event.response}" if event.response else event.status


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower() if "@" in address else ""


def account_user(viewer: Viewer, names: OwnerNames, account: str, account_domain: str, server: str) -> str:
    """The name that an account is reported under: the system user, or the owner of the domain, else the domain.

    Who owns a mailbox alone is not told whose the domain is.
    """
    if account_domain == server:
        return account.removesuffix(f"@{server}")
    return _told_owner(viewer, names, account_domain) or account_domain


def user_of(viewer: Viewer, names: OwnerNames, row: Outcome) -> str:
    """The user who sent it, where it was handed in here and the viewer may know that."""
    if row.direction != RECEIVED:
        return account_user(viewer, names, row.account, row.account_domain, row.server) if row.account else REMOTE
    domain = domain_of(row.sender)
    return _told_owner(viewer, names, domain) or REMOTE


def delivery_user_of(viewer: Viewer, names: OwnerNames, row: Outcome) -> str | None:
    """The user whose mailbox it is, where it is one of ours and the viewer may know that."""
    if row.direction == RECEIVED:
        return account_user(viewer, names, row.account, row.account_domain, row.server)
    return _told_owner(viewer, names, domain_of(row.recipient)) or None


def _told_owner(viewer: Viewer, names: OwnerNames, domain: str) -> str:
    """Empty: the viewer owns neither the domain nor all of them, or no list names an owner."""
    return names.owner(domain) if viewer.sees_all or domain in viewer.domains else ""
