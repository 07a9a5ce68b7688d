"""Every setting is documented: the page says what the sections say, and knows all of them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from postwatch.deploy.settings_page import SECTION_CLASSES, settings_page
from postwatch.producers.service.settings import SECTIONS

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "deploy" / "SETTINGS.md").read_text(encoding="utf-8")
    assert written == settings_page(), "run: .venv/bin/python -m postwatch.deploy.settings_page > deploy/SETTINGS.md"


def test_the_page_knows_every_section_there_is() -> None:
    declared = {
        name
        for part in ("producers", "streams", "query", "deploy")
        for path in (ROOT / part).rglob("*.py")
        for name in re.findall(r'^ +SECTION: ClassVar\[str\] = "(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {section.SECTION for section in SECTION_CLASSES} == declared
    assert sorted(SECTIONS) == sorted(declared)


@pytest.mark.parametrize("section", SECTION_CLASSES, ids=lambda section: str(section.SECTION))
def test_every_setting_says_what_it_is(section: type) -> None:
    for field in dataclasses.fields(section):
        assert field.metadata["doc"].endswith("."), field.name
        assert "|" not in field.metadata["doc"], field.name
