"""Columns of the sample block that the page of a comparison shows and a terminal has no room for.

Of these the kernel distance in Inception features and what labels are worth are in the terminal, in
tables of their own.
All stand in ``compare.json`` and ``compare.csv`` as well, in the features of every network.
"""

from __future__ import annotations

from collections.abc import Callable

from genus.evaluation.block import FeatureScores, SampleBlock
from genus.evaluation.column import NONE, Column, figure_of, number, with_error
from genus.evaluation.inception import NAME as INCEPTION
from genus.evaluation.measure import Measure
from genus.evaluation.outcome import Comparison, Row

Find = Callable[[SampleBlock], Measure | None]
"""From a sample block to a figure of it; None in old records, and where it cannot be had."""


LABEL, LEARNT = "label", "CAS"
"""Titles of what labels are worth, which only a conditional comparison has."""


def page_columns(comparison: Comparison) -> list[Column]:
    """Return the columns that the page has besides; none for which no row has a figure."""
    first = comparison.features[0].name

    def feature(net: str, name: str) -> Find:
        return lambda block: _feature(block.scores[net], name)

    found = [
        (f"KID[{first}]", feature(first, "kernel"), READ_KERNEL),
        *(
            (f"KID[{net.name}]", feature(net.name, "kernel"), READ_KERNEL_INCEPTION)
            for net in comparison.features
            if net.name == INCEPTION
        ),
        (f"SW[{first}]", feature(first, "sliced"), READ_SLICED),
        ("bins", lambda block: block.bins and block.bins.different, READ_BINS),
        ("JS", lambda block: block.bins and block.bins.divergence, READ_DIVERGENCE),
        ("classes", lambda block: block.classes and block.classes.statistic, READ_CLASSES),
        (LABEL, lambda block: block.labels and block.labels.accuracy, READ_LABEL),
        (LEARNT, lambda block: block.labels and block.labels.classification, READ_LEARNT),
    ]
    told = (f"KID[{INCEPTION}]", LABEL, LEARNT)
    return [
        _column(comparison, *given, terminal=given[0] in told, more=given[0] in (LABEL, LEARNT))
        for given in found
        if any(_measure(row, given[1]) for row in comparison.rows)
    ]


def _feature(scores: FeatureScores, name: str) -> Measure | None:
    found: Measure | None = getattr(scores, name)
    return found


def _measure(row: Row, find: Find) -> Measure | None:
    block = row.evaluation.samples if row.evaluation else None
    return None if block is None else find(block)


def _column(
    comparison: Comparison, title: str, find: Find, reading: str, *, terminal: bool, more: bool
) -> Column:
    def cell(row: Row) -> str:
        found = _measure(row, find)
        if found is None:
            return NONE
        # A figure without bias may be negative, and then its error is what says how much it is.
        return with_error(found.value, found.standard_error, 1) if found.value else "0"

    floors = [found.floor for row in comparison.rows if (found := _measure(row, find))]
    return Column(
        title,
        "samples",
        cell,
        f"real {number(floors[0], 2)}",
        reading,
        terminal=terminal,
        figure=lambda row: figure_of(_measure(row, find)),
        better="more" if more else "less",
    )


READ_KERNEL = (
    "Kernel distance: squared maximum mean discrepancy of the features with a cubic kernel. It "
    "has no bias from few samples, so real data get zero on average, above or below, and figures "
    "of different sample counts may be set side by side. It sees what FD sees, and skewness too, "
    "but is mostly less sharp: features that vary little weigh little. It does not see copying."
)
READ_KERNEL_INCEPTION = (
    "The same in the features of the Inception network, with its published weights the kernel "
    "inception distance of papers. Without bias, it is the one to look at where there are few "
    "samples for 2,048 features."
)
READ_SLICED = (
    "Sliced Wasserstein distance of the features: how far samples must be moved to become the "
    "held-out data, seen along 256 fixed directions, in the unit of FD. It sees the shape of each "
    "direction's distribution, several humps for instance, where FD sees a mean and a variance, "
    "and its floor is lower. It sees less of how features go together, and nothing of copying."
)
READ_BINS = (
    "Share of bins that get too many or too few samples. The bins are groups of training examples "
    "that look alike, pixel by pixel, and each is tested at a level of 5%, so a perfect model gets "
    "about 0.05. It sees kinds of examples that are missing or too common, without any network. "
    "It does not see what happens within a bin: blur, noise and copies may pass. Faded contrast "
    "moves samples into other bins, and is seen for that reason."
)
READ_DIVERGENCE = (
    "Jensen-Shannon divergence between the same two histograms, in bits: how much they differ, "
    "from 0 to 1, where the share of bins says how many do. It is biased up for few samples: "
    "compare it with real data."
)
READ_CLASSES = (
    "Chi-squared of the classes of samples against those of held-out data, both as the trained "
    "network sees them. A perfect model gets about the number of classes less one, whatever the "
    "count of samples; a figure far above says that some class comes too often or too rarely. "
    "Poor samples are put in some class as well, so they too can move it. It does not see what "
    "happens within a class. The counts and the p-value are in the JSON."
)
READ_LABEL = (
    "Label accuracy: share of samples drawn with a class that the trained network puts into it, "
    "with the labels of training examples in turn; held-out data get what stands under the title. "
    "More is not better beyond that: samples that are clearer than data are no better models."
)
READ_LEARNT = (
    "Classification accuracy score (Ravuri and Vinyals 2019): a classifier learns from the samples "
    "with their classes and is tested on held-out data. One that learns from as many real examples "
    "gets what stands under the title. It sees whatever a class lacks, and blur and noise too. "
    "It does not see copying."
)
