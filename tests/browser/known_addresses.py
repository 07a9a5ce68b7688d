"""Which addresses a viewer may see, computed from the rows alone, and which are in what was served to him.

This is the oracle of test_isolation.py. It shares no code with query/privacy.py: a row's parsed fields are its
recipient, its sender and its account, and where an alias or a forward of another account leads is not the sender's.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote

from postwatch.query.exports import csv_text
from postwatch.query.viewer import Viewer
from postwatch.query.wording import visible
from postwatch.streams.contracts.outcome import Outcome

_ADDRESS = re.compile(r"[\w.+=-]+@[\w.-]+\w")
_SAID_BY_THE_PAGES = frozenset({"user@example.com", "user@domain", "user@server", "root@server", "you@example.com"})
"""Examples in hints and in the API's description."""


class Known(NamedTuple):
    """The words that a viewer may see, in lower case."""

    longest_first: Sequence[str] = ()
    words: frozenset[str] = frozenset()


def is_his(viewer: Viewer, row: Outcome) -> bool:
    """Whether the row is of one of the viewer's accounts."""
    if viewer.sees_all or row.account in viewer.mailboxes:
        return True
    user, _, domain = row.account.rpartition("@")
    return bool(user) and (domain in viewer.domains or (domain == row.server and user in viewer.system_users))


def _names(viewer: Viewer, address: str) -> bool:
    return address.lower() in viewer.mailboxes or address.lower().rpartition("@")[2] in viewer.domains


def may_see(viewer: Viewer, rows: Iterable[Outcome]) -> Known:
    """The words of his rows: the fields that are his affair, and what a sender wrote himself."""
    known: set[str] = set()
    for row in rows:
        if not is_his(viewer, row):
            continue
        leads_elsewhere = (
            not viewer.sees_all
            and row.direction == "sent"
            and row.original_recipient != ""
            and not (_names(viewer, row.original_recipient) or _names(viewer, row.recipient))
        )
        recipients = (row.original_recipient,) if leads_elsewhere else (row.original_recipient, row.recipient)
        words = (row.account, row.account_domain, row.sender, row.message_id, row.subject, *recipients)
        known.update(variant for word in words if word for variant in _written(word))
        for login in (row.authenticated_as,):
            if row.direction == "sent" or not row.sender or _names(viewer, row.sender) or viewer.sees_all:
                known.update(_written(login))
    known = {word for word in known | viewer.mailboxes if word}
    return Known(sorted(known, key=len, reverse=True), frozenset(known))


def _written(word: str) -> Iterator[str]:
    """A word as pages, files and JSON may write it."""
    for one in {word, visible(word), quote(word, safe=""), quote_plus(word), quote_plus(word, safe="@")}:
        yield one.lower()
        yield one.replace(" ", "+").lower()
        yield one.replace('"', '""').lower()
        yield csv_text((), [[one]]).strip().lower()  # with what keeps a spreadsheet from taking it for a formula


def texts_of(body: str, content_type: str) -> str:
    """What was served, as the people and programs that it is for read it."""
    if content_type.startswith(("application/json", "application/x-ndjson")):
        return "\n".join(word for line in _documents(body) for word in _strings(json.loads(line)))
    if content_type.startswith("text/html"):
        return html.unescape(body)
    return body


def _documents(body: str) -> Sequence[str]:
    try:
        json.loads(body)
    except ValueError:
        return [line for line in body.splitlines() if line]
    return [body]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def servers_in(text: str, servers: Iterable[str], known: Known, asked: Iterable[str]) -> set[str]:
    """The servers that a text names outside of the known words and of what he asked with."""
    lines = {line for line in _lines(text) if any(server in line for server in servers)}
    rest = _without(lines, known, asked) if lines else ""
    return {server for server in servers if server in rest}


def strangers_in(text: str, viewer: Viewer, known: Known, asked: Iterable[str]) -> set[str]:
    """The addresses in a text that are neither the viewer's affair nor what he asked with."""
    lines = {
        line
        for line in _lines(text) | _lines(unquote(text))
        if "@" in line and set(_ADDRESS.findall(line)) - known.words - _SAID_BY_THE_PAGES
    }
    rest = _without(lines, known, asked) if lines else ""  # hostile words may look like two
    return {one for one in _ADDRESS.findall(rest) if not _names(viewer, one)} - _SAID_BY_THE_PAGES


def _lines(text: str) -> set[str]:
    """In lower case. No address goes over a line's end, and of lines that are the same one is enough."""
    return {*text.lower().split("\n")}


def _without(lines: Iterable[str], known: Known, asked: Iterable[str]) -> str:
    """The lines without these words, the longest first: one may be a part of another."""
    rest = "\n".join(lines)
    said = {variant for one in asked if one for variant in _written(one)} - known.words
    found = [word for word in (*known.longest_first, *said) if word in rest]
    for word in sorted(found, key=len, reverse=True):
        rest = rest.replace(word, " ")
    return rest
