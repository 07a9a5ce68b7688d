"""A file of reasons and providers that an engineer keeps beside the built-in ones, in TOML. Pure but for reading it.

    [words]                                # what a reply holds, in any case → its reason
    "quarantined by acme" = "spam"
    [codes]                                # an enhanced code without its class → its reason
    "7.606" = "reputation"
    [providers]                            # the end of an MX host's name → its provider
    "mx.acme.example" = "Acme"

Words go before codes, and both before what is built in. Anything that makes no sense ends the start with its name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from postwatch.producers.service.errors import SettingsError
from postwatch.streams.contracts.outcome import REASONS
from postwatch.streams.enrichment.providers import PROVIDERS
from postwatch.streams.enrichment.reasons import ReasonBook
from postwatch.streams.expressions import compiled

_CODE = compiled(r"\d{1,3}\.\d{1,3}")
_HOST = compiled(r"(?:[a-z0-9_-]{1,63}\.)+[a-z0-9-]{2,63}")
_TABLES = ("words", "codes", "providers")


def read_reasons(path: str, setting: str) -> ReasonBook:
    """Raises SettingsError that names the setting, the file, and what is wrong with it."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{setting}={path!r} can't be read: {error}") from error
    return parse_reasons(text, path)


def parse_reasons(text: str, where: str) -> ReasonBook:
    """Raises SettingsError that names the table and the key."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where} is no TOML: {error}") from error
    for name in tables:
        if name not in _TABLES:
            raise SettingsError(f"{where} has an unknown table [{name}]; known are {', '.join(_TABLES)}")
    words = _read(tables, "words", where, lambda key: key.strip() != "", "words of a reply")
    codes = _read(tables, "codes", where, lambda key: _CODE.fullmatch(key) is not None, "a code such as 7.606")
    hosts = _read(tables, "providers", where, lambda key: _HOST.fullmatch(key) is not None, "the end of a host's name")
    for name, table in (("words", words), ("codes", codes)):
        for key, reason in table.items():
            if reason not in REASONS:
                raise SettingsError(f"{where} [{name}] {key!r}: no reason is named {reason!r}{_suggest(reason)}")
    return ReasonBook(tuple(words.items()), codes, PROVIDERS | hosts)


def _read(
    tables: Mapping[str, object], name: str, where: str, fits: Callable[[str], bool], wanted: str
) -> dict[str, str]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: [{name}] must be a table of {wanted} and a text each")
    found: dict[str, str] = {}
    for key, value in table.items():
        key = key.lower()
        if not fits(key):
            raise SettingsError(f"{where} [{name}] {key!r} is not {wanted}")
        if not isinstance(value, str) or not value.strip():
            raise SettingsError(f"{where} [{name}] {key!r} must be a text, in quotes")
        found[key] = value.strip()
    return found


def _suggest(reason: str) -> str:
    near = difflib.get_close_matches(reason, REASONS, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; use one of {', '.join(REASONS)}"
