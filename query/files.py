"""Whole results as the text of files: pages of a report → CSV or NDJSON, piece by piece.

A piece is one page. A file has one heading, and one that breaks off has a last line that says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from postwatch.query.exports import csv_text, to_ndjson
from postwatch.query.reports.registry import AnyReport

NOT_OF_FILES = ("limit", "cursor")
"""Filters that are about one page."""
_BROKEN_OFF = "INCOMPLETE: this download broke off. Try again."


class FileFormat(NamedTuple):
    """What a result is written as."""

    suffix: str
    media_type: str


FORMATS = {"csv": FileFormat("csv", "text/csv"), "ndjson": FileFormat("ndjson", "application/x-ndjson")}


def file_texts(report: AnyReport, pages: Iterator[Any], form: str) -> Iterator[tuple[str, int]]:
    """The text of a file piece by piece, each with the number of its rows."""
    is_first = True
    for page in pages:
        number = len(page.rows)
        text = report.csv(page, is_first) if form == "csv" else to_ndjson(report.records(page))
        del page  # while the text is sent, and until the next page is there, nothing but the text is kept
        yield text, number
        is_first = False


def broken_off(form: str) -> str:
    """The last line of a file that lacks rows: not a row, so that no program takes the file for whole."""
    if form == "csv":
        return csv_text([_BROKEN_OFF], [])
    return json.dumps({"error": {"code": "incomplete", "message": _BROKEN_OFF}}) + "\n"


def file_name(form: str, at_ms: int) -> str:
    """Of the day alone: a name stays in lists of files, where it would tell whose mail was looked at."""
    return f"deliveries-{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}.{FORMATS[form].suffix}"
