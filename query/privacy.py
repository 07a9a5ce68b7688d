"""What a viewer may see of a delivery. The page, the API and every export show rows that passed through here.

A row is about one message and one recipient. A viewer who is no engineer sees nothing of the other recipients, nothing
of other accounts, and no log line: an arrival line names every recipient, Bcc included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from postwatch.query.hops.own_servers import NO_NAMES, OwnNames
from postwatch.query.statements import Delivery
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import RECEIVED, SENT, Attempt, Outcome
from postwatch.streams.expressions import compiled

HIDDEN = "(address hidden)"

Shown = TypeVar("Shown", bound=Outcome)

_LOCAL = r"[^\s<>()\[\]{},;:\"'|@\\]"
_DOMAIN = r"(?:\[[^\s\[\]@]+\]|[^\s<>()\[\]{},;:\"'|@\\/]+)"
_ADDRESS = compiled(
    # A word is tried at its start alone, so that a long one costs its length once.
    rf"(?:\"(?:[^\"\\]|\\.){{0,320}}+\"|(?<!{_LOCAL})(?:(?![%=]40){_LOCAL})++)"
    rf"\s?+(?:@|＠|%40|=40|\(at\)|\[at\]|&\#64;)\s?+{_DOMAIN}",
    re.IGNORECASE,
)
"""Anything that can be read as an address. Too much is better than too little."""
_AT = compiled(r"[@＠]|[%=]40|\(at\)|\[at\]|&\#64;", re.IGNORECASE)
"""Each address has one of these; most texts have none."""
_PATH = compiled(r"/(?:home\d*|var|mail|vmail|srv|usr)/\S+")
"""Where a mailbox lies: names its system user."""


def sees_target(viewer: Viewer, row: Outcome) -> bool:
    """Whether the viewer may know where an alias or a forward leads; `TARGET_HIDDEN` says the opposite in SQL."""
    if row.direction != SENT or not row.original_recipient:
        return True
    return viewer.owns(row.original_recipient) or viewer.owns(row.recipient)


def visible_row(viewer: Viewer, row: Shown, names: OwnNames = NO_NAMES) -> Shown:
    """The row as the viewer may see it. An engineer sees all of it. `names`: of our servers, beside the row's own."""
    if viewer.is_engineer:
        return row
    if isinstance(row, Delivery) and row.hops:
        row.hops = tuple(one._replace(server="", queue_id="") for one in row.hops)
    shown = _without_server(row)._replace(server="", next_queue_id="", parent_queue_id="", log_lines=(), source_ip="")
    if row.direction == RECEIVED and row.authenticated_as and not viewer.owns(row.sender):
        shown = shown._replace(client_host="", client_ip="", authenticated_as="", auth_method="")
    if not sees_target(viewer, row):
        shown = _without_target(shown)
    shown = _without_ours(shown, names)
    known = {word.lower() for word in (row.account, row.sender, shown.recipient, shown.original_recipient) if word}

    def masked(text: str) -> str:
        return names.without_names(_masked(text, lambda address: address.lower() in known or viewer.owns(address)))

    return shown._replace(
        response=masked(shown.response),
        remote_host=masked(shown.remote_host),
        transport=masked(shown.transport),
        router=masked(shown.router),
        attempts=tuple(_masked_attempt(one, masked) for one in shown.attempts),
    )


def _without_server(row: Shown) -> Shown:
    """A server hands mail for its own mailboxes to itself, and logs its own name as the remote server's."""
    own = row.server.lower()
    if not own or own not in (row.remote_host.lower(), *(one.remote_host.lower() for one in row.attempts)):
        return row

    def kept(host: str) -> str:
        return "" if host.lower() == own else host

    attempts = tuple(one._replace(remote_host=kept(one.remote_host)) for one in row.attempts)
    return row._replace(remote_host=kept(row.remote_host), attempts=attempts)


def _without_ours(row: Shown, names: OwnNames) -> Shown:
    """Of a server of ours that handed the message in, or took it, neither name nor address is told."""
    if names.is_ours(row.client_host, row.client_ip):
        row = row._replace(client_host="", client_ip="")
    if names.is_ours(row.remote_host, row.remote_ip):
        row = row._replace(remote_host="", remote_ip="", remote_provider="")
    if any(names.is_ours(one.remote_host, one.remote_ip) for one in row.attempts):
        tried = [
            one._replace(remote_host="", remote_ip="") if names.is_ours(one.remote_host, one.remote_ip) else one
            for one in row.attempts
        ]
        row = row._replace(attempts=tuple(tried))
    return row


def _without_target(row: Shown) -> Shown:
    """The row under the address that the sender wrote: the words and the server of a reply tell where it leads."""
    return row._replace(
        recipient=row.original_recipient,
        original_recipient="",
        response="",
        remote_host="",
        remote_ip="",
        remote_provider="",
        tls="",
        router="",
        transport="",
        attempts=tuple(one._replace(response="", remote_host="", remote_ip="") for one in row.attempts),
    )


def _masked_attempt(attempt: Attempt, masked: Callable[[str], str]) -> Attempt:
    return attempt._replace(response=masked(attempt.response), remote_host=masked(attempt.remote_host), source_ip="")


def _masked(text: str, is_known: Callable[[str], bool]) -> str:
    """The text without the addresses that the viewer does not know."""

    def hidden(found: re.Match[str]) -> str:
        address = found[0].rstrip(".!?")
        return found[0] if is_known(address) else HIDDEN

    if "/" in text:
        text = _PATH.sub("(path hidden)", text)
    return _ADDRESS.sub(hidden, text) if _AT.search(text) else text
