"""What is missing of a data set: how many entries, in how many rows, in which columns."""

# Shapes: N rows, D entries of an example.
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genus.data.base import Array
from genus.errors import DataError

SHOWN = 6
"""Columns that are named before the rest is counted."""


@dataclass(frozen=True)
class Missing:
    """How much of a data set is missing.

    Args:
        cells: entries that are not known.
        of: entries in all.
        rows: examples of which an entry is missing.
        columns: missing entries by the name of their column, those without any left out.

    Example:
        >>> str(Missing(3, 40, 2, {"age": 2, "pay": 1}))
        "3 of 40 cells are missing (7.5%), in 2 rows: 'age' (2), 'pay' (1)"
    """

    cells: int
    of: int
    rows: int
    columns: Mapping[str, int]

    def __str__(self) -> str:
        """Return it in words."""
        most = sorted(self.columns.items(), key=lambda pair: -pair[1])
        named = [f"{name!r} ({count:,})" for name, count in most[:SHOWN]]
        rest = len(most) - SHOWN
        named += [f"and {rest:,} more columns"] if rest > 0 else []
        return (
            f"{self.cells:,} of {self.of:,} cells are missing ({self.cells / self.of:.1%}), "
            f"in {self.rows:,} rows: {', '.join(named)}"
        )


def count_missing(
    masks: Iterable[tuple[int, Array | None]], dims: int, names: Sequence[str] = ()
) -> Missing | None:
    """Return what is missing of some splits, or None where nothing is.

    Args:
        masks: of each split the number of rows, and ``(N, D)`` which entries are known, None where
            all are.
        dims: D.
        names: of the entries; their numbers where they have none.
    """
    rows, total, missing_D = 0, 0, np.zeros(dims, np.int64)
    for count, known in masks:
        total += count * dims
        if known is not None:
            missing_ND = ~np.asarray(known).reshape(count, dims)
            rows += int(missing_ND.any(1).sum())
            missing_D += missing_ND.sum(0)
    if not rows:
        return None
    counts = enumerate(missing_D.tolist())
    columns = {column_name(entry, names): count for entry, count in counts if count}
    return Missing(int(missing_D.sum()), total, rows, columns)


def column_name(entry: int, names: Sequence[str]) -> str:
    """Return what to call an entry: its name, or its number from 0 where it has none."""
    return names[entry] if names else f"entry {entry}"


def check_columns(known_ND: Array, where: str, names: Sequence[str]) -> None:
    """Raise unless every column is known somewhere: nothing could be learnt of the others.

    Raises:
        DataError: a column without a known entry, all of them named.
    """
    empty = np.flatnonzero(~known_ND.reshape(len(known_ND), -1).any(0)).tolist()
    if empty:
        named = ", ".join(repr(column_name(d, names)) for d in empty[:SHOWN])
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        raise DataError(
            f"{where}: no example to train on has a value in {named}{more}; leave out "
            f"{'these columns' if len(empty) > 1 else 'this column'}"
        )
