"""The language that words are said in, and the functions that say them: gettext's, with named placeholders.

Invariant: outside a page every word is English and every number plain, so the API, exports, logs and the terminal do
not change with a browser. The page's own code sets the language of a request (web/language_choice.py), and texts that
are made in Python are translated while the page is made, never before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from gettext import NullTranslations
from typing import Any


@dataclass(frozen=True, slots=True)
class Language:
    """A language and how it writes numbers and times. This one writes them for programs and terminals."""

    code: str
    """As in `<html lang>` (RFC 5646)."""
    name: str
    """In the language itself."""
    direction: str = "ltr"
    """Of the script: ltr or rtl."""
    translations: NullTranslations = field(default_factory=NullTranslations, repr=False)

    def number(self, number: float, digits: int = 0) -> str:
        """'1234', or with one digit '1234.5'."""
        return f"{number:.{digits}f}"

    def time(self, moment: datetime) -> str:
        """'2026-11-23 13:42:18'."""
        return moment.strftime("%Y-%m-%d %H:%M:%S")

    def date(self, moment: datetime) -> str:
        """'2026-11-23'."""
        return moment.strftime("%Y-%m-%d")


PLAIN = Language("en", "English")
"""For everything that is no page."""

_spoken: ContextVar[Language] = ContextVar("postwatch_language", default=PLAIN)


def language() -> Language:
    """The language that is spoken here."""
    return _spoken.get()


@contextlib.contextmanager
def speaking(spoken: Language) -> Iterator[None]:
    """Say what is said inside in this language, also in the threads that the framework starts for it."""
    token = _spoken.set(spoken)
    try:
        yield
    finally:
        _spoken.reset(token)


def N_(message: str) -> str:
    """Mark a text for translation where it is written; it is translated where it is shown."""
    return message


def NN_(one: str, many: str) -> tuple[str, str]:
    """Mark the two forms of a text that goes with a number."""
    return one, many


def gettext(message: str, **values: Any) -> str:
    """The text in the language spoken; `%(name)s` stands for the value of that name."""
    translations = language().translations
    return _filled(translations.gettext(message) if message else "", values)


def ngettext(one: str, many: str, num: int, **values: Any) -> str:
    """As gettext, in the form that goes with the number, which is `%(num)s`."""
    return _filled(language().translations.ngettext(one, many, num), {"num": num, **values})


def pgettext(context: str, message: str, **values: Any) -> str:
    """As gettext, for a word whose meaning the context tells."""
    return _filled(language().translations.pgettext(context, message), values)


def _filled(text: str, values: dict[str, Any]) -> str:
    if not values:
        return text
    return text % {name: spelled(value) for name, value in values.items()}


def spelled(value: Any) -> Any:
    """A number as the language writes it; anything else as it is."""
    return language().number(value) if type(value) is int else value
