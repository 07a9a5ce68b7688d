"""Bars of figures, as SVG, for the docs. Matplotlib is an extra (`pictures`): imported when a picture is wanted."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

_OURS, _OTHERS = "#1f77b4", "#b8bec6"


def picture(path: str) -> Path:
    """The value of `--picture`: that it can't be drawn is told before the runs, and not after an hour of them."""
    found = Path(path)
    if find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("matplotlib is missing; install it with: pip install 'postwatch[pictures]'")
    if not found.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {found.parent}")
    return found


class Panel(NamedTuple):
    """One of several charts in a picture."""

    title: str
    unit: str
    names: Sequence[str]
    series: Sequence[tuple[str, Sequence[float]]]


def draw_bars(
    path: Path,
    title: str,
    names: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    ours: Collection[str] = (),
) -> None:
    """For each name one bar of each series, from the top down, with its value; where some are ours, others are grey."""
    plt = _pyplot()
    height = 0.8 / max(len(series), 1)
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.28 * len(names) * max(len(series), 1)))
    for number, (label, values) in enumerate(series):
        places = [place + number * height for place in range(len(names))]
        colours = [_OURS if name in ours else _OTHERS for name in names] if ours else f"C{number}"
        bars = axes.barh(places, list(values), height, label=label, color=colours)
        axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    axes.set_yticks([place + height * (len(series) - 1) / 2 for place in range(len(names))], list(names), fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(title, fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(series) > 1:
        axes.legend(fontsize=8)
    _save(figure, path)


def draw_stacks(path: Path, title: str, panels: Sequence[Panel], columns: int) -> None:
    """For each name of a panel one bar of all its series, one upon the other, with their sum."""
    plt = _pyplot()
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(2.9 * columns, 2.9 * rows), squeeze=False, sharey="row")
    for axes, panel in zip(grid.flat, panels, strict=False):
        sums = [0.0] * len(panel.names)
        for label, values in panel.series:
            bars = axes.bar(panel.names, list(values), bottom=sums, label=label)
            sums = [below + value for below, value in zip(sums, values, strict=True)]
        axes.bar_label(bars, [f"{total:.3g}" if total < 1000 else f"{total:,.0f}" for total in sums], fontsize=8)
        axes.set_title(panel.title, fontsize=9)
        axes.margins(y=0.12)
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    for row in range(rows):
        grid[row][0].set_ylabel(panels[row * columns].unit, fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="lower center", ncols=len(panels[0].series), fontsize=8)
    _save(figure, path, rect=(0, 0.04, 1, 1))


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "postwatch"
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, path: Path, **layout: Any) -> None:
    figure.tight_layout(**layout)
    figure.savefig(path, metadata={"Date": None})
    _pyplot().close(figure)
