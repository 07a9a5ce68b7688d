"""Messages and events of the compiled build ↔ what msgspec makes of the same structs in the interpreted one.

Invariant: the bytes of a parked message are the same in both builds, and each reads what the other parked, an older
version too: fields that it did not know have their defaults, and what a newer one added is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

_Native = TypeVar("_Native")
_Convert = Callable[[Any], Any]
_PLAIN: dict[str, type] = {"str": str, "int": int, "bool": bool}


def replace(native: _Native, /, **changes: object) -> _Native:
    """A copy with other values in some fields, whichever build runs."""
    if isinstance(native, msgspec.Struct):
        return msgspec.structs.replace(native, **changes)
    fields = native.FIELDS  # type: ignore[attr-defined]  # which `deploy/core_build` gives each native class
    return type(native)(*[changes[name] if name in changes else getattr(native, name) for name, _ in fields])


def to_fields(native: Any) -> list[object]:
    """The fields in their order. Raises TypeError for what is no native class."""
    try:
        return [getattr(native, name) for name, _ in native.FIELDS]
    except AttributeError as error:
        raise TypeError(f"{type(native).__name__} can't be parked") from error


class FieldReader:
    """Makes objects of native classes of their fields, as msgspec decoded them."""

    def __init__(self, *natives: type) -> None:
        """`natives`: all classes that may stand within one another."""
        self._natives = {native.__name__: native for native in natives}
        self._converters: dict[str, _Convert] = {}
        self._fields = {native.__name__: native.FIELDS for native in natives}  # type: ignore[attr-defined]

    def read(self, native: type, fields: object) -> Any:
        """Raises ValueError where a field is of another kind than the class has it."""
        return self._object(native.__name__, fields)

    def _object(self, name: str, fields: object) -> Any:
        if not isinstance(fields, list):
            raise ValueError(f"{name} is no list")
        kinds = self._fields[name]
        try:
            return self._natives[name](*[self._of(kind)(value) for (_, kind), value in zip(kinds, fields)])  # noqa: B905
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from error

    def _of(self, kind: str) -> _Convert:
        found = self._converters.get(kind)
        if found is None:
            found = self._converters[kind] = self._make(kind)
        return found

    def _make(self, kind: str) -> _Convert:
        if kind.endswith(" | None"):
            of_value = self._of(kind.removesuffix(" | None"))
            return lambda value: None if value is None else of_value(value)
        if kind in _PLAIN:
            return _exactly(_PLAIN[kind])
        if kind in self._natives:
            return lambda value: self._object(kind, value)
        outer, _, inner = kind.removesuffix("]").partition("[")
        if outer == "dict":
            of_key, of_value = map(self._of, inner.split(", ", 1))
            return lambda value: {of_key(key): of_value(one) for key, one in _exactly(dict)(value).items()}
        of_item = self._of(inner.removesuffix(", ..."))
        make: type = {"list": list, "tuple": tuple}[outer]
        return lambda value: make(map(of_item, _exactly(list)(value)))


def _exactly(kind: type) -> _Convert:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{type(value).__name__} in place of {kind.__name__}")
        return value

    return check
