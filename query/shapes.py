"""The JSON of the API and of `--format json`: the same objects, documented in OpenAPI. Each report adds its own.

Times are ISO 8601 in UTC with milliseconds. Empty text or 0 stands for "the log does not say".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, cast

from postwatch.query.statements import Delivery
from postwatch.streams.contracts.columns import NESTED, TEXT, TEXTS, TIME, WORD, Column, Kind, columns_of
from postwatch.streams.contracts.outcome import COLUMNS, Attempt, to_json_object
from pydantic import BaseModel, ConfigDict, Field, create_model

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_JSON_TYPES: dict[Kind, Any] = {TEXT: str, WORD: str, TIME: Time, TEXTS: list[str]}
"""Of what is no number."""


def _row_shape(name: str, columns: Iterable[Column]) -> Any:
    """A shape with a field for each column."""
    fields: dict[str, Any] = {}
    for column in columns:
        kind = list[AttemptShape] if column.kind is NESTED else _JSON_TYPES.get(column.kind, int)
        fields[column.name] = (kind, Field(description=column.about.description))
    return create_model(name, __base__=Shape, **fields)


AttemptShape: Any = _row_shape("AttemptShape", columns_of(Attempt))
_API_COLUMNS = [column for column in COLUMNS if column.about.in_api]
_DeliveryColumns: Any = _row_shape("_DeliveryColumns", _API_COLUMNS)


class ReasonShape(Shape):
    """What a value of `reason` means, and what to do about it."""

    reason: str
    meaning: str = Field(description="In plain words, for the owner of the mailbox.")
    remedy: str = Field(description="What the owner can do.")
    cause: str = Field(description="Where it comes from, for the engineer.")
    action: str = Field(description="What the engineer can do.")


class DeliveryShape(_DeliveryColumns):  # type: ignore[misc]
    """What happened to one message for one recipient."""

    id: str = Field(description="Tells this delivery from every other, and names it in links; it holds no address.")

    @classmethod
    def of(cls, row: Delivery) -> DeliveryShape:
        known = to_json_object(row)
        fields = {column.name: known[column.name] for column in _API_COLUMNS}
        return cast(DeliveryShape, cls.model_validate({"id": row.id, **fields}))


class HealthShape(Shape):
    healthy: bool
    complaints: dict[str, str]


class ErrorDetail(Shape):
    code: str
    message: str


class ErrorShape(Shape):
    """Every error of the API."""

    error: ErrorDetail
