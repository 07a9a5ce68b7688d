"""`make translations`: brings the catalogs up to date with the texts of the code; `NEW=fr` begins a language.

Prints what is left to translate. Exit status 1: something is.
"""

from __future__ import annotations

import sys

from babel.messages.catalog import Catalog
from postwatch.query.web.languages import LOCALES

from tests.translations.faults import faults
from tests.translations.texts import catalog_files, extracted, merged, written


def main(new: str) -> int:
    template = extracted()
    if new and not (LOCALES / f"{new}.po").exists():
        begun = Catalog(locale=new, project="Postwatch", version="1", fuzzy=False)
        (LOCALES / f"{new}.po").write_text(written(begun), encoding="utf-8")
    found: list[str] = []
    for file in catalog_files():
        file.write_text(merged(file, template), encoding="utf-8")
        found += faults(file, template)
    print("\n".join(found) or f"{len(template)} texts, translated into {len(catalog_files())} languages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
