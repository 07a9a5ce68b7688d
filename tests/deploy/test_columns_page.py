"""Every column is documented: the page says what the contracts say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from postwatch.deploy.columns_page import columns_page
from postwatch.streams.contracts import heartbeat, outcome
from postwatch.streams.contracts.columns import Column

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    assert written == columns_page(), "run: .venv/bin/python -m postwatch.deploy.columns_page > docs/columns.md"


def _all_columns(columns: Sequence[Column]) -> Iterator[Column]:
    for column in columns:
        yield column
        yield from _all_columns(column.parts)


def test_every_column_says_what_it_is() -> None:
    for column in _all_columns([*outcome.COLUMNS, *heartbeat.COLUMNS]):
        assert column.about.description.endswith((".", "…")), column.name
        assert "|" not in column.about.description, column.name
