"""Free text: which columns are searched, as far as the viewer may see them. The counterpart of privacy.py in SQL.

`holds_text` says of a row in memory what `text_condition` says in SQL; the tests compare both on the real engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from postwatch.query.statements import SHOWN
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import SENT, Outcome

_ALWAYS = ("sender", SHOWN, "original_recipient", "subject", "queue_id", "message_id")
_OF_THE_CLIENT = ("client_host", "client_ip")
_OF_THE_REMOTE = ("response", "remote_host", "remote_ip")
_FOR_ENGINEERS = ("server", "next_queue_id", "parent_queue_id", "authenticated_as")
_HIDDEN = r"(\"[^\"]*\"|[^\\s<>]*)(@|＠|%40|=40|\\(at\\)|\\[at\\]|&#64;)[^\\s<>]*|/\\S+"
"""Addresses and paths in a reply, with what stands around them: more than privacy.py hides. His own are found by their
columns."""


def text_condition(viewer: Viewer) -> str:
    """SQL that is true where one of the columns that the viewer sees holds `{text:String}`, in either case."""

    def holds(column: str) -> str:
        return f"positionCaseInsensitiveUTF8({column}, {{text:String}}) > 0"

    found = [holds(column) for column in _ALWAYS]
    if viewer.is_engineer:
        found += [holds(column) for column in (*_OF_THE_CLIENT, *_OF_THE_REMOTE, *_FOR_ENGINEERS)]
        return f"({' OR '.join(found)})"
    client = " OR ".join(holds(column) for column in _OF_THE_CLIENT)
    found.append(f"(direction = 'sent' OR authenticated_as = '') AND ({client})")
    remote = " OR ".join(holds(_seen_by_owners(column)) for column in _OF_THE_REMOTE)
    found.append(f"{SHOWN} = recipient AND ({remote})")
    return f"({' OR '.join(found)})"


def _seen_by_owners(column: str) -> str:
    return without_addresses(
        "if(lower(remote_host) = lower(server), '', remote_host)" if column == "remote_host" else column
    )


def without_addresses(column: str) -> str:
    """SQL of a column that a remote server wrote, without what a viewer who is no engineer may not see in it."""
    if column == "remote_host":  # a server hands mail to itself; its name is for engineers
        column = "if(lower(remote_host) = lower(server), '', remote_host)"
    return f"replaceRegexpAll({column}, '{_HIDDEN}', ' ')"


_HIDDEN_WORDS = re.compile(
    r"(\"[^\"]*\"|[^ \t\n\f\r<>]*)(@|＠|%40|=40|\(at\)|\[at\]|&#64;)[^ \t\n\f\r<>]*|/[^ \t\n\f\r]+"
)
"""`_HIDDEN` for Python, whose blanks are others than those of ClickHouse."""


def holds_text(viewer: Viewer, row: Outcome, shown: str, text: str) -> bool:
    """Whether a row that is shown under the recipient `shown` is found by the text."""
    word = fold(text)
    return any(word in fold(value) for value in _searched(viewer, row, shown))


def _searched(viewer: Viewer, row: Outcome, shown: str) -> Iterator[str]:
    yield from (row.sender, shown, row.original_recipient, row.subject, row.queue_id, row.message_id)
    remote = [getattr(row, column) for column in _OF_THE_REMOTE]
    if viewer.is_engineer:
        yield from (getattr(row, column) for column in (*_OF_THE_CLIENT, *_FOR_ENGINEERS))
        yield from remote
        return
    if row.direction == SENT or not row.authenticated_as:
        yield from (getattr(row, column) for column in _OF_THE_CLIENT)
    if shown == row.recipient:
        own = row.server.lower()
        yield from (_HIDDEN_WORDS.sub(" ", value) for value in remote if value.lower() != own)


def fold(text: str) -> str:
    """The text in the case in which ClickHouse compares: each character by itself."""
    if text.isascii():
        return text.lower()
    return "".join(lower if len(lower := one.lower()) == 1 else one for one in text)
