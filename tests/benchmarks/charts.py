"""Bars of figures, as SVG, for the docs. Matplotlib is an extra (`pictures`): imported when a picture is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def draw_bars(path: Path, title: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]]) -> None:
    """For each name one bar of each series, from the top down, with its value."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "postwatch"
    import matplotlib.pyplot as plt

    height = 0.8 / max(len(series), 1)
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.28 * len(names) * max(len(series), 1)))
    for number, (label, values) in enumerate(series):
        places = [place + number * height for place in range(len(names))]
        bars = axes.barh(places, list(values), height, label=label)
        axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    axes.set_yticks([place + height * (len(series) - 1) / 2 for place in range(len(names))], list(names), fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(title, fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(series) > 1:
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
