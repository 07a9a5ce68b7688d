"""What reports of deliveries share: their rows, and how a list of them is shown.

A report of deliveries has to say its filters and its query; JSON, table, CSV and page are here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from postwatch.query.exports import to_csv
from postwatch.query.reports.report import Question, Report, Tables
from postwatch.query.shapes import DeliveryShape, Shape, Time
from postwatch.query.statements import Delivery, Statement, decode_row
from postwatch.query.terminal import delivery_lines
from postwatch.query.translation import gettext
from postwatch.query.wording import count
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Rows in their last versions, newest first."""

    since_ms: int
    """Nothing older was looked for."""
    rows: tuple[Delivery, ...]
    next_cursor: str = ""
    """Asks for the next page; empty: there is none, or the report has no pages."""
    has_more: bool = False
    """There are older rows than these."""


Found = TypeVar("Found", bound=Deliveries)


class DeliveryListShape(Shape):
    """Deliveries, newest first."""

    since: Time
    deliveries: list[DeliveryShape]
    has_more: bool = Field(description="There are older rows than these.")
    stale_servers: list[str] = Field(
        description=f"Servers silent for more than {STALE_AFTER_SECONDS} s: their newest mail may be missing."
    )


class DeliveriesReport(Report[Question, Found]):
    """A report whose answer is a list of deliveries."""

    template = "deliveries.html"
    shape_type: ClassVar[type[Shape]] = DeliveryListShape

    def shape(self, answer: Found, silent_servers: list[str]) -> Shape:
        return DeliveryListShape(
            since=iso_time(answer.since_ms),
            deliveries=[DeliveryShape.of(row) for row in answer.rows],
            has_more=answer.has_more,
            stale_servers=silent_servers,
        )

    def table(self, answer: Found, width: int) -> Iterator[RenderableType]:
        if answer.rows:
            yield from delivery_lines(answer.rows, width, self.only_account(answer))
            yield Text(self.footer(answer), "dim")

    def only_account(self, answer: Found) -> str:
        """Whose mail alone is told; empty: several accounts' mail may be."""
        return ""

    def footer(self, answer: Found) -> str:
        """What is said below a table."""
        more = "; there are more" if answer.next_cursor or answer.has_more else ""
        return f"{count(len(answer.rows), 'row')}, newest first, times in UTC{more}."

    def csv(self, answer: Found, has_heading: bool = True) -> str:
        return to_csv(answer.rows, has_heading)

    def records(self, answer: Found) -> Iterable[Shape]:
        return map(DeliveryShape.of, answer.rows)

    def nothing_found(self, answer: Found) -> str:
        return gettext("No mail found.")

    def next_cursor(self, answer: Found) -> str:
        return answer.next_cursor


def read_newest(tables: Tables, statement: Statement) -> tuple[Delivery, ...]:
    """The rows of a statement that selects `statements.ROW_COLUMNS`, as the viewer may see them."""
    ids = tables.ids
    followed = tables.follow(decode_row(row, ids) for row in tables.read(statement))
    return tables.visible(followed)
