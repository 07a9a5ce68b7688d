"""What the search page shows beside its rows: the choices of its form, the columns, and what else the text may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postwatch.query.filters import BOXES, DIRECTIONS, RESULT_WORDS
from postwatch.query.labels import label
from postwatch.query.reports.search import Found
from postwatch.query.search_terms import KINDS, NAMES
from postwatch.query.translation import gettext
from postwatch.query.viewer import Viewer
from postwatch.query.web.columns import ListColumn, chosen_columns, offered_columns
from postwatch.query.web.list_choice import ListChoice
from postwatch.query.web.track import Heading, Link
from postwatch.streams.contracts.outcome import REASONS

_USUAL = ("status", "event", "sender", "recipient", "reply", "server")
"""As wide as a screen: the account is the sender or the recipient."""
_LESS_USED = ("server", "direction", "reason", "provider", "larger", "smaller", "days", "since", "until")


def found_context(
    viewer: Viewer, choice: ListChoice, words: Mapping[str, str], answer: Found | None, address: Link
) -> dict[str, Any]:
    columns = found_columns(viewer, choice)
    statuses = dict.fromkeys((*RESULT_WORDS, *BOXES))
    return {
        "columns": columns,
        "headings": [Heading(column, "", "") for column in columns],
        "kinds": [(kind, gettext(NAMES[kind])) for kind in KINDS],
        "statuses": [(word, label(word)) for word in statuses],
        "directions": [(word, label(word)) for word in DIRECTIONS],
        "reasons": [(word, label(word)) for word in REASONS],
        "is_narrowed": any(words[name] for name in _LESS_USED),
        "others": [(kind, name, address(kind=kind)) for kind, name in answer.other_kinds()] if answer else [],
    }


def found_columns(viewer: Viewer, choice: ListChoice) -> tuple[ListColumn, ...]:
    """Those of the list on the page of the search."""
    if choice.columns:
        return chosen_columns(viewer, choice.columns, "")
    return tuple(one for one in offered_columns(viewer) if one.name in _USUAL)
