"""The columns of a comparison: their cells in words, and how to read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from genus.evaluation.audit_words import audit_column, audit_lines
from genus.evaluation.column import (
    NONE,
    Column,
    Figure,
    figure_of,
    number,
    with_error,
    within,
)
from genus.evaluation.inception import NAME as INCEPTION
from genus.evaluation.measure import Measure
from genus.evaluation.outcome import Comparison, Row
from genus.evaluation.page_columns import LABEL, LEARNT, page_columns

if TYPE_CHECKING:
    from rich.console import Console


def columns(comparison: Comparison) -> list[Column]:
    """Return the columns of a comparison, in the order of the table."""
    found = _likelihood_columns(comparison)
    for index, feature in enumerate(comparison.features):
        found.append(_frechet_column(comparison, feature.name))
        if index == len(comparison.features) - 1:
            found += [
                _share_column(comparison, name, comparison.features[0].name)
                for name in ("precision", "recall", "density", "coverage")
            ]
    found += (
        [*page_columns(comparison), _copying_column(comparison), audit_column()]
        if comparison.samples
        else []
    )
    return [*found, *_cost_columns(comparison)]


def render(comparison: Comparison, console: Console | None = None) -> None:
    """Print the table: likelihood and cost first, then samples, then what must be said.

    Columns that 80 characters have no room for are on the page of the comparison alone.

    Args:
        comparison: what `genus.evaluation.compare` returns.
        console: where to; stdout when left out.
    """
    from rich.console import Console

    console = console or Console()
    every = [column for column in columns(comparison) if column.terminal]
    data = comparison.data
    console.print(
        f"{data.name}, {data.split} split: {data.examples} examples, digest {_short(data.digest)}",
        highlight=False,
    )
    first = [c for c in every if c.block != "samples"]
    more = {  # 80 columns are full
        "The same samples in Inception features": (f"[{INCEPTION}]",),
        "Samples of given classes": (LABEL, LEARNT),
    }
    apart = {title: [c for c in every if c.title.endswith(end)] for title, end in more.items()}
    taken = [column for found in apart.values() for column in found]
    second = [c for c in every if c.block == "samples" and c not in taken]
    models = [row for row in comparison.rows if row.kind == "model"]
    console.print(_table("Likelihood and cost", first, models, console.width))
    if second:
        title = f"Samples: {comparison.samples} of each, against held-out data"
        console.print(_table(title, second, list(comparison.rows), console.width))
        for title, found in apart.items():
            if found:
                console.print(_table(title, found, list(comparison.rows), console.width))
        for line in audit_lines(comparison):
            console.print(line, highlight=False, markup=False)
    for line in remarks(comparison):
        console.print(line, highlight=False, markup=False)


def remarks(comparison: Comparison) -> list[str]:
    """Return what a reader must know besides the figures, one sentence each."""
    failed = [f"{row.label}: {row.reason}" for row in comparison.rows if row.reason]
    rows = [row for row in comparison.rows if row.evaluation is not None]
    own = [
        f"{row.label}: {note}" for row in rows if row.evaluation for note in row.evaluation.notes
    ]
    return [*failed, *comparison.notes, *own]


def _table(title: str, shown: list[Column], rows: list[Row], width: int) -> object:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Both tables fit 80 columns, the wider one only without room between its columns.
    padding = (0, 1 if width >= 100 else 0, 0, 0)
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=padding, show_edge=False
    )
    table.add_column("model", no_wrap=True)
    for column in shown:
        heading = column.short or f"{column.title}\n{column.note}".strip()
        # As Text, because brackets in a title are not markup.
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for index, row in enumerate(rows):
        last = index + 1 < len(rows) and rows[index + 1].kind != row.kind
        cells = (Text(text) for text in (row.label, *(column.text(row) for column in shown)))
        table.add_row(*cells, end_section=last)
    return table


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:16]


def _likelihood_columns(comparison: Comparison) -> list[Column]:
    discrete, entries = comparison.spec.is_discrete, comparison.data.entries
    nat = 1 / (entries * math.log(2)) if discrete else 1.0  # of an example, in the column's unit

    def bits(row: Row) -> str:
        found = row.evaluation
        assert found is not None
        if found.likelihood.kind == "n/a":
            return "n/a" if row.kind == "model" else NONE
        interval = found.bits_per_dim_interval or found.likelihood.interval
        if interval is not None:
            return within(*interval)
        if found.bits_per_dim is not None:
            return with_error(found.bits_per_dim, found.bits_per_dim_error)
        return with_error(found.likelihood.mean, found.likelihood.standard_error)

    def kind(row: Row) -> str:
        assert row.evaluation is not None
        return row.evaluation.likelihood.label if row.kind == "model" else NONE

    def figure(row: Row) -> Figure | None:
        found = row.evaluation
        if found is None or found.likelihood.kind == "n/a":
            return None
        interval = found.bits_per_dim_interval or found.likelihood.interval
        value, error = found.likelihood.mean, found.likelihood.standard_error
        if found.bits_per_dim is not None:
            value, error = found.bits_per_dim, found.bits_per_dim_error or 0.0
        if interval is None:
            return value, error
        # Of the examples, and of the constant; two errors of that reach to the interval's ends.
        return sum(interval) / 2, math.hypot(error, found.likelihood.constant_error * nat)

    unit = READ_BITS if discrete else READ_NATS
    title, note = ("bits/dim", "less = better") if discrete else ("nats", "more = better")
    if comparison.data.known is not None:
        title = "bits/known" if discrete else "nats, known"
        unit = f"{READ_KNOWN} {unit}"
    return [
        Column(
            title,
            "likelihood",
            bits,
            note,
            unit,
            figure=figure,
            better="less" if discrete else "more",
            unit=nat,
            said=with_error,
        ),
        Column("kind", "likelihood", kind, "", READ_KIND),
    ]


def _frechet_column(comparison: Comparison, name: str) -> Column:
    def measure(row: Row) -> Measure | None:
        block = row.evaluation.samples if row.evaluation else None
        return block.scores[name].frechet if block else None

    def cell(row: Row) -> str:
        found = measure(row)
        return NONE if found is None else with_error(found.value, found.standard_error, 1)

    return Column(
        f"FD[{name}]",
        "samples",
        cell,
        _floor(comparison, measure),
        READ_FRECHET[name],
        figure=lambda row: figure_of(measure(row)),
        better="less",
    )


def _share_column(comparison: Comparison, share: str, net: str) -> Column:
    def measure(row: Row) -> Measure | None:
        block = row.evaluation.samples if row.evaluation else None
        found: Measure | None = getattr(block.scores[net], share) if block else None
        return found

    def cell(row: Row) -> str:
        found = measure(row)
        return NONE if found is None else f"{found.value:.2f}"

    def figure(row: Row) -> Figure | None:
        found, n = measure(row), max(1, comparison.samples)
        if found is None:
            return None
        return found.value, math.sqrt(max(0.0, found.value * (1 - found.value)) / n)

    floor = _floor(comparison, measure, lambda value: f"{value:.2f}")
    short = f"{_SHORT[share]}\nreal\n{floor.removeprefix('real ')}"
    # Of density, which may exceed that of real data, more is not better.
    better: Literal["more"] | None = None if share == "density" else "more"
    return Column(
        share,
        "samples",
        cell,
        floor,
        READ_SHARE[share],
        short,
        figure=figure,
        better=better,
        said=lambda value, error: f"{value:.2f}",
    )


_SHORT = {"precision": "prec.", "recall": "recall", "density": "dens.", "coverage": "cover."}


def _floor(
    comparison: Comparison,
    measure: Callable[[Row], Measure | None],
    words: Callable[[float], str] = lambda value: number(value, 2),
) -> str:
    """Return what real data get, which is the same in every row."""
    floors = [found.floor for row in comparison.rows if (found := measure(row)) is not None]
    return f"real {words(floors[0])}" if floors else ""


def _copying_column(comparison: Comparison) -> Column:
    def figure(row: Row) -> Figure | None:
        block = row.evaluation.samples if row.evaluation else None
        found = block.nearer_to_train if block else None
        return None if found is None else (found.share, found.standard_error)

    def said(share: float, error: float) -> str:
        return f"{share:.2f} ±{error:.2f}"

    blocks = [row.evaluation.samples for row in comparison.rows if row.evaluation]
    nulls = [block.nearer_to_train.null for block in blocks if block is not None]
    fair = f"fair {nulls[0] if nulls else 0.5:.2f}"

    return Column(
        "near train",
        "samples",
        lambda row: NONE if (found := figure(row)) is None else said(*found),
        fair,
        READ_COPYING,
        f"near\ntrain\n{fair}",
        figure=figure,
        said=said,
    )


def _cost_columns(comparison: Comparison) -> list[Column]:
    def parameters(row: Row) -> str:
        found = row.evaluation.cost.parameters if row.evaluation else None
        return NONE if found is None else f"{found:,}"

    def training(row: Row) -> str:
        found = row.evaluation.cost.training_seconds if row.evaluation else None
        return NONE if found is None else f"{found:.1f}"

    def sampling(row: Row) -> str:
        found = row.evaluation.cost.seconds_per_sample if row.evaluation else None
        return NONE if found is None else number(found, 2)

    def seconds(row: Row) -> Figure | None:
        found = row.evaluation.cost.seconds_per_sample if row.evaluation else None
        # A clock of a busy machine tells half from whole, not more.
        return None if found is None else (found, found / 4)

    return [
        Column("parameters", "cost", parameters, "", READ_PARAMETERS),
        Column("training", "cost", training, "seconds", READ_TRAINING),
        Column(
            "sampling",
            "cost",
            sampling,
            "s each",
            READ_SAMPLING,
            figure=seconds,
            better="less",
            said=lambda value, error: number(value, 2),
        ),
    ]


READ_BITS = (
    "How many bits an ideal code made from the model needs for each entry of a held-out example "
    "(each pixel, and each colour of it). It sees everything the model gets wrong about the data, "
    "rare examples most of all, and cannot be cheated by copying the training data. It does not "
    "see how samples look: a fine likelihood goes together with poor samples, and the reverse. "
    "The number after ± is the standard error over held-out examples, and over training runs only "
    "where several were made."
)
READ_KNOWN = (
    "Entries are missing, and the likelihood is that of the known ones, with the others summed or "
    "integrated out; bits are shared out among all known entries of the split."
)
READ_NATS = (
    "Mean log-density of a held-out example, in nats. It compares models on these very data in "
    "these very units: multiplying a column by ten moves every figure by the same amount, so it "
    "must not be set beside bits per dimension or another data set. The number after ± is the "
    "standard error over held-out examples."
)
READ_KIND = (
    "What the likelihood is. Exact: the model's own probability. Lower bound (k): the model is at "
    "least this good; the bound grows with the number k of importance samples, so a gap to an "
    "exact figure may be the bound's as well as the model's. Estimate: known but for a constant "
    "that is bracketed by sampling; the cell is the interval that the bracket leaves. n/a: the "
    "model has no likelihood that could be computed, and none is made up for it."
)
READ_FRECHET = {
    "trained": (
        "Frechet distance between Gaussians fitted to the features of samples and of held-out "
        "data; lower is better. The features come from a small network trained on this training "
        "split, so it sees what matters for telling these data apart: missing kinds, wrong "
        "shapes, blur. It is biased up for few samples: real data get the figure under the title, "
        "and a model within its error of that cannot be told from real data by this measure. It "
        "does not see copying. It compares only with figures of the same network, count and split."
    ),
    "random": (
        "The same distance in the features of a network with fixed random weights. It knows "
        "nothing of classes, so it judges texture, contrast and noise more evenly. Where the two "
        "disagree, look at the pictures."
    ),
    "inception": (
        "Frechet distance in 2,048 features of the Inception network, in their own unit: with its "
        "published weights the Frechet Inception distance (FID) of papers, on these images at this "
        "number of them. The network was trained on photographs, and images are resized to "
        "299x299: of other kinds of image it may see little of what matters. It is biased up for "
        "few samples, more than the others, and papers use 50,000: compare it only at the same "
        "number, with the figure under the title."
    ),
    "values": (
        "Frechet distance between Gaussians fitted to the standardised columns of samples and of "
        "held-out data; lower is better. It sees wrong means, spreads and correlations and nothing "
        "beyond them. It is biased up for few samples: real data get the figure under the title."
    ),
}
READ_SHARE = {
    "precision": (
        "Share of samples that lie among the held-out data (inside the ball around some example "
        "that reaches its 5th neighbour). High: samples look real. It does not see missing kinds, "
        "and a model that repeats one good sample gets 1. Real data do not get 1 either."
    ),
    "recall": (
        "Share of held-out examples that lie among the samples. Low: some of the data are never "
        "drawn. It is fooled by a few wild samples, whose balls are huge."
    ),
    "density": (
        "Like precision, but it counts in how many balls a sample lies: 1 for a perfect model. "
        "Above 1 the samples crowd where data are common, which blur and low variety do too."
    ),
    "coverage": (
        "Share of held-out examples that have a sample in their ball; 0.97 for a perfect model. "
        "The most dependable of the four on variety, as outliers among the samples do not help."
    ),
}
READ_COPYING = (
    "Share of samples whose nearest example is in the training data rather than among equally "
    "many held-out examples, pixel by pixel. One half is fair, whether the samples are sharp, "
    "blurred or noisy, and more than that where the splits themselves differ; well above it, the "
    "model repeats its training data. Full copying shows the figure in the last row, not 1: most "
    "originals are not in the part that is compared. It does not see copies that are shifted or "
    "recoloured."
)
READ_PARAMETERS = "How many numbers training sets: the size of the model, not its quality."
READ_TRAINING = (
    "Wall-clock seconds of training. All models get the same time; those fitted in closed form "
    "stop when they are done. More time changes the order: the figures are for this budget."
)
READ_SAMPLING = "Wall-clock seconds for one sample, when drawn 250 at a time on this machine."
