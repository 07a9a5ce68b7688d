"""Settings: read once at the edge from the environment and an optional TOML file, then passed on as frozen dataclasses.

A section is a frozen dataclass with a `SECTION` name; field `linger_ms` of section `ship` is the variable
`POSTWATCH_SHIP_LINGER_MS`, or `linger_ms` under `[ship]` in the file that `POSTWATCH_CONFIG` names. The environment
wins. An unknown name in a section that is read, or a value of the wrong type, raises SettingsError and names the
variable: a mistyped setting never passes silently.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from postwatch.producers.errors import SettingsError

PREFIX = "POSTWATCH_"
CONFIG_VARIABLE = "POSTWATCH_CONFIG"
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

Section = TypeVar("Section")


def setting(default: Any = dataclasses.MISSING, *, doc: str, secret: bool = False) -> Any:
    """A field of a settings section: its default (none: the setting is required) and one line for people."""
    metadata = {"doc": doc, "secret": secret}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How every part reaches Kafka, and the names of the topics."""

    SECTION: ClassVar[str] = "kafka"

    brokers: str = setting("127.0.0.1:9092", doc="Comma-separated host:port of the brokers to start from.")
    security_protocol: str = setting("plaintext", doc="plaintext, ssl, sasl_plaintext or sasl_ssl.")
    sasl_mechanism: str = setting("", doc="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, when SASL is used.")
    sasl_username: str = setting("", doc="SASL user.")
    sasl_password: str = setting("", doc="SASL password.", secret=True)
    ssl_ca_file: str = setting("", doc="PEM file of the authority that signed the brokers' certificates.")
    raw_topic: str = setting("mail.raw", doc="Topic of raw log lines.")
    outcomes_topic: str = setting("mail.outcomes", doc="Topic of delivery rows.")
    heartbeats_topic: str = setting("mail.heartbeats", doc="Topic of the servers' heartbeats, as rows.")
    dead_letters_topic: str = setting("mail.dead-letters", doc="Topic of lines and rows that can't be used.")

    def client_config(self) -> dict[str, str]:
        """The librdkafka properties that reach these brokers."""
        config = {"bootstrap.servers": self.brokers, "security.protocol": self.security_protocol}
        if self.sasl_mechanism:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password,
            }
        if self.ssl_ca_file:
            config["ssl.ca.location"] = self.ssl_ca_file
        return config


def load(section: type[Section], environ: Mapping[str, str] | None = None) -> Section:
    """Read one section. Raises SettingsError that names the variable, what it held and what it should hold."""
    environ = os.environ if environ is None else environ
    name: str = section.SECTION  # type: ignore[attr-defined]
    prefix = f"{PREFIX}{name.upper()}_"
    fields = {field.name: field for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(section)
    values: dict[str, Any] = {}
    for key, raw in _file_section(environ, name).items():
        where = f"[{name}] {key} in {environ[CONFIG_VARIABLE]}"
        if key not in fields:
            raise SettingsError(f"unknown setting {where}{_suggest(key, fields)}")
        values[key] = _convert(raw, hints[key], where)
    for variable, raw in environ.items():
        if variable.startswith(prefix):
            key = variable[len(prefix) :].lower()
            if key not in fields:
                raise SettingsError(f"unknown setting {variable}{_suggest(key, fields, prefix)}")
            values[key] = _convert(raw, hints[key], variable)
    for key, field in fields.items():
        if key not in values and field.default is dataclasses.MISSING:
            raise SettingsError(f"{prefix}{key.upper()} is not set: {field.metadata['doc']}")
    return section(**values)


def _file_section(environ: Mapping[str, str], name: str) -> Mapping[str, Any]:
    path = environ.get(CONFIG_VARIABLE)
    if not path:
        return {}
    try:
        table = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"{CONFIG_VARIABLE}={path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{CONFIG_VARIABLE}={path} is not valid TOML: {error}") from error
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise SettingsError(f"[{name}] in {path} must be a table of settings")
    return section


def _suggest(key: str, fields: Mapping[str, Any], prefix: str = "") -> str:
    close = difflib.get_close_matches(key, fields, n=1)
    if close:
        return f"; did you mean {prefix}{close[0].upper() if prefix else close[0]}?"
    return f"; known are {', '.join(sorted(fields))}"


def _convert(raw: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):  # `int | None`: an empty text means None
        if raw == "":
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        items = raw if isinstance(raw, list) else str(raw).split(",")
        return tuple(str(item).strip() for item in items if str(item).strip())
    if hint is bool:
        text = str(raw).lower()
        if text in _TRUE | _FALSE:
            return text in _TRUE
        raise SettingsError(f"{where}={raw!r} is not a switch: use true or false")
    if hint in (int, float):
        try:
            return hint(raw)
        except (TypeError, ValueError) as error:
            kind = "whole number" if hint is int else "number"
            raise SettingsError(f"{where}={raw!r} is not a {kind}") from error
    if not isinstance(raw, str):
        raise SettingsError(f"{where}={raw!r} must be text")
    return raw
