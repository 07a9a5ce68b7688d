"""The page of all settings, deploy/SETTINGS.md, written from the sections themselves.

    python -m postwatch.deploy.settings_page > deploy/SETTINGS.md

A test compares the two, so that no setting stays undocumented.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import CONFIG_VARIABLE, PREFIX
from postwatch.producers.ship_settings import ShipSettings
from postwatch.query.settings import QuerySettings
from postwatch.streams.settings import ClickHouseSettings, JoinSettings, SinkSettings

SECTION_CLASSES: tuple[Any, ...] = (
    KafkaSettings,
    ClickHouseSettings,
    ShipSettings,
    JoinSettings,
    SinkSettings,
    QuerySettings,
)

_HEAD = f"""\
# Settings

Every part reads its settings once, at start: from the environment, or from a TOML file that `{CONFIG_VARIABLE}` names,
where `POSTWATCH_SINK_MAX_ROWS` is `max_rows` under `[sink]`. The environment wins. A name that nobody knows, or a value
of the wrong kind, ends the start with a message that names it; so in Kubernetes set `enableServiceLinks: false`, or it
adds variables of its own. Lists are comma-separated; switches are `true` or `false`.

This page is written by `python -m postwatch.deploy.settings_page`.
"""


def settings_page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *(line for section in SECTION_CLASSES for line in _section(section))])


def _section(section: Any) -> Iterator[str]:
    yield f"## [{section.SECTION}]"
    yield ""
    yield " ".join(section.__doc__.split())
    yield ""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for field in dataclasses.fields(section):
        variable = f"{PREFIX}{section.SECTION.upper()}_{field.name.upper()}"
        yield f"| `{variable}` | {_default(field)} | {field.metadata['doc']} |"
    yield ""


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value is dataclasses.MISSING:
        return "required"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{value}`" if value not in ("", None) else "–"


if __name__ == "__main__":
    print(settings_page(), end="")
