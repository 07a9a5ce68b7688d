"""The languages of the pages: one .po file each in locales/, read once, and the choice among them.

A file that is added is a language that is added. Numbers, times and the direction of the script are Babel's (CLDR).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from unicodedata import category

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations
from postwatch.producers.service.errors import SettingsError
from postwatch.query.translation import Language

LOCALES = Path(__file__).parent / "locales"
ENGLISH = "en"
VARIABLE = "POSTWATCH_QUERY_LANGUAGE"

_OWN_NAME = ("the name of this language in itself", "English")
_MAX_HEADER_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class PageLanguage(Language):
    """A language as people read it."""

    @property
    def _locale(self) -> Locale:
        return Locale.parse(self.code, sep="-")

    def number(self, number: float, digits: int = 0) -> str:
        """'1,234' in English, '1.234' in German."""
        return format_decimal(number, f"#,##0.{'0' * digits}" if digits else "#,##0", self._locale)

    def time(self, moment: datetime) -> str:
        """'23.11.2026, 13:42:18' in German; in English, which is read everywhere, ISO 8601."""
        if self.code == ENGLISH:
            return Language.time(self, moment)
        return _printed(format_datetime(moment, "medium", locale=self._locale))

    def date(self, moment: datetime) -> str:
        if self.code == ENGLISH:
            return Language.date(self, moment)
        return _printed(format_date(moment, "medium", locale=self._locale))


@cache
def languages() -> dict[str, Language]:
    """Every language by its code, English first: the texts in the code are English."""
    found: dict[str, Language] = {ENGLISH: PageLanguage(ENGLISH, "English")}
    for file in sorted(LOCALES.glob("*.po")):
        code = file.stem.replace("_", "-")
        translations = _read(file)
        is_rtl = Locale.parse(file.stem).character_order == "right-to-left"
        name = str(translations.pgettext(*_OWN_NAME))
        found[code] = PageLanguage(code, name, "rtl" if is_rtl else "ltr", translations)
    return found


def _printed(words: str) -> str:
    """Without marks of direction, which `wording.visible` would spell out: a time stands in an element of its own."""
    return "".join(character for character in words if category(character) != "Cf")


def _read(file: Path) -> Translations:
    with file.open("rb") as text:
        catalog = read_po(text, locale=file.stem)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translations(compiled)


def language_of_setting(code: str) -> Language:
    """Raises SettingsError where there is no such language."""
    known = languages()
    if code not in known:
        raise SettingsError(f"{VARIABLE}={code!r} is not known: use {', '.join(known)}")
    return known[code]


def accepted_language(header: str) -> Language | None:
    """The language that a browser asks for first among those there are (RFC 9110 §12.5.4); None: none of its own."""
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(header[:_MAX_HEADER_CHARACTERS].split(",")):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if 0 < weight <= 1:
            wanted.append((-weight, place, tag.strip().lower()))
    known = {language.code.lower(): language for language in languages().values()}
    for _, _, tag in sorted(wanted):
        if found := known.get(tag) or known.get(tag.partition("-")[0]):
            return found
    return None
