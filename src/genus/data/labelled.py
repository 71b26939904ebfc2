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
"""Share of the rows of a `PartlyLabelled` split that have labels."""


class PartlyLabelled:
    """All examples without labels, then the labelled ones with theirs, again and again.

    With 100 labels among 50,000 examples few batches would have a label at all. Here about half of
    the rows have one, so every batch has some; a model weighs the two halves as it likes.

    Args:
        split: the examples, with labels.
        labelled_L: the rows that keep them.

    Example:
        >>> import numpy, torch
        >>> from genus.data import ArraySplit
        >>> whole = ArraySplit(numpy.arange(6).reshape(3, 2), numpy.array([0, 1, 1]))
        >>> part = PartlyLabelled(whole, torch.tensor([2]))
        >>> part.batch(torch.arange(len(part))).y.tolist()
        [-1, -1, -1, 1, 1, 1]
    """

    def __init__(self, split: Split, labelled_L: Tensor) -> None:
        import torch

        self.split, self.labelled_L = split, labelled_L
        wanted = len(split) * SHARE / (1 - SHARE) / len(labelled_L)
        self.repeats = max(1, round(wanted))
        y_L = split.batch(labelled_L).y
        assert y_L is not None
        self.y = torch.cat([torch.full((len(split),), UNLABELLED), y_L.repeat(self.repeats)])

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return the examples of these rows, with -1 for the label of one that has none."""
        import torch

        n = len(self.split)
        again_B = self.labelled_L[(rows - n).clamp(min=0) % len(self.labelled_L)]
        found = self.split.batch(torch.where(rows < n, rows, again_B), generator=generator)
        return Batch(found.x, self.y[rows], found.known)


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
        (50, [125, 125, 125])
    """
    if data.spec.classes is None:
        raise DataError(f"{data.name} has no labels to keep some of; name their column (label=)")
    y_N = getattr(data.train, "y", None)
    y_N = as_arrays(data.train).y if y_N is None else y_N
    assert y_N is not None
    rows_L = balanced_rows(y_N, labels, seed)
    note = f"{labels:,} of {len(y_N):,} training examples keep their labels (seed {seed})"
    return replace(
        data,
        splits={**data.splits, "train": PartlyLabelled(data.train, rows_L)},
        labelled=labels,
        notes=(*data.notes, note),
    )


def part_by_label(data: DataSet) -> DataSet:
    """Return data of which a training label may be -1 with both halves of them in every batch."""
    y_N = getattr(data.train, "y", None)
    if y_N is None or not bool((y_N == UNLABELLED).any()):
        return data
    rows_L = (y_N != UNLABELLED).nonzero().flatten()
    note = f"{len(rows_L):,} of {len(y_N):,} training examples have labels"
    return replace(
        data,
        splits={**data.splits, "train": PartlyLabelled(data.train, rows_L)},
        labelled=len(rows_L),
        notes=(*data.notes, note),
    )


def show_labels(data: DataSet) -> DataSet:
    """Return the data with every training example once, and the labels that `keep_labels` hid.

    Labels that were never there stay -1, and the data say so (``labelled``).

    Example:
        >>> from genus.data import load_data
        >>> show_labels(keep_labels(load_data("digits"), 50)).labelled is None
        True
    """
    train = data.train
    if not isinstance(train, PartlyLabelled):
        return data
    y_N = getattr(train.split, "y", None)
    lacking = y_N is not None and bool((y_N == UNLABELLED).any())
    splits = {**data.splits, "train": train.split}
    return replace(data, splits=splits, labelled=data.labelled if lacking else None)


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
