"""Pictures of the dashboards' panels that ask ClickHouse, drawn from their own SQL over six hours of a simulated fleet.

    .venv/bin/python -m pip install '.[pictures]'
    .venv/bin/python -m tests.deploy.panel_pictures docs/images

Grafana draws them in its own way; what is drawn is the same.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import math
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.dates
import matplotlib.pyplot as plt
from clickhouse_connect.driver.client import Client
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import migrate
from postwatch.deploy.simulator.simulation import Simulation
from postwatch.streams.clickhouse.client import connect

from tests.deploy.grafana import DASHBOARDS, View, expand, panels
from tests.drill.fleet import _joined, fill

HOURS, INTERVAL_SECONDS, SEED, SERVERS = 6, 300, 7, 8
MESSAGES_AN_HOUR = 3_000
SHOWN_ROWS = 12
SHORT_SECONDS = 60
"""Below this a time has its seconds."""
COLUMN_CHARACTERS = 10
"""Of the legend, in a column of the dashboard."""


Answer = tuple[Sequence[str], list[tuple[Any, ...]]]
"""Names of the columns, and rows."""
Ask = Callable[[dict[str, Any]], Answer | None]
"""The answer to a panel's own question; None: it asks something else."""


def _arrivals(now_ms: int) -> Iterator[int]:
    chance = random.Random(SEED)
    at = now_ms - (HOURS + 1) * 3_600_000.0
    while at < now_ms:
        yield int(at)
        at += chance.expovariate(MESSAGES_AN_HOUR * (0.7 + 0.5 * chance.random())) * 3_600_000


def _fill(client: Client, now_ms: int) -> None:
    simulation = Simulation(SEED, SERVERS, 2, None)
    lines: dict[str, list[str]] = {}
    for line in simulation.lines(_arrivals(now_ms), now_ms):
        lines.setdefault(line.server, []).append(line.text)
    domains = simulation.provider.domains()
    for number, (server, texts) in enumerate(sorted(lines.items())):
        fill(client, _joined(server, texts, domains, now_ms))
        silent, lag, version = (400, 0, "0.1.0") if number == 3 else (7, 9_000_000 * (number == 5), "0.2.0")
        client.command(
            "INSERT INTO servers (server, sent_at, last_line_at, lag_bytes, files, shipper_version) SELECT "
            f"'{server}', now64(3) - INTERVAL {silent} SECOND, now64(3) - INTERVAL {silent + 2} SECOND, {lag}, 2, "
            f"'{version}'"
        )


def _shown(value: Any, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value if len(value) < 34 else value[:32] + "…"
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        return (
            f"{value / 3600:.1f} h" if value >= 3600 else f"{value / 60:.1f} min" if value >= 60 else f"{value:.3g} s"
        )
    if unit == "bytes":
        return (
            f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB" if value >= 1e3 else f"{value:.0f} B"
        )
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.2f}"


def _property(panel: dict[str, Any], name: str, of: str) -> Any:
    """What the panel overrides for a column or series of that name."""
    for one in panel["fieldConfig"]["overrides"]:
        wanted = one["matcher"]["options"]
        is_it = re.search(wanted.strip("/"), name) if wanted.startswith("/") else wanted == name
        for each in one["properties"]:
            if is_it and each["id"] == of:
                return each["value"]
    return None


def _color(panel: dict[str, Any], name: str) -> str | None:
    color = _property(panel, name, "color")
    return str(color["fixedColor"]).replace("-", "") if color else None


def _with_gaps(line: dict[Any, float], step_seconds: float) -> tuple[list[Any], list[float]]:
    """Times and values, with no value where steps are missing: nothing is drawn there."""
    times, values = list(line), list(line.values())
    gaps = [
        number
        for number, (one, next_one) in enumerate(itertools.pairwise(times), 1)
        if (next_one - one).total_seconds() > 1.5 * step_seconds
    ]
    for number in reversed(gaps):
        times.insert(number, times[number])
        values.insert(number, math.nan)
    return times, values


def _series(axes: Any, panel: dict[str, Any], answer: Answer, view: View) -> None:
    step_seconds = view.interval_seconds
    names, rows = answer
    lines: dict[str, dict[Any, float]] = {}
    for at, *rest in rows:
        words = [one for one in rest if isinstance(one, str)]
        for name, value in zip(names[1:], rest, strict=True):
            if not isinstance(value, str):
                lines.setdefault(" ".join(words) or name, {})[at] = value
    times = sorted({at for line in lines.values() for at in line})
    ordered = sorted(lines.items(), key=lambda one: -sum(one[1].values()))
    if "stacking" in panel["fieldConfig"]["defaults"]["custom"]:
        bottom = [0.0] * len(times)
        for name, line in ordered:
            values = [line.get(at, 0.0) for at in times]
            axes.bar(times, values, step_seconds / 86_400 * 0.9, bottom, label=name, color=_color(panel, name))
            bottom = [low + high for low, high in zip(bottom, values, strict=True)]
    else:
        for name, line in ordered:
            axes.plot(*_with_gaps(line, step_seconds), label=name, linewidth=1)
    dates: Any = matplotlib.dates  # typed in part
    is_short = step_seconds < SHORT_SECONDS
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=7 if is_short else 12))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S" if is_short else "%H:%M"))
    since, until = (datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (view.since, view.until))
    axes.set_xlim(since, until)
    axes.spines[["top", "right"]].set_visible(False)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.yaxis.set_major_formatter(lambda value, _place: _shown(value, unit))
    axes.set_ylim(bottom=0)
    if lines:
        columns = max(1, panel["gridPos"]["w"] * COLUMN_CHARACTERS // (max(map(len, lines)) + 6))
        axes.legend(fontsize=6.5, ncols=columns, loc="upper left", bbox_to_anchor=(-0.02, -0.07), frameon=False)


def _table(axes: Any, panel: dict[str, Any], answer: Answer) -> None:
    names, rows = answer
    cells = [
        [_shown(value, _property(panel, name, "unit") or "") for name, value in zip(names, row, strict=True)]
        for row in rows[:SHOWN_ROWS]
    ]
    labels = [_property(panel, name, "displayName") or name.replace("_", " ") for name in names]
    axes.axis("off")
    height = min(1.0, (len(cells) + 1) * 0.077)
    table = axes.table(cells, colLabels=labels, cellLoc="left", colLoc="left", bbox=[0, 1 - height, 1, height])
    table.auto_set_font_size(False)
    table.set_fontsize(7.5)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.3)


def _draw(axes: Any, panel: dict[str, Any], answer: Answer, view: View) -> None:
    _, rows = answer
    axes.set_title(panel["title"], fontsize=9, loc="left", fontweight="bold")
    axes.tick_params(labelsize=7)
    match panel["type"]:
        case "stat":
            axes.axis("off")
            text = _shown(rows[0][0], panel["fieldConfig"]["defaults"]["unit"]) if rows else "none"
            axes.text(0.0, 0.5, text, fontsize=20, color="#2a7a3f", va="center")
        case "table":
            _table(axes, panel, answer)
        case "barchart":
            axes.barh([name for name, _ in reversed(rows)], [value for _, value in reversed(rows)], color="#3b78b8")
            axes.spines[["top", "right"]].set_visible(False)
        case _:
            _series(axes, panel, answer, view)


def draw(dashboard: str, ask: Ask, view: View, path: Path) -> None:
    """All panels that have an answer, where the dashboard has them."""
    drawn = [(panel, answer) for panel in panels(dashboard) if (answer := ask(panel)) is not None]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in drawn)
    figure = plt.figure(figsize=(15, height * 0.42))
    for panel, answer in drawn:
        at = panel["gridPos"]
        below = 1.8 if panel["type"] == "timeseries" else 0.8  # the legend's
        left = at["x"] + (2.6 if panel["type"] == "barchart" else 0.7)
        axes = figure.add_axes(
            (
                left / 24,
                1 - (at["y"] + at["h"] - below) / height,
                (at["x"] + at["w"] - left - 0.3) / 24,
                (at["h"] - below - 0.9) / height,
            )
        )
        _draw(axes, panel, answer, view)
    figure.suptitle(DASHBOARDS[dashboard]["title"], x=0.028, y=1.015, ha="left", fontsize=13, fontweight="bold")
    figure.savefig(path, dpi=80, bbox_inches="tight")
    plt.close(figure)


def _ask(client: Client, view: View) -> Ask:
    def ask(panel: dict[str, Any]) -> Answer | None:
        if "rawSql" not in panel["targets"][0]:
            return None
        answer = client.query(expand(panel["targets"][0]["rawSql"], view))
        return answer.column_names, [tuple(row) for row in answer.result_rows]

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    mpl.use("agg")
    with tempfile.TemporaryDirectory() as data:
        engine = EmbeddedClickHouse(Path(data))
        engine.start()
        try:
            migrate(connect(engine.settings, database=""), engine.settings)
            client = connect(engine.settings)
            now_ms = time.time_ns() // 1_000_000
            _fill(client, now_ms)
            view = View(now_ms // 1000 - HOURS * 3600, now_ms // 1000, INTERVAL_SECONDS)
            for name in itertools.filterfalse("pipeline".__eq__, DASHBOARDS):
                draw(name, _ask(client, view), view, folder / f"dashboard-{name}.png")
        finally:
            engine.kill()


if __name__ == "__main__":
    main()
