"""Training curves: read from a run's metrics, drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 40
_MOST_POINTS = 150


def training_curves(folder: Path) -> dict[str, Points]:
    """Return the curves of a run, by name; see `genus.evaluation.outcome.Row`."""
    from genus.training.metrics import read_metrics

    lines = read_metrics(folder / "metrics.jsonl")
    valid = _points(lines, "valid", "nats_per_dim")
    if valid:
        return {"valid": valid}
    names = {key for line in lines for key in line if key.endswith("/loss")}
    found = {"distance": _points(lines, "valid", "frechet_distance")}
    found |= {name: _points(lines, "train", name) for name in sorted(names)}
    return {name: points for name, points in found.items() if points}


def _points(lines: list[dict[str, Any]], kind: str, key: str) -> Points:
    pairs = [
        (float(line["elapsed"]), float(line[key]))
        for line in lines
        if line.get("kind") == kind and isinstance(line.get(key), int | float)
    ]
    return pairs[:: max(1, math.ceil(len(pairs) / _MOST_POINTS))]


def chart(series: Mapping[str, Sequence[Points]], *, title: str, unit: str) -> str:
    """Return curves over seconds as one SVG element; colours come from the page's style.

    Args:
        series: by the name in the legend, a curve, and those of other seeds, drawn thin.
        title: for readers that do not see it.
        unit: of the values.

    Example:
        >>> chart({"vae": [[(0.0, 3.0), (1.0, 2.0)]]}, title="Score", unit="bits/dim")[:4]
        '<svg'
    """
    every = [points for curves in series.values() for points in curves]
    low, high = _range(every)
    end = max(x for points in every for x, _ in points) or 1.0

    def place(point: tuple[float, float]) -> str:
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * point[0] / end
        share = (min(point[1], high) - low) / (high - low)
        y = HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share
        return f"{x:.1f},{y:.1f}"

    parts = [_axes(low, high, end, unit)]
    for index, (first, *others) in enumerate(series.values()):
        colour = f"s{index % 8}"
        for points in (*others, first):  # what is meant to be read lies on top
            shown = " ".join(place(p) for p in points if p[1] <= high or p[0] > 0)
            kind = colour if points is first else f"{colour} thin"
            parts.append(f'<polyline class="{kind}" points="{shown}"/>')
        x, y = place(first[-1]).split(",")
        parts.append(f'<circle class="{colour}" cx="{x}" cy="{y}" r="3"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def legend(names: Sequence[str]) -> str:
    """Return the names with the colours of `chart`, as HTML."""
    items = (
        f'<span class="key"><i class="s{index % 8}"></i>{escape(name)}</span>'
        for index, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'


def _range(curves: Sequence[Points]) -> tuple[float, float]:
    """Return the values to show: the first moments of a run are off the scale of what matters."""
    late = [
        value for points in curves for seconds, value in points if seconds >= 0.1 * points[-1][0]
    ]
    low, high = min(late), max(late)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _axes(low: float, high: float, end: float, unit: str) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for tick in _ticks(low, high):
        y = bottom - (bottom - _TOP) * (tick - low) / (high - low)
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(0, end):
        x = _LEFT + (right - _LEFT) * tick / end
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{_LEFT}" y="{HEIGHT - 6}">{escape(unit)}</text>')
    parts.append(f'<text x="{right}" y="{HEIGHT - 6}" text-anchor="end">seconds of training</text>')
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers between two values."""
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]
