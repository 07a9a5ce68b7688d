"""A sentence that is not said yet: a whole message with named values, for the terminal, the API and the page to say.

Invariant: a value is escaped, made `visible` or translated where it is said, never before.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from postwatch.query.translation import gettext
from postwatch.query.wording import time_span, utc_time, visible
from postwatch.query.zones import zone_name


class Moment(NamedTuple):
    at_ms: int


class Span(NamedTuple):
    span_ms: int


class Clause(NamedTuple):
    """A message that stands in another one: a whole clause behind a colon."""

    message: str


Value = Moment | Span | Clause | str | int
_NOTHING: Mapping[str, Value] = MappingProxyType({})


class Sentence(NamedTuple):
    message: str
    """English, with `%(name)s` for each value."""
    values: Mapping[str, Value] = _NOTHING


def say(sentence: Sentence) -> str:
    """The sentence as plain text, in the language spoken."""
    values = {name: plain(value) for name, value in sentence.values.items()}
    return gettext(sentence.message, **values)


def plain(value: Value) -> str | int:
    """A value in the language spoken."""
    if isinstance(value, Moment):
        return gettext("%(time)s %(zone)s", time=utc_time(value.at_ms), zone=zone_name())
    if isinstance(value, Span):
        return time_span(value.span_ms)
    if isinstance(value, Clause):
        return gettext(value.message)
    return visible(value) if isinstance(value, str) else value
