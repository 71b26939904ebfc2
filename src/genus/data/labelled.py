"""Data of which few examples have labels: what a semi-supervised model learns from."""

# Shapes: N examples, L labelled ones, B batch.
from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from genus.data.base import DataSet, Split, as_arrays
from genus.errors import ConfigError, DataError
from genus.spec import Batch

if TYPE_CHECKING:  # torch takes seconds to import, and listing data sets does not need it
    import torch
    from torch import Tensor

UNLABELLED = -1
"""The label of an example without one."""
SHARE = 0.5
"""Share of the rows of an `Alternating` split that have labels."""


class Relabelled:
    """A split with other labels; what they were is still in ``split``.

    Args:
        split: the examples.
        y_N: a label for each, -1 for none.
    """

    def __init__(self, split: Split, y_N: Tensor) -> None:
        self.split, self.y = split, y_N

    def __len__(self) -> int:
        return len(self.split)

    @property
    def known(self) -> Tensor | None:
        """Which entries are not missing, ``(N, *shape)``; None where all are."""
        known: Tensor | None = getattr(self.split, "known", None)
        return known

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return the examples of these rows."""
        return replace(self.split.batch(rows, generator=generator), y=self.y[rows])


class Alternating:
    """All examples without labels, then the labelled ones with theirs, again and again.

    With 100 labels among 50,000 examples few batches would have a label at all. Here about half of
    the rows have one, so every batch has some; a model weighs the two halves as it likes.

    Args:
        split: the examples, with -1 for the label of one that has none.
        y_N: these labels.

    Example:
        >>> import numpy, torch
        >>> from genus.data import ArraySplit
        >>> y = numpy.array([-1, -1, 1])
        >>> split = Alternating(ArraySplit(numpy.zeros((3, 2), int), y), torch.tensor(y))
        >>> split.batch(torch.arange(len(split))).y.tolist()
        [-1, -1, -1, 1, 1, 1]
    """

    def __init__(self, split: Split, y_N: Tensor) -> None:
        import torch

        rows_L = (y_N != UNLABELLED).nonzero().flatten()
        repeats = max(1, round(len(split) * SHARE / (1 - SHARE) / len(rows_L)))
        nothing = torch.full((len(split),), UNLABELLED)
        self.split = split
        self.rows = torch.cat([torch.arange(len(split)), rows_L.repeat(repeats)])
        self.y = torch.cat([nothing, y_N[rows_L].repeat(repeats)])

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return the examples of these rows, half of them with labels."""
        found = self.split.batch(self.rows[rows], generator=generator)
        return replace(found, y=self.y[rows])


def alternate(data: DataSet) -> DataSet:
    """Return data of which not all training examples have labels as training takes them."""
    if data.labelled is None:
        return data
    train = Alternating(data.train, _labels(data))
    return replace(data, splits={**data.splits, "train": train})


def keep_labels(data: DataSet, labels: int, seed: int = 0) -> DataSet:
    """Return the data with so many labels of the train split, as many of each class.

    The valid and the test split keep theirs. The digest stays that of the data with all labels.

    Args:
        data: with labels.
        labels: how many are kept.
        seed: which of the possible choices.

    Raises:
        DataError: the data have no labels, or fewer than are asked for.
        ConfigError: fewer labels than classes.

    Example:
        >>> from genus.data import load_data
        >>> data = keep_labels(load_data("digits"), 50)
        >>> data.labelled, data.class_counts("train").tolist()[:3]
        (50, [5, 5, 5])
    """
    import torch

    if data.spec.classes is None:
        raise DataError(f"{data.name} has no labels to keep some of; name their column (label=)")
    y_N = _labels(data)
    there = (y_N != UNLABELLED).nonzero().flatten()
    rows_L = there[balanced_rows(y_N[there], labels, seed)]
    kept_N = torch.full_like(y_N, UNLABELLED)
    kept_N[rows_L] = y_N[rows_L]
    note = f"{labels:,} of {len(y_N):,} training examples keep their labels (seed {seed})"
    return replace(
        data,
        splits={**data.splits, "train": Relabelled(data.train, kept_N)},
        labelled=labels,
        notes=(*data.notes, note),
    )


def show_labels(data: DataSet) -> DataSet:
    """Return the data with the labels that `keep_labels` hid; those never there stay -1.

    Example:
        >>> from genus.data import load_data
        >>> show_labels(keep_labels(load_data("digits"), 50)).labelled is None
        True
    """
    if not isinstance(data.train, Relabelled):
        return data
    shown = replace(data, splits={**data.splits, "train": data.train.split}, labelled=None)
    return count_labels(shown)


def count_labels(data: DataSet) -> DataSet:
    """Return the data with a count of training labels, and a note, where some are -1."""
    y_N = _labels(data)
    there = int((y_N != UNLABELLED).sum())
    if there == len(y_N):
        return data
    note = f"{there:,} of {len(y_N):,} training examples have labels"
    return replace(data, labelled=there, notes=tuple(dict.fromkeys((*data.notes, note))))


def _labels(data: DataSet) -> Tensor:
    """Return the labels of the train split, ``(N,)``."""
    y_N = getattr(data.train, "y", None)
    y_N = as_arrays(data.train).y if y_N is None else y_N
    assert y_N is not None
    return y_N


def balanced_rows(y_N: Tensor, n: int, seed: int) -> Tensor:
    """Return ``n`` rows with as many of each class as of another, one more of some at most.

    The rows for a smaller n are among those for a larger one.

    Args:
        y_N: labels.
        n: how many rows.
        seed: which of the possible choices.

    Raises:
        ConfigError: fewer rows than classes.
        DataError: more rows than there are, of all or of one class.

    Example:
        >>> import torch
        >>> rows = balanced_rows(torch.tensor([0, 0, 0, 0, 1, 1]), 4, seed=0)
        >>> torch.tensor([0, 0, 0, 0, 1, 1])[rows].sum().item()
        2
    """
    import torch

    classes = torch.unique(y_N).tolist()
    if n < len(classes):
        raise ConfigError(
            f"{n} labels are too few for {len(classes)} classes; ask for {len(classes)} at least"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(classes), generator=generator).tolist()
    chosen = []
    for place, index in enumerate(order):
        rows = (y_N == classes[index]).nonzero().flatten()
        wanted = math.ceil((n - place) / len(classes))
        if wanted > len(rows):
            raise DataError(
                f"{n:,} labels in balance take {wanted:,} of class {classes[index]}, but there "
                f"are {len(rows):,}; ask for {len(rows) * len(classes):,} at most, or for all"
            )
        chosen.append(rows[torch.randperm(len(rows), generator=generator)[:wanted]])
    return torch.cat(chosen).sort().values
