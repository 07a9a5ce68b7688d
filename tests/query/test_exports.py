from __future__ import annotations

import csv
import io
import json
import re
import unicodedata

import pytest
from postwatch.query.exports import CSV_COLUMNS, to_csv, to_json
from postwatch.query.shapes import DeliveryShape
from postwatch.streams.contracts.outcome import Attempt, Outcome

from tests.query.conftest import NOW_MS, TEXT_FIELDS, make_row


def test_every_field_is_in_the_csv_but_the_log_lines() -> None:
    assert set(CSV_COLUMNS) == {*Outcome._fields, "id"} - {"log_lines", "version", "is_deleted", "account_domain"}


def test_csv_has_a_heading_and_comes_back_as_it_was() -> None:
    row = make_row(subject='one, "two"', attempts=(Attempt(NOW_MS, "deferred", 451, "", "", ""),))
    (found,) = csv.DictReader(io.StringIO(to_csv([row])))
    assert found["subject"] == 'one, "two"'
    assert found["attempts"] == "1"
    assert found["queued_at"].endswith("Z")
    assert found["size_bytes"] == "1024"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff20", "\t", "\r"])
def test_no_cell_of_any_column_starts_a_formula(start: str) -> None:
    text = f"{start}HYPERLINK(1)"
    (found,) = csv.DictReader(io.StringIO(to_csv([make_row(**dict.fromkeys(TEXT_FIELDS, text))])))
    for name in set(TEXT_FIELDS) - {"account_domain"}:
        assert found[name].startswith("'")
        assert "HYPERLINK" in found[name]


@pytest.mark.parametrize("text", ["x;=HYPERLINK(1)", 'x; "+1', "x;;@SUM(1)", "x;'-1", "x;\uff1d1"])
def test_no_part_of_a_cell_starts_a_formula_where_semicolons_part_cells(text: str) -> None:
    exported = to_csv([make_row(**dict.fromkeys(TEXT_FIELDS, text))])
    for part in exported.split(";"):
        assert not re.match(r"[\s\"]*[=+@\uff1d-]", part), part
    assert "2026;plain" in to_csv([make_row(subject="2026;plain")])


def test_no_control_character_gets_into_a_file() -> None:
    text = "\x1b[31m\x07\x85\x9b\u202e\u2028\n\r\x7f\u200b"
    row = make_row(**dict.fromkeys(TEXT_FIELDS, text), log_lines=(text,))
    for exported in (to_csv([row]).replace("\r\n", ""), to_json(DeliveryShape.of(row)).replace("\n", "")):
        assert not [one for one in exported if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")]
    assert json.loads(to_json(DeliveryShape.of(row)))["subject"] == text
