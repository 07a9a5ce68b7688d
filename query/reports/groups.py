"""What a report counts by, and the groups that a question narrows it to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from postwatch.query import filters
from postwatch.query.errors import FilterError, about
from postwatch.query.search_terms import ascii_lower


class GroupedQuestion(Protocol):
    """A question with a field for each group beside this one."""

    @property
    def by(self) -> str: ...


def read_groups(
    question: GroupedQuestion, groups: Sequence[str], narrowing: Sequence[str], is_engineer: bool
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Field `by` of the question, the first of `groups` where it is empty, and its filled fields of `narrowing`.

    Raises FilterError that names the field, also where somebody who is no engineer asks by server.
    """
    with about("by"):
        by = filters.clean_text(question.by, "by").lower() or groups[0]
        if by not in groups:
            raise FilterError(
                "%(text)s is not one of these: %(choices)s", text=repr(question.by), choices=", ".join(groups)
            )
        if by == "server" and not is_engineer:
            raise FilterError("only engineers may ask by server")
    narrowed = []
    for group in narrowing:
        with about(group):
            value = ascii_lower(filters.clean_text(getattr(question, group), group))
            if value and group == "server" and not is_engineer:
                raise FilterError("only engineers may ask by server")
        if value:
            narrowed.append((group, value))
    return by, tuple(narrowed)
