"""The dashboards as Grafana reads them: panels, what each asks, and the macros that its ClickHouse data source expands.

The expansions are those of the plugin's pkg/macros (`$__conditionalAll` is its front end's).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutations.mutation import ROOT

FOLDER = Path(ROOT) / "deploy" / "grafana"
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))
}


@dataclass(frozen=True, slots=True)
class View:
    """What a person looks at."""

    since: int
    """Seconds since the epoch, as `until`."""
    until: int
    interval_seconds: int = 3600
    variables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Name → chosen values; a variable that is missing shows all."""


def panels(dashboard: str) -> Iterator[dict[str, Any]]:
    yield from DASHBOARDS[dashboard]["panels"]


def statements() -> Iterator[tuple[str, str, bool, str]]:
    """Dashboard, title of the panel, whether it is a time series, SQL."""
    for name in DASHBOARDS:
        for panel in panels(name):
            for target in panel["targets"]:
                if "rawSql" in target:
                    yield name, panel["title"], target["format"] == 0, target["rawSql"]


def expressions() -> Iterator[tuple[str, str, str, str]]:
    """Dashboard, title of the panel, PromQL, legend."""
    for name in DASHBOARDS:
        for panel in panels(name):
            for target in panel["targets"]:
                if "expr" in target:
                    yield name, panel["title"], target["expr"], target["legendFormat"]


def expand(query: str, view: View) -> str:
    def conditional(condition: str, variable: str) -> str:
        return condition if view.variables.get(variable.removeprefix("$")) else "1=1"

    def quoted(match: re.Match[str]) -> str:
        return ",".join("'" + value.replace("'", "''") + "'" for value in view.variables[match[1]])

    query = _macro(query, "conditionalAll", lambda inside: conditional(*map(str.strip, inside.rsplit(",", 1))))
    query = re.sub(r"\$\{(\w+):sqlstring\}", quoted, query)
    query = _macro(
        query,
        "timeFilter",
        lambda column: f"{column} >= toDateTime({view.since}) AND {column} <= toDateTime({view.until})",
    )
    query = _macro(
        query,
        "timeInterval",
        lambda column: f"toStartOfInterval(toDateTime({column}), INTERVAL {view.interval_seconds} second)",
    )
    assert not re.search(r"\$[{_a-z]", query), query
    return query


def _macro(query: str, name: str, replace: Callable[[str], str]) -> str:
    """`$__name(…)` with what stands between its brackets replaced."""
    while (at := query.find(f"$__{name}(")) >= 0:
        begin = end = at + len(f"$__{name}(")
        depth = 1
        while depth:
            depth += {"(": 1, ")": -1}.get(query[end], 0)
            end += 1
        query = query[:at] + replace(query[begin : end - 1]) + query[end:]
    return query
