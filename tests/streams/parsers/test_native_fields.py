"""The fields of native classes: as msgspec would read them of structs, and refused where they are others."""

from __future__ import annotations

from typing import ClassVar

import pytest
from postwatch.streams.parsers.native_fields import FieldReader, replace, to_fields


class Part:
    """As `deploy/core_build` makes a class."""

    FIELDS: ClassVar = (("name", "str"), ("at", "int"), ("is_last", "bool"))

    def __init__(self, name: str, at: int = 0, is_last: bool = False) -> None:
        self.name, self.at, self.is_last = name, at, is_last


class Whole:
    """The same with everything within."""

    FIELDS: ClassVar = (
        ("first", "Part | None"),
        ("parts", "dict[str, list[Part]]"),
        ("names", "tuple[str, ...]"),
        ("older", "Whole | None"),
    )

    def __init__(
        self,
        first: Part | None,
        parts: dict[str, list[Part]],
        names: tuple[str, ...] = (),
        older: Whole | None = None,
    ) -> None:
        self.first, self.parts, self.names, self.older = first, parts, names, older


READER = FieldReader(Part, Whole)


def plain(value: object) -> object:
    """All the way down."""
    if isinstance(value, (Part, Whole)):
        return [plain(one) for one in to_fields(value)]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def test_what_was_parked_is_read() -> None:
    fields = [["a", 1, True], {"x": [["b", 2, False]]}, ["n"], [None, {}, [], None]]
    assert plain(READER.read(Whole, fields)) == fields


def test_an_older_version_wrote_fewer_fields_and_a_newer_one_more() -> None:
    assert plain(READER.read(Whole, [["a"], {}])) == [["a", 0, False], {}, [], None]
    assert plain(READER.read(Part, ["a", 1, True, "new"])) == ["a", 1, True]


@pytest.mark.parametrize(
    ("native", "fields"),
    [
        (Part, "a"),
        (Part, []),
        (Part, [1]),
        (Part, ["a", "1"]),
        (Part, ["a", True]),
        (Whole, [None, []]),
        (Whole, [None, {"x": ["b"]}]),
        (Whole, [None, {}, "n"]),
    ],
)
def test_other_fields_are_refused(native: type, fields: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        READER.read(native, fields)


def test_what_is_no_native_class_is_not_parked() -> None:
    with pytest.raises(TypeError, match="object can't be parked"):
        to_fields(object())


def test_a_copy_has_the_other_values() -> None:
    part = Part("a", 1)
    assert to_fields(replace(part, at=2, is_last=True)) == ["a", 2, True]
    assert to_fields(part) == ["a", 1, False]
