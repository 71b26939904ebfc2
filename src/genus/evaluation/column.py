"""A column of a comparison, and figures in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from genus.evaluation.measure import Measure
from genus.evaluation.outcome import Row

NONE = "–"
Block = Literal["likelihood", "samples", "cost"]
Figure = tuple[float, float]
"""A value and its standard error, 0 where that is not known."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        title: its name.
        block: where it belongs; blocks are never merged.
        cell: from a row with an evaluation to the text.
        note: what stands under the title: the unit, or the floor.
        reading: one paragraph on what it sees and what it misses.
        short: title and note for a terminal, line by line, where they differ.
        terminal: whether it is shown there; the page has them all.
        words: whether cells are words, whose lines may break.
        figure: from a row to the figure that it is ranked by, where rows are.
        better: which direction is.
        unit: of a likelihood, what a nat of an example is worth in the column's unit.
        said: how a mean over training seeds is said.
    """

    title: str
    block: Block
    cell: Callable[[Row], str]
    note: str
    reading: str
    short: str = ""
    terminal: bool = True
    words: bool = False
    figure: Callable[[Row], Figure | None] | None = None
    better: Literal["less", "more"] | None = None
    unit: float | None = None
    said: Callable[[float, float], str] = lambda value, error: with_error(value, error, 1)

    def text(self, row: Row) -> str:
        """Return the cell of a row; a dash where there is no figure."""
        if row.evaluation is None:
            return NONE
        found = self.measured(row) if len(row.repeats) > 1 else None
        if found is None:
            return self.cell(row)
        return self.said(*found)

    def measured(self, row: Row) -> Figure | None:
        r"""Return the figure of a row, over all training seeds where there are several.

        .. math:: \bar x \pm \sqrt{\frac{1}{n (n - 1)} \sum_i (x_i - \bar x)^2 + \bar s^2}

        The second term is the error of one figure, which does not fall with more runs, because
        all are measured on the same examples.
        """
        if self.figure is None or row.evaluation is None:
            return None
        if len(row.repeats) < 2:
            return self.figure(row)
        runs = [replace(row, evaluation=found, repeats=()) for found in row.repeats]
        figures = [figure for run in runs if (figure := self.figure(run)) is not None]
        if len(figures) < 2:
            return figures[0] if figures else None
        values = [value for value, _ in figures]
        between = statistics.variance(values) / len(values)
        within_runs = statistics.fmean(error for _, error in figures)
        return statistics.fmean(values), math.sqrt(between + within_runs**2)


def figure_of(measure: Measure | None) -> Figure | None:
    """Return a measure as what a row is ranked by."""
    return None if measure is None else (measure.value, measure.standard_error or 0.0)


def number(value: float, digits: int = 3) -> str:
    """Return a figure with so many significant digits, without an exponent where it can be read.

    Example:
        >>> number(1234.5), number(0.01234), number(2.0)
        ('1234', '0.0123', '2.00')
    """
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞" if value < 0 else NONE
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def with_error(value: float, error: float | None, digits: int = 2) -> str:
    """Return a figure and its standard error with the same number of decimals, 4 at most.

    Example:
        >>> with_error(1.78345, 0.0123), with_error(123.4, 5.6, 1), with_error(2.5, None)
        ('1.783 ±0.012', '123 ±6', '2.50')
    """
    if error is None or not math.isfinite(error) or error <= 0 or not math.isfinite(value):
        return number(value)
    decimals = min(4, max(0, digits - 1 - math.floor(math.log10(error))))
    return f"{value:.{decimals}f} ±{error:.{decimals}f}"


def within(low: float, high: float) -> str:
    """Return an interval, with as many decimals as tell its ends apart, 4 at most.

    Example:
        >>> within(0.15621, 0.16349), within(-88.25, -87.5)
        ('0.1562–0.1635', '-88.25–-87.50')
    """
    width = high - low
    decimals = 4 if width <= 0 else min(4, max(0, 1 - math.floor(math.log10(width))))
    return f"{low:.{decimals}f}–{high:.{decimals}f}"
