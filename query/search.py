"""Free text: which columns are searched, as far as the viewer may see them. The counterpart of privacy.py in SQL."""

from __future__ import annotations

from postwatch.query.statements import SHOWN
from postwatch.query.viewer import Viewer

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
    remote = " OR ".join(holds(without_addresses(column)) for column in _OF_THE_REMOTE)
    found.append(f"{SHOWN} = recipient AND ({remote})")
    return f"({' OR '.join(found)})"


def without_addresses(column: str) -> str:
    """SQL of a column that a remote server wrote, without what a viewer who is no engineer may not see in it."""
    return f"replaceRegexpAll({column}, '{_HIDDEN}', ' ')"
