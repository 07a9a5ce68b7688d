"""Finds every text that pages say, and brings the catalogs up to date with them.

Invariant: a catalog holds the texts of the code and no others, in their order; what was translated stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po
from postwatch.query.advice import ADVICE
from postwatch.query.reports.registry import load_reports
from postwatch.query.web.languages import LOCALES
from postwatch.streams.contracts.outcome import COLUMNS

QUERY = Path(__file__).parents[2] / "query"
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "N_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "NN_": (1, 2),
    "pgettext": ((1, "c"), 2),
    "FilterError": None,
    "ForbiddenError": None,
    "NotFoundError": None,
}
"""What marks a text: gettext's functions, and errors whose message people read."""
_METHODS = [("**.py", "python"), ("web/templates/**.html", "jinja2")]
_OPTIONS = {"web/templates/**.html": {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}}
_OWN_NAME = ("the name of this language in itself", "English")
_HEADER_LINES = re.compile(
    r'^"(?:Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Generated-By).*\n',
    re.MULTILINE,
)


def extracted() -> Catalog:
    """Every text of the pages."""
    catalog = Catalog(project="Postwatch", version="1", fuzzy=False)
    catalog.add(_OWN_NAME[1], context=_OWN_NAME[0], auto_comments=["Not 'English': this language, as it calls itself."])
    for file, _line, message, _comments, context in extract_from_dir(
        QUERY, _METHODS, _OPTIONS, KEYWORDS, comment_tags=("Translators:",)
    ):
        catalog.add(message, locations=[(f"query/{file}", 0)], context=context)
    for place, text in _texts_of_objects():
        catalog.add(text, locations=[(place, 0)])
    return catalog


def _texts_of_objects() -> Iterator[tuple[str, str]]:
    """Texts that are fields of something that is also used elsewhere."""
    for advice in ADVICE.values():
        for sentence in advice:
            yield "query/advice.py", sentence
    for column in COLUMNS:
        if column.about.label:
            yield "streams/contracts/outcome.py", column.about.label
    for report in load_reports().values():
        yield "query/reports", report.title


def merged(file: Path, template: Catalog) -> str:
    """The text of a catalog with the texts of the template: a new one is empty, one that is gone is left out."""
    with file.open("rb") as text:
        known = read_po(text, locale=file.stem)
    known.update(template, no_fuzzy_matching=True)
    known.obsolete.clear()
    known.fuzzy = False
    return written(known)


def written(catalog: Catalog) -> str:
    for message in catalog:
        message.locations = sorted(set(message.locations))
    out = BytesIO()
    write_po(out, catalog, width=120, include_lineno=False, ignore_obsolete=True, sort_by_file=True)
    text = _HEADER_LINES.sub("", out.getvalue().decode())
    return text[text.index('msgid ""') :]


def catalog_files() -> list[Path]:
    return sorted(LOCALES.glob("*.po"))
