"""Records of rsyslog, Vector, Fluent Bit and the like: what their headers would say, and the line in their envelope.

Such a record has no headers, or few. A file of the provider's says what the lines of a host are, by its name:

    [[hosts]]
    names = ["mx*.example.net", "10.0.0.*"]   # the keys of its records; * stands for any characters
    format = "postfix"                        # a log format; without it each line is read as what it is
    timezone = "America/New_York"             # of stamps that name none
    line_field = "log"                        # of a JSON object around each line

The first that matches counts. What a record's own headers say goes before it. Pure but for reading the file.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from postwatch.producers.record import RawHeaders
from postwatch.producers.service.errors import BadInputError, SettingsError
from postwatch.streams.parsers.registry import FORMAT_NAMES
from postwatch.streams.parsers.timestamps import find_zone

_MOST_KNOWN = 10_000
_KEYS = {"names", "format", "timezone", "line_field"}
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text_decoder = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class HostRule:
    """What the lines of some hosts are."""

    names: re.Pattern[str]
    format: str = ""
    timezone: str = ""
    line_field: str = ""


@dataclass(slots=True)
class OtherShippers:
    """`line_fields`: names of the field that holds the line, for hosts of which no rule names one."""

    line_fields: Sequence[str] = ()
    rules: Sequence[HostRule] = ()
    _known: dict[str, HostRule | None] = field(default_factory=dict)

    def of(self, server: str) -> HostRule | None:
        if not self.rules:
            return None
        if server not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[server] = next((rule for rule in self.rules if rule.names.fullmatch(server)), None)
        return self._known[server]

    def headers(self, server: str, headers: RawHeaders) -> RawHeaders:
        """The headers with what a rule says where they say nothing."""
        rule = self.of(server)
        if rule is None or headers.file:  # our own shipper says what it ships
            return headers
        return headers._replace(
            format=rule.format if rule.format and headers.format == "auto" else headers.format,
            tz=headers.tz or rule.timezone,
        )

    def lines(self, server: str, headers: RawHeaders, lines: list[str]) -> list[str]:
        """The lines without JSON around them, as many as before. What has no such field is left as it is."""
        if headers.file:
            return lines
        rule = self.of(server)
        fields = [rule.line_field] if rule is not None and rule.line_field else self.line_fields
        return [_unwrap(line, fields) if line[:1] == "{" else line for line in lines] if fields else lines


def _unwrap(line: str, fields: Sequence[str]) -> str:
    """A line break within the text stays one line, as strangers' words may hold one."""
    try:
        found = _fields_decoder.decode(line)
        for name in fields:
            if name in found:
                return _text_decoder.decode(found[name]).rstrip("\r\n").replace("\n", "\\n")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    return line


def read_hosts(path: str, setting: str) -> tuple[HostRule, ...]:
    """Raises SettingsError that names the setting, the file, and what is wrong with it."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{setting}={path!r} can't be read: {error}") from error
    return parse_hosts(text, path)


def parse_hosts(text: str, where: str) -> tuple[HostRule, ...]:
    """Raises SettingsError that names the entry and the key."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where} is no TOML: {error}") from error
    entries = tables.get("hosts", [])
    if tables.keys() - {"hosts"} or not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise SettingsError(f"{where} must hold [[hosts]] tables and nothing else")
    return tuple(_rule(entry, f"{where}: [[hosts]] number {number}") for number, entry in enumerate(entries, 1))


def _rule(entry: Mapping[str, Any], where: str) -> HostRule:
    if unknown := entry.keys() - _KEYS:
        raise SettingsError(f"{where} has an unknown key {min(unknown)!r}; known are {', '.join(sorted(_KEYS))}")
    names = entry.get("names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise SettingsError(f'{where} needs `names`, a list of host names such as ["mx*.example.net"]')
    texts = {key: entry.get(key, "") for key in ("format", "timezone", "line_field")}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise SettingsError(f"{where}: {key} must be a text, in quotes")
    if texts["format"] and texts["format"] not in FORMAT_NAMES:
        raise SettingsError(f"{where}: format {texts['format']!r} is not known: use {', '.join(FORMAT_NAMES)}")
    if texts["timezone"]:
        try:
            find_zone(texts["timezone"], f"{where}: timezone")
        except BadInputError as error:
            raise SettingsError(str(error)) from error
    return HostRule(re.compile("|".join(map(fnmatch.translate, names))), **texts)
