"""The page of all columns, docs/columns.md, written from the contracts themselves.

    .venv/bin/python -m postwatch.deploy.columns_page > docs/columns.md

A test compares the two, so that no column stays undocumented.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from postwatch.streams.contracts import heartbeat, outcome
from postwatch.streams.contracts.columns import NESTED, Column

_HEAD = """\
# Columns

Each column is declared once, in `streams/contracts`. The table in ClickHouse, the records of Kafka, the JSON of the API
and of the commands, and CSV use the same names. Empty text or 0 means that the log does not say. Times are UTC, with
milliseconds. This page is written by `.venv/bin/python -m postwatch.deploy.columns_page`.

*Required*: a record without this column is not accepted. A record without any other column gets the default, so
`postwatch join` and `postwatch sink` of different versions can run side by side.
"""

_DELIVERIES = """\
## deliveries

One row for each account, message and final recipient: the topic `mail.outcomes` and the table `deliveries`. Each part
of `attempts` is an array column of its own: `attempts.at`, `attempts.status` and so on.
"""

_SERVERS = """\
## servers

The newest heartbeat of each server: the topic `mail.heartbeats` and the table `servers`.
"""


def columns_page() -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            _HEAD,
            _DELIVERIES,
            "| column | ClickHouse type | meaning | label on pages | notes |",
            "|---|---|---|---|---|",
            *_delivery_lines(outcome.COLUMNS),
            "",
            _SERVERS,
            "| column | ClickHouse type | meaning |",
            "|---|---|---|",
            *(f"| `{one.name}` | `{one.kind.clickhouse}` | {one.about.description} |" for one in heartbeat.COLUMNS),
            "",
        ]
    )


def _delivery_lines(columns: Sequence[Column], prefix: str = "") -> Iterator[str]:
    for column in columns:
        about = column.about
        notes = ", ".join(_notes(column)) or "–"
        yield (
            f"| `{prefix}{column.name}` | `{column.kind.clickhouse}` | {about.description} | {about.label or '–'} "
            f"| {notes} |"
        )
        if column.kind is NESTED:
            yield from _delivery_lines(column.parts, f"{column.name}.")


def _notes(column: Column) -> Iterator[str]:
    if column.about.is_required:
        yield "required"
    if column.name in outcome.KEY:
        yield "part of the key"
    if not column.about.in_api:
        yield "not in the API"
    if not column.about.in_csv:
        yield "not in CSV"


if __name__ == "__main__":
    print(columns_page(), end="")
