"""What a column is, and how Kafka, ClickHouse, the API, exports and people see it. Pure.

A contract is a NamedTuple, and each of its fields is annotated with an `About`. All else is derived from these: the
Arrow schema, what a record without the column gets, the fields of the API, exports and docs/columns.md. Arrow is loaded
when its types are asked for: parsers and joiner do without, and it is slow to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Kind:
    """One type, as Arrow and ClickHouse name it."""

    name: str
    """Of the function of pyarrow that makes the type."""
    clickhouse: str
    element: Kind | None = None
    """Of a list."""

    @property
    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        if self.element is not None:
            return pa.list_(self.element.arrow)
        return pa.timestamp("ms", tz="UTC") if self.name == "timestamp" else getattr(pa, self.name)()

    def listed(self) -> Kind:
        """The type of a list of such values."""
        return Kind("list_", f"Array({self.clickhouse})", self)


TEXT = Kind("string", "String")
WORD = Kind("string", "LowCardinality(String)")
"""A text with few different values."""
TIME = Kind("timestamp", "DateTime64(3, 'UTC')")
"""In Python whole milliseconds since the epoch."""
UINT8 = Kind("uint8", "UInt8")
UINT16 = Kind("uint16", "UInt16")
UINT32 = Kind("uint32", "UInt32")
UINT64 = Kind("uint64", "UInt64")
INT64 = Kind("int64", "Int64")
TEXTS = TEXT.listed()
NESTED = Kind("null", "Nested")
"""A list of rows of another NamedTuple, stored as one list for each of its fields."""


@dataclass(frozen=True, slots=True)
class About:
    """The annotation of a field."""

    kind: Kind
    description: str
    label: str = ""
    """Shown to people under this label, as it is. Empty: query/details.py shows it with others, or not at all."""
    is_required: bool = False
    """A record without it is not of this contract. Any other column gets its default where a record lacks it."""
    in_api: bool = True
    in_csv: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """A field with its annotation."""

    name: str
    default: Any
    about: About
    parts: tuple[Column, ...] = ()
    """The sub-columns of a NESTED one."""

    @property
    def kind(self) -> Kind:
        return self.about.kind


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """A column of Kafka's records and of the table; a NESTED column is one for each of its parts."""

    name: str
    kind: Kind
    default: Any
    """Of a part: what each element gets."""
    is_required: bool
    nested_in: str = ""
    """The name of the NESTED column that this is a part of."""


def columns_of(row_class: Any) -> tuple[Column, ...]:
    """The columns of an annotated NamedTuple, in order."""
    hints = get_type_hints(row_class, include_extras=True)
    columns = []
    for name in row_class._fields:
        value_type, about = get_args(hints[name])
        parts = columns_of(get_args(value_type)[0]) if about.kind is NESTED else ()
        columns.append(Column(name, row_class._field_defaults[name], about, parts))
    return tuple(columns)


def stored_columns(columns: Sequence[Column]) -> tuple[StoredColumn, ...]:
    """The columns as records and tables have them, in order."""
    found = []
    for column in columns:
        if column.kind is NESTED:
            found += [
                StoredColumn(f"{column.name}.{part.name}", part.kind.listed(), part.default, False, column.name)
                for part in column.parts
            ]
        else:
            found.append(StoredColumn(column.name, column.kind, column.default, column.about.is_required))
    return tuple(found)
