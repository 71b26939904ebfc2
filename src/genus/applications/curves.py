"""What happened in a training, as curves over its time: scores, losses, gradients, step sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.applications.picture import Picture, plain_text
from genus.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[dict[str, Any]]

BINS = 150
"""A curve of more points is shown by means and ranges over so many equal parts of the time."""
ACROSS = 3
"""Panels side by side."""
TOGETHER: dict[str, tuple[str, ...]] = {
    "loss": ("loss",),
    "nats of an example": ("nats", "objective"),
    "critic's score": ("real", "fake"),
    "spread of the score": ("real_std", "fake_std"),
    "critic right": ("accuracy",),
    "penalties": ("r1", "r2"),
    "norm of the gradient": ("norm",),
    "step size": ("lr",),
    "valid: nats/dim": ("nats_per_dim", "nats_per_dim_low", "nats_per_dim_high"),
    "valid: Frechet distance": ("frechet_distance", "frechet_floor"),
    "valid: spread, real data 1": ("feature_spread", "distinct", "sample_spread"),
}
"""Quantities that share a panel, by its title; any other has one of its own."""
LOGARITHMIC = ("norm of the gradient", "valid: Frechet distance")
"""Panels of what varies by factors, wherever it is above zero."""
BEGINNING = 0.03
"""Share of the time that does not count for the range of a long curve, which it would flatten."""
NO_CURVE = ("kind", "step", "elapsed", "rows", "latents", "k", "restart", "iteration")
"""What a line of the journal has beside its quantities."""
EVENTS = {"rollback": "tab:red", "end": "black", "warning": "tab:gray"}
"""Kinds of lines that are moments, and the colours in which all panels show them."""


@dataclass
class Panel:
    """Curves that share their axes: points ``(seconds, value)`` by name."""

    title: str
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def plot_curves(folder: Path | str) -> Picture:
    """Draw everything that a run has written down about its training, over the seconds of training.

    Scores on valid come first (for adversarial models the Frechet distance in random features with
    its floor), then what every step of the training told: losses, the critic's scores of real and
    generated examples, penalties, norms of gradients, step sizes and whatever else the model tells.
    Vertical lines are rollbacks (red), the moment when a run was given up (black) and warnings
    (grey).

    Args:
        folder: of the run; one that is still going is shown as far as it has come.

    Raises:
        ConfigError: nothing has been written down, as by models that are fitted in closed form.
        CheckpointError: there is no run.

    Returns:
        The picture. Its facts: ``seconds`` of training, ``panels``, the last value of each score
        on valid by its name, and how many ``rollbacks``, ``warnings`` and values that are
        ``not_finite`` there are.
    """
    from genus.training.run_folder import RunFolder

    run = RunFolder(Path(folder))
    title, lines = f"{run.read_config().model}, {Path(folder).name}", run.read_metrics()
    shown = panels(lines)
    if not shown:
        raise ConfigError(
            f"{folder} has no curves: its journal holds {len(lines)} lines and no two of a kind; "
            "models that are fitted in closed form have none, others need some more steps"
        )
    end = max(float(line["elapsed"]) for line in lines)
    marks = [
        (float(line["elapsed"]), EVENTS[line["kind"]]) for line in lines if line["kind"] in EVENTS
    ]
    return Picture("curves", _figure(shown, end, marks, title), _facts(lines, shown, end))


def panels(lines: Lines) -> list[Panel]:
    """Return the panels of a journal: scores on valid first, then in the order of the lines.

    Example:
        >>> line = {"kind": "train", "step": 1, "elapsed": 0.5, "bound/loss": 2.0, "bound/kl": 0.1}
        >>> [panel.title for panel in panels([line, {**line, "elapsed": 1.0}])]
        ['loss', 'kl']
    """
    found: dict[str, Panel] = {}
    for line in sorted(lines, key=lambda each: each["kind"] != "valid"):
        if line["kind"] in EVENTS:
            continue
        for key, value in line.items():
            if key in NO_CURVE or not (isinstance(value, int | float) or _lost(value)):
                continue
            title = _title(line["kind"], key)
            name = key.replace("/", " ").replace("_", " ")
            curve = found.setdefault(title, Panel(title)).curves.setdefault(name, [])
            curve.append((float(line["elapsed"]), math.nan if _lost(value) else float(value)))
    for panel in found.values():
        panel.curves = {name: points for name, points in panel.curves.items() if len(points) > 1}
    return [panel for panel in found.values() if panel.curves]


def _lost(value: Any) -> bool:
    """Whether a value was not finite, of which JSON holds the name."""
    return isinstance(value, str) and value.lstrip("-") in ("NaN", "Infinity")


def _title(kind: str, key: str) -> str:
    """Return the title of the panel that a quantity belongs to."""
    quantity = key.rpartition("/")[2]
    for title, members in TOGETHER.items():
        if quantity in members and title.startswith("valid") == (kind == "valid"):
            return title
    return ("valid: " if kind == "valid" else "") + quantity.replace("_", " ")


def _facts(lines: Lines, shown: list[Panel], end: float) -> dict[str, Any]:
    last = [line for line in lines if line["kind"] == "valid"][-1:]
    count = [line["kind"] for line in lines].count
    return {
        "seconds": end,
        "panels": [panel.title for panel in shown],
        **{key: value for line in last for key, value in line.items() if key not in NO_CURVE},
        "rollbacks": count("rollback"),
        "warnings": count("warning"),
        "not_finite": sum(_lost(value) for line in lines for value in line.values()),
    }


def _figure(shown: list[Panel], end: float, marks: list[tuple[float, str]], title: str) -> Figure:
    from matplotlib.figure import Figure

    down = math.ceil(len(shown) / ACROSS)
    across = min(ACROSS, len(shown))
    figure = Figure(figsize=(3.5 * across, 2.3 * down + 0.3), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).flatten()
    scale, unit = _unit(end)
    for panel, axis in zip(shown, axes, strict=False):
        _draw(axis, panel, scale, end)
        for seconds, colour in marks:
            axis.axvline(seconds / scale, color=colour, linewidth=0.8, linestyle=":")
        axis.set_xlim(0, end / scale)
    for axis in axes[len(shown) - across : len(shown)]:
        axis.set_xlabel(f"{unit} of training", fontsize=8)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    figure.suptitle(plain_text(title), fontsize=9)
    return figure


def _draw(axis: Axes, panel: Panel, scale: float, end: float) -> None:
    """Draw one panel: means as lines, the range that they are means of behind them."""
    counted = []
    for index, (name, points) in enumerate(panel.curves.items()):
        colour = f"C{index % 10}"
        times, means, lows, highs = binned(points)
        shown = [seconds / scale for seconds in times]
        axis.plot(shown, means, color=colour, linewidth=1.1, label=plain_text(name))
        if len(points) > BINS:
            axis.fill_between(shown, lows, highs, color=colour, alpha=0.18, linewidth=0)
        first = BEGINNING * end if len(points) > BINS else 0.0
        later = zip(times, lows, highs, strict=True)
        counted += [y for time, *ends in later if time >= first for y in ends if math.isfinite(y)]
    _set_range(axis, counted, panel.title in LOGARITHMIC)
    axis.set_title(plain_text(panel.title), fontsize=8)
    axis.tick_params(labelsize=7, which="both")
    if len(panel.curves) > 1:
        axis.legend(fontsize=6, frameon=False)


def _set_range(axis: Axes, values: list[float], logarithmic: bool) -> None:
    """Set the range of an axis to that of values, with a margin."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if logarithmic and low > 0:
        axis.set_yscale("log")
        axis.set_ylim(low / 1.1, high * 1.1)
    else:
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        axis.set_ylim(low - margin, high + margin)


def binned(
    points: Sequence[tuple[float, float]], bins: int = BINS
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return times, means, least and greatest values over equal parts of the time.

    Points that are not more than the parts are left as they are; values that are not finite count
    where a part has no others.

    Example:
        >>> binned([(0.0, 1.0), (1.0, 3.0), (9.0, 5.0), (10.0, 7.0)], bins=2)
        ([0.5, 9.5], [2.0, 6.0], [1.0, 5.0], [3.0, 7.0])
    """
    if len(points) <= bins:
        times, values = [x for x, _ in points], [y for _, y in points]
        return times, values, values, values
    first, width = points[0][0], max(points[-1][0] - points[0][0], 1e-9)
    parts: dict[int, list[tuple[float, float]]] = {}
    for x, y in points:
        parts.setdefault(min(bins - 1, int(bins * (x - first) / width)), []).append((x, y))
    found = []
    for part in parts.values():
        finite = [y for _, y in part if math.isfinite(y)] or [math.nan]
        time = sum(x for x, _ in part) / len(part)
        found.append((time, sum(finite) / len(finite), min(finite), max(finite)))
    times, means, lows, highs = (list(column) for column in zip(*found, strict=True))
    return times, means, lows, highs


def _unit(seconds: float) -> tuple[float, str]:
    """Return the seconds of the unit of time that suits a training, and its name."""
    if seconds < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")
