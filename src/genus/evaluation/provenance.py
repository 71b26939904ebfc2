"""Which data a figure belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from genus.data import DataSet, Split


@dataclass(frozen=True)
class DataReference:
    """Which data a figure belongs to.

    Args:
        name: of the data set.
        digest: of its contents.
        split: which part of it.
        examples: how many.
        dims: entries of an example.
        levels: number of levels, None for real numbers.
        known: where entries are missing, how many of an example are known in the mean; likelihoods
            are then of these. None where nothing is missing.
    """

    name: str
    digest: str
    split: str
    examples: int
    dims: int
    levels: int | None
    known: float | None = None

    @property
    def entries(self) -> float:
        """Entries of an example that are scored, in the mean."""
        return self.dims if self.known is None else self.known


def describe(data: DataSet, split: str) -> DataReference:
    """Return what stands beside every figure on this data."""
    part, spec = data.split(split), data.spec
    counts = known_entries(part)
    known = None if counts is None else float(counts.sum()) / len(part)
    return DataReference(data.name, data.digest, split, len(part), spec.dims, spec.levels, known)


def known_entries(split: Split) -> npt.NDArray[np.int64] | None:
    """Return how many entries of each example are known, or None where all are."""
    mask = getattr(split, "known", None)
    if mask is None:
        return None
    counts: npt.NDArray[np.int64] = np.asarray(mask).reshape(len(split), -1).sum(1)
    return counts
