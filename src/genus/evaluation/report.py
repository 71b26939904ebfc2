"""The page of a comparison: one file, no network, light and dark, phone and desk."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from torch import Tensor

from genus.evaluation.audit_page import audit_section
from genus.evaluation.column import Column
from genus.evaluation.curves import Points, chart, legend
from genus.evaluation.learned import learned_section
from genus.evaluation.outcome import COPIES, REAL, Comparison, Row
from genus.evaluation.pictures import Plane, data_uri, grid_png
from genus.evaluation.ranking import ranks
from genus.evaluation.reconstruction import in_turn
from genus.evaluation.storage import for_pictures
from genus.evaluation.style import STYLE
from genus.evaluation.table import columns, remarks

_BLOCKS = {"likelihood": "Likelihood", "samples": "Samples", "cost": "Cost"}


def report(comparison: Comparison) -> str:
    """Return the comparison as a self-contained HTML page."""
    data = comparison.data
    title = f"Generative models compared on {data.name}"
    sections = [
        _introduction(comparison, title),
        _table(comparison),
        _remarks(comparison),
        _pictures(comparison),
        _restored(comparison),
        learned_section(comparison),
        audit_section(comparison),
        _curves(comparison),
        _reading(comparison),
        _provenance(comparison),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def _introduction(comparison: Comparison, title: str) -> str:
    data, settings = comparison.data, comparison.settings
    often = "" if settings.seeds == 1 else f", {settings.seeds} times by different seeds,"
    return (
        f"<h1>{escape(title)}</h1>\n"
        f"<p>Each model had {settings.time_budget:g} s of training{often} and is judged on the "
        f"same {data.examples:,} examples of the {escape(data.split)} split, which it has not "
        f"seen. {escape(comparison.description)}</p>"
    )


def _table(comparison: Comparison) -> str:
    every = columns(comparison)
    spans = []
    for block, name in _BLOCKS.items():
        width = sum(column.block == block for column in every)
        if not width:
            continue
        spans.append(f'<th colspan="{width}" scope="colgroup" class="first">{name}</th>')
    marks = [
        "first" if i == 0 or every[i - 1].block != c.block else "" for i, c in enumerate(every)
    ]
    heads = "".join(
        f'<th scope="col" class="{mark}">{escape(column.title)}<small>{escape(column.note)}'
        "</small></th>"
        for column, mark in zip(every, marks, strict=True)
    )
    order = [ranks(column, comparison.rows) for column in every]
    rows = "\n".join(_row(row, every, marks, order) for row in comparison.rows)
    floors = (
        f" Every figure on samples is of {comparison.samples} of them; under its title stands what "
        f"equally many real examples ({escape(comparison.real_source)}) get, which no honest model "
        "beats but by chance."
        if comparison.samples
        else ""
    )
    runs = ", in which is how much training runs differ" if comparison.settings.seeds > 1 else ""
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Table of results"><table>\n'
        f'<thead><tr><td></td>{"".join(spans)}</tr>\n<tr><th scope="col">model</th>{heads}</tr>'
        f"</thead>\n<tbody>\n{rows}\n</tbody></table></div>\n"
        f'<p class="fine">± is one standard error{runs}. Small figures are ranks: models whose '
        "figures are within two standard errors of their difference share one; the best are bold."
        f"{floors}</p>"
    )


def _row(row: Row, every: list[Column], marks: list[str], order: list[dict[str, int]]) -> str:
    head = f'<th scope="row">{escape(row.label)}</th>'
    if row.evaluation is None:
        reason = escape(row.reason or "no result")
        cells = f'<td class="first reason" colspan="{len(every)}">{reason}</td>'
    else:
        cells = "".join(
            f'<td class="{mark}{" words" if column.words else ""}">'
            f"{_ranked(column.text(row), found.get(row.label))}</td>"
            for column, mark, found in zip(every, marks, order, strict=True)
        )
    return f'<tr class="{row.kind}">{head}{cells}</tr>'


def _ranked(text: str, rank: int | None) -> str:
    """Return a cell with its rank; what cannot be told from the best is bold."""
    if rank is None:
        return escape(text)
    text = f"<b>{escape(text)}</b>" if rank == 1 else escape(text)
    return f'{text}<sup title="rank {rank}">{rank}</sup>'


def _remarks(comparison: Comparison) -> str:
    reasons = {f"{row.label}: {row.reason}" for row in comparison.rows}  # the table has them
    lines = [line for line in remarks(comparison) if line not in reasons]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="remarks">{items}</ul>' if lines else ""


def _pictures(comparison: Comparison) -> str:
    runs = [pair for row in comparison.rows for pair in row.runs.items()]
    shown = [(label, found.drawn) for label, found in runs]
    figures = {label: for_pictures(x) for label, x in shown if x is not None and len(x)}
    if not figures:
        return ""
    # Real data first: the eye needs something to compare with.
    order = [name for name in (REAL, *figures) if name in figures]
    draw = _painter(comparison)
    items = "\n".join(
        f"<figure>{draw(figures[label], label)}<figcaption>{escape(label)}</figcaption></figure>"
        for label in dict.fromkeys(order)
    )
    words = (
        "The first samples that each model drew; none was picked."
        if comparison.spec.is_image
        else "The first samples of each model over held-out examples, on two axes"
        + (" (principal components)." if comparison.spec.dims > 2 else ".")
    )
    return f'<h2>Samples</h2>\n<p>{words}</p>\n<div class="grids">\n{items}\n</div>'


def _painter(comparison: Comparison) -> Callable[[Tensor, str], str]:
    """Return what makes a picture of samples: a grid of images or a cloud of points."""
    if not comparison.spec.is_image:
        assert comparison.reference is not None
        plane = Plane(comparison.reference)
        return lambda x, label: plane.svg(x, f"Samples: {label}")

    def image(x: Tensor, label: str) -> str:
        side = 8 if max(comparison.spec.shape[1:]) <= 32 else 5  # the page must stay small
        uri = data_uri(grid_png(x[: side * side], comparison.spec, side))
        return f'<img alt="Samples: {escape(label)}" src="{uri}"/>'

    return image


def _restored(comparison: Comparison) -> str:
    """Show held-out examples above their reconstructions, for the models that have them."""
    figures = []
    for row in comparison.rows:
        if row.evaluation is None or row.evaluation.restored is None:  # of the first seed
            continue
        pairs, name = row.evaluation.restored, escape(row.label)
        columns = min(8 if max(comparison.spec.shape[1:]) <= 32 else 4, pairs.shape[1])
        most = min(4, pairs.shape[1] // columns) * columns
        uri = data_uri(grid_png(in_turn(pairs[:, :most], columns), comparison.spec, columns))
        figures.append(
            f'<figure><img alt="Reconstructions: {name}" src="{uri}"/>'
            f"<figcaption>{name}</figcaption></figure>"
        )
    if not figures:
        return ""
    return (
        "<h2>Reconstructions</h2>\n<p>Held-out examples, and under each row what is left of them "
        "when only their latents are known (the mean of the law of the entries); none was picked. "
        f'</p>\n<div class="grids">\n{"".join(figures)}\n</div>'
    )


def _curves(comparison: Comparison) -> str:
    discrete = comparison.spec.is_discrete
    entry = "dim" if comparison.data.known is None else "known entry"
    unit, factor = (f"bits/{entry}", 1 / math.log(2))
    if not discrete:
        unit, factor = f"nats/{entry}, negative", 1.0
    scores: dict[str, list[Points]] = {}
    distances: dict[str, list[Points]] = {}
    charts = []
    for row in comparison.rows:
        if found := row.curves_of("valid"):
            scores[row.label] = [[(x, y * factor) for x, y in points] for points in found]
        if found := row.curves_of("distance"):
            distances[row.label] = found
        players = {name: row.curves_of(name) for name in row.curves if "/" in name}
        losses = {name: found for name, found in players.items() if found}
        if losses:
            charts.append(_chart(losses, f"Losses of {row.label}", "loss"))
    if distances:
        words = "Distance of samples from the valid split, random features"
        charts.insert(0, _chart(distances, words, "FD"))
    if scores:
        charts.insert(0, _chart(scores, "Likelihood on the valid split (bounds as bounds)", unit))
    if not charts:
        return ""
    several = any(row.repeated_curves for row in comparison.rows)
    seeds = " The thin lines are the other training seeds." if several else ""
    return (
        "<h2>Training</h2>\n<p>Lower is better for a likelihood and for a distance. The losses of "
        f"two players that work against each other say little about quality.{seeds}</p>\n"
        f"{''.join(charts)}"
    )


def _chart(series: dict[str, list[Points]], title: str, unit: str) -> str:
    return (
        f"<figure class='chart'><figcaption>{escape(title)}</figcaption>"
        f"{chart(series, title=title, unit=unit)}{legend(list(series))}</figure>"
    )


def _reading(comparison: Comparison) -> str:
    items = "\n".join(
        f"<dt>{escape(column.title)}</dt><dd>{escape(column.reading)}</dd>"
        for column in columns(comparison)
    )
    controls = (
        f"<dt>{REAL}, {COPIES}</dt><dd>Two rows are no models. Real data that no feature network "
        "has seen stand in for a perfect model; copies of training examples stand in for one that "
        "cheats. A model is as good as its distance to the first row, and nothing that the second "
        "row gets as well is proof of learning.</dd>"
    )
    controls = controls if comparison.samples else ""
    return f"<h2>How to read each column</h2>\n<dl>\n{items}\n{controls}\n</dl>"


def _provenance(comparison: Comparison) -> str:
    data, settings = comparison.data, comparison.settings
    blocks = [row.evaluation.samples for row in comparison.rows if row.evaluation]
    prints = [block.fingerprint for block in blocks if block and block.fingerprint]
    facts = {
        "data": f"{data.name}, {data.split} split, {data.examples:,} examples of {data.dims} dims",
        "digest": data.digest,
        "seed": str(settings.seed),
        "finished": comparison.finished,
        "command": comparison.command or "genus.compare(...) from Python",
        **{
            f"FD[{f.name}]": f"{f.description}; weights {f.fingerprint}"
            for f in comparison.features
        },
        **({"sample figures": f"fingerprint {prints[0]}"} if prints else {}),
        **{key: str(value) for key, value in comparison.environment.items()},
    }
    items = "\n".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>'
        for key, value in facts.items()
    )
    return (
        f'<h2>Where this comes from</h2>\n<table class="facts"><tbody>\n{items}\n</tbody></table>'
    )
