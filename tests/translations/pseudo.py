"""A made-up language, written from right to left: every text of the catalog in letters that no English text has.

What a page shows in English letters although it speaks this language was never given to a translator.
"""

from __future__ import annotations

import re
import string
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from zoneinfo import available_timezones

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from tests.translations.texts import extracted

CODE = "ar"
"""A language that we have no catalog for, with six plural forms."""
_LETTERS = str.maketrans({letter: chr(ord(letter) + 0xFEE0) for letter in string.ascii_letters})
_KEPT = re.compile(r"(%\(\w+\)s|%%|<[^>]+>|&\w+;)")
_WORD = re.compile(r"[A-Za-z]{2,}")
_SHOWN_ATTRIBUTES = ("title", "placeholder", "aria-label", "aria-description", "alt", "data-label")
_NOT_SHOWN = ("script", "style")
_KEPT_TEXTS = frozenset(("user@example.com", *available_timezones()))
"""An example, and identifiers."""
NAMES = frozenset("since until days cursor id Postwatch CSV NDJSON API KB MB GB UTC YYYY MM DD HH".split())
"""Names (of filters too), units and forms that are the same in every language."""


def pseudo(text: str) -> str:
    """'Show %(num)s rows' in fullwidth letters; placeholders and markup stay."""
    return "".join(part if _KEPT.fullmatch(part) else part.translate(_LETTERS) for part in _KEPT.split(text))


def write_pseudo_catalog(folder: Path) -> None:
    """The catalog of the made-up language, complete."""
    catalog = Catalog(locale=CODE, project="Postwatch", version="1", fuzzy=False)
    for message in extracted():
        if isinstance(message.id, str) and message.id:
            catalog.add(message.id, pseudo(message.id), context=message.context)
        elif message.id:
            catalog.add(message.id, tuple(pseudo(message.id[1]) for _ in range(catalog.num_plurals)))
    out = BytesIO()
    write_po(out, catalog)
    (folder / f"{CODE}.po").write_bytes(out.getvalue())


class ShownWords(HTMLParser):
    """The texts that a reader of a page sees or hears, but for those in a language of their own."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.language = self.direction = ""
        self._skipped: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language, self.direction = given.get("lang") or "", given.get("dir") or ""
        if self._skipped or tag in _NOT_SHOWN or (given.get("lang") and tag != "html"):
            self._skipped.append(tag)
            return
        self.texts += [value for name in _SHOWN_ATTRIBUTES if (value := given.get(name))]
        if given.get("id") == "live-words":  # what a script shows
            self.texts += [value for value in given.values() if value and value != "live-words"]
        if tag == "input" and given.get("type") in ("submit", "button"):
            self.texts.append(given.get("value") or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._skipped:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._skipped and self._skipped[-1] == tag:
            self._skipped.pop()

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.texts.append(data)

    def english(self) -> list[str]:
        """The texts that hold a word in English letters."""
        return [
            text.strip() for text in self.texts if set(_WORD.findall(text)) - NAMES and text.strip() not in _KEPT_TEXTS
        ]
