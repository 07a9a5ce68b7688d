"""Curves over time, such as what every part held in memory, as an SVG. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 950, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 200, 20, 40
_COLOURS = (
    "#1f77b4",
    "#d62728",
    "#2ca02c",
    "#9467bd",
    "#ff7f0e",
    "#8c564b",
    "#e377c2",
    "#17becf",
    "#7f7f7f",
    "#bcbd22",
)


def draw(samples: Mapping[str, Sequence[tuple[float, float]]], unit: str) -> str:
    """Name → (seconds, value) in the order of time."""
    most = max((value for series in samples.values() for _, value in series), default=1.0) * 1.05
    end = max((at for series in samples.values() for at, _ in series), default=1.0) or 1.0

    def x(at: float) -> float:
        return _LEFT + at / end * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - value / most * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for step in range(6):
        value = most * step / 5
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
        )
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
        at = end * step / 5
        parts.append(f'<text x="{x(at):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{at / 60:.0f}</text>')
    parts.append(f'<text x="{_LEFT}" y="14" fill="#444">{escape(unit)}</text>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}" text-anchor="end" fill="#444">minutes</text>')
    for number, (name, series) in enumerate(sorted(samples.items())):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in series)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        line = _TOP + 16 * number
        parts.append(f'<rect x="{WIDTH - _RIGHT + 12}" y="{line}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - _RIGHT + 28}" y="{line + 10}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
