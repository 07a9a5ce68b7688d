"""Every text of the pages is in the catalog of every language, and every catalog is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from postwatch.query.web.languages import languages

from tests.translations.faults import faults
from tests.translations.texts import QUERY, catalog_files, extracted, merged


@pytest.mark.parametrize("file", catalog_files(), ids=lambda file: file.stem)
def test_a_catalog_holds_every_text_and_no_others(file: Path) -> None:
    assert faults(file, extracted()) == []


@pytest.mark.parametrize("file", catalog_files(), ids=lambda file: file.stem)
def test_a_catalog_is_as_make_translations_writes_it(file: Path) -> None:
    assert merged(file, extracted()) == file.read_text(encoding="utf-8")


def test_there_are_texts_and_languages() -> None:
    assert len(extracted()) > 200
    assert set(languages()) == {"en", "de", "es", "id"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('msgid "Language"\nmsgstr ""', "'Language' is not translated"),
        ('msgid "Nothing like it"\nmsgstr "Nichts"', "which no page says"),
        ('msgid "There is no page at %(path)s"\nmsgstr "Keine Seite"', "placeholders of 'Keine Seite' differ"),
        ('msgid "There is no page at %(path)s"\nmsgstr "Keine Seite: %(pfad)s"', "differ"),
        ('msgid "There is no page at %(path)s"\nmsgstr "100 % %(path)s"', "differ"),
        ('msgid "%(num)s day"\nmsgid_plural "%(num)s days"\nmsgstr[0] "ein Tag"\nmsgstr[1] ""', "is not translated"),
        ('#, fuzzy\nmsgid "Language"\nmsgstr "Sprache"', "'Language' is not translated"),
    ],
)
def test_a_fault_is_found(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "de.po"
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    file.write_text(f"{header}{text}\n", encoding="utf-8")
    found = faults(file, extracted())
    assert any(fault in one for one in found)
    assert any("lacks" in one for one in found)


def test_no_text_that_people_read_is_made_of_pieces() -> None:
    """A message with its values already in it is in no catalog."""
    made = re.compile(r"(?:\b_|gettext|FilterError|ForbiddenError|NotFoundError|N_)\(\s*f\"")
    for file in QUERY.rglob("*.py"):
        assert not made.search(file.read_text(encoding="utf-8")), file
