"""Who is ahead in a column, with ties where the figures cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from genus.evaluation.column import Column
    from genus.evaluation.outcome import Comparison, Row

APART = 2.0
"""Standard errors of a difference beyond which two figures are told apart."""


def ranks(column: Column, rows: Sequence[Row]) -> dict[str, int]:
    r"""Return the rank of each model in a column, 1 for the best; ties share a rank.

    .. math:: 1 + \#\{j : x_j \text{ is better than } x_i \text{ and }
        |x_i - x_j| > 2 \sqrt{s_i^2 + s_j^2}\}

    Likelihoods of the same examples vary together from example to example, so that their
    differences are known better than either: there the error is that of the mean difference, and
    of the constants that are bracketed by an interval.

    Args:
        column: one that says which direction is better; any other ranks nobody.
        rows: of the comparison; controls are not ranked.

    Returns:
        Ranks by the label of the row, without the rows that have no figure.
    """
    if column.better is None:
        return {}
    models = [row for row in rows if row.kind == "model" and row.evaluation is not None]
    found = {row.label: (row, figure) for row in models if (figure := column.measured(row))}
    sign = 1 if column.better == "less" else -1
    return {
        label: 1
        + sum(
            sign * (mine[0] - other[0]) > APART * _error(column, row, mine[1], rival, other[1])
            for rival, other in found.values()
        )
        for label, (row, mine) in found.items()
    }


def _error(column: Column, row: Row, error: float, rival: Row, other: float) -> float:
    """Return the standard error of the difference of two figures."""
    apart = math.hypot(error, other)
    if column.unit is None or row.evaluation is None or rival.evaluation is None:
        return apart
    if len(row.repeats) > 1 or len(rival.repeats) > 1:
        return apart  # how much runs differ is the larger part
    mine, theirs = row.evaluation.likelihood, rival.evaluation.likelihood
    if mine.nats.shape != theirs.nats.shape:
        return apart
    offset = mine.nats - theirs.nats
    if not np.isfinite(offset).all() or len(offset) < 2:
        return apart
    paired = float(offset.std(ddof=1)) / math.sqrt(len(offset))
    return math.hypot(paired, mine.constant_error, theirs.constant_error) * column.unit


def all_ranks(comparison: Comparison) -> dict[str, dict[str, int]]:
    """Return the ranks in every column that ranks, by label and title."""
    from genus.evaluation.table import columns

    found: dict[str, dict[str, int]] = {row.label: {} for row in comparison.rows}
    for column in columns(comparison):
        for label, rank in ranks(column, comparison.rows).items():
            found[label][column.title] = rank
    return found
