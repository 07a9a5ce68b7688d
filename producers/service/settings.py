"""Settings: read once at the edge from the environment and an optional TOML file, then passed on as frozen dataclasses.

A section is a frozen dataclass with a `SECTION` name; field `linger_ms` of section `ship` is the variable
`POSTWATCH_SHIP_LINGER_MS`, or `linger_ms` under `[ship]` in the file that `POSTWATCH_CONFIG` names. The environment
wins. A secret may stand in a file of its own instead, which the same name with `_FILE` at its end names. An unknown
name in a section that is read, an unknown section, or a value of the wrong type raises SettingsError and names the
variable: a mistyped setting never passes silently.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import textwrap
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from postwatch.producers.service.errors import SettingsError

PREFIX = "POSTWATCH_"
CONFIG_VARIABLE = "POSTWATCH_CONFIG"
FILE_SUFFIX = "_file"
"""`POSTWATCH_KAFKA_SASL_PASSWORD_FILE` names a file that holds what `POSTWATCH_KAFKA_SASL_PASSWORD` would."""
SECTIONS = ("kafka", "topics", "ship", "join", "sink", "clickhouse", "query", "access", "openid", "proof", "push")
"""Every section of every part, so that a shared file or environment can be checked by whichever part reads it."""

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

Section = TypeVar("Section")


def setting(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    secret: bool = False,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    is_read: bool = False,
) -> Any:
    """A field of a section: its default (none: the setting is required), one line for people, what it may hold.

    `is_read`: it names a file that is read at start, so one that can't be read is an error.
    """
    metadata = {"doc": doc, "secret": secret, "least": least, "most": most, "choices": choices, "is_read": is_read}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata, repr=not secret)
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def load(section: type[Section], environ: Mapping[str, str] | None = None) -> Section:
    """Read one section. Raises SettingsError that names the variable, what it held and what it should hold."""
    environ = os.environ if environ is None else environ
    name: str = section.SECTION  # type: ignore[attr-defined]
    prefix = f"{PREFIX}{name.upper()}_"
    fields = {field.name: field for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(section)
    kept_in_files = {f"{key}{FILE_SUFFIX}": key for key, field in fields.items() if field.metadata["secret"]}
    values: dict[str, Any] = {}
    for source in (_of_file(environ, name), _of_environment(environ, prefix)):
        found: dict[str, Any] = {}
        for where, key, raw in source:
            if key in kept_in_files:
                key, raw = kept_in_files[key], _secret_in(raw, where)
            elif key not in fields:
                known = {**fields, **kept_in_files}
                raise SettingsError(f"unknown setting {where}{_suggest(*_as_written(where, key, prefix, known))}")
            if key in found:
                raise SettingsError(f"{where}: {key} is given twice, as text and as a file; keep one of the two")
            found[key] = _convert(raw, hints[key], fields[key], where)
        values |= found
    for key, field in fields.items():
        if key not in values and field.default is dataclasses.MISSING:
            raise SettingsError(f"{prefix}{key.upper()} is not set: {field.metadata['doc']}")
    return section(**values)


def _of_file(environ: Mapping[str, str], name: str) -> Iterator[tuple[str, str, Any]]:
    for key, raw in _file_section(environ, name).items():
        yield f"[{name}] {key} in {environ[CONFIG_VARIABLE]}", key, raw


def _of_environment(environ: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str, Any]]:
    for variable, raw in environ.items():
        if variable.startswith(prefix):
            yield variable, variable[len(prefix) :].lower(), raw
        elif variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            _check_section(variable)


def _as_written(where: str, key: str, prefix: str, known: Iterable[str]) -> tuple[str, list[str]]:
    """An unknown name and the known ones, as the environment or the file writes them."""
    return (where, _variables(prefix, known)) if where.startswith(prefix) else (key, list(known))


def _secret_in(path: Any, where: str) -> str:
    """The text of a file that holds one secret, without the line break at its end. Raises SettingsError."""
    try:
        secret = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where}={path!r} is not UTF-8 text") from error
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError(f"{where}={path!r} can't be read: {getattr(error, 'strerror', None) or error}") from error
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SettingsError(f"{where}={path!r} is empty: it must hold the secret")
    if "\n" in secret:
        raise SettingsError(f"{where}={path!r} holds more than one line: it must hold the secret alone")
    return secret


def describe(*sections: type[Any]) -> str:
    """Every variable of these sections with its default and its description, wrapped for a terminal of 80 columns."""
    lines = [f"settings, from the environment or the TOML file that {CONFIG_VARIABLE} names:"]
    for section in sections:
        for field in dataclasses.fields(section):
            variable = f"{PREFIX}{section.SECTION.upper()}_{field.name.upper()}"
            shown = f"  {variable}{_shown_default(field.default)}"
            or_file = f"(or {variable}_FILE)" if field.metadata["secret"] else ""
            if or_file and len(shown) + 1 + len(or_file) > 80:
                lines += [shown, f"      {or_file}"]
            else:
                lines.append(f"{shown} {or_file}".rstrip())
            lines += _wrapped(field.metadata["doc"])
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        text, 80, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _shown_default(default: Any) -> str:
    if default is dataclasses.MISSING:
        return " (required)"
    if isinstance(default, bool):
        return f"={str(default).lower()}"
    return "=" + (",".join(default) if isinstance(default, tuple) else "" if default is None else str(default))


def _variables(prefix: str, keys: Iterable[str]) -> list[str]:
    return [f"{prefix}{key.upper()}" for key in keys]


def is_set(section: type[Any], key: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether somebody gave this setting a value that is not empty, in the environment or in the file."""
    environ = os.environ if environ is None else environ
    variable = f"{PREFIX}{section.SECTION}_{key}".upper()
    return bool(environ.get(variable, _file_section(environ, section.SECTION).get(key)))


def _check_section(variable: str) -> None:
    if not variable.startswith(tuple(f"{PREFIX}{name.upper()}_" for name in SECTIONS)):
        close = _suggest(variable.removeprefix(PREFIX).partition("_")[0].lower(), SECTIONS)
        raise SettingsError(f"unknown setting {variable}: it belongs to no section{close}")


def _file_section(environ: Mapping[str, str], name: str) -> Mapping[str, Any]:
    path = environ.get(CONFIG_VARIABLE)
    if not path:
        return {}
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{CONFIG_VARIABLE}={path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{CONFIG_VARIABLE}={path} is not valid TOML: {error}") from error
    for unknown in table.keys() - set(SECTIONS):
        raise SettingsError(f"unknown section [{unknown}] in {path}{_suggest(unknown, SECTIONS)}")
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise SettingsError(f"[{name}] in {path} must be a table of settings")
    return section


def _suggest(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def split_list(raw: str | list[Any]) -> tuple[str, ...]:
    """'a, b' or a list → its items without blanks around them and without empty ones."""
    items = raw if isinstance(raw, list) else str(raw).split(",")
    return tuple(str(item).strip() for item in items if str(item).strip())


def _convert(raw: Any, hint: Any, field: dataclasses.Field[Any], where: str) -> Any:
    shown = "" if field.metadata["secret"] else f"={raw!r}"
    if isinstance(hint, types.UnionType):  # `int | None`: an empty text means None
        if raw == "":
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        return split_list(raw)
    if hint is bool:
        return _switch(raw, f"{where}{shown}")
    if hint in (int, float):
        number = _number(raw, hint, f"{where}{shown}")
        least = field.metadata["least"]
        if least is not None and number < least:
            raise SettingsError(f"{where}{shown} is too small: use {least} or more")
        most = field.metadata["most"]
        if most is not None and number > most:
            raise SettingsError(f"{where}{shown} is too large: use {most} or less")
        return number
    if not isinstance(raw, str):
        raise SettingsError(f"{where}{shown} must be text")
    choices = field.metadata["choices"]
    if choices and raw not in choices:
        raise SettingsError(f"{where}{shown} is not known: use {', '.join(choice for choice in choices if choice)}")
    if raw and field.metadata["is_read"]:
        try:
            Path(raw).open("rb").close()
        except (OSError, ValueError) as error:
            raise SettingsError(f"{where}{shown} can't be read: {getattr(error, 'strerror', None) or error}") from error
    return raw


def _switch(raw: Any, what: str) -> bool:
    text = str(raw).lower()
    if text not in _TRUE | _FALSE:
        raise SettingsError(f"{what} is not a switch: use true or false")
    return text in _TRUE


def _number(raw: Any, kind: type[int] | type[float], what: str) -> int | float:
    """A finite number. A file's `max_rows = 2.5` or `true` is refused, never rounded."""
    acceptable = (str, int) if kind is int else (str, int, float)
    try:
        if isinstance(raw, acceptable) and not isinstance(raw, bool) and math.isfinite(number := kind(raw)):
            return number
    except (ValueError, OverflowError):
        pass
    raise SettingsError(f"{what} is not a {'whole number' if kind is int else 'number'}")
