"""Labelled data: whether there are labels, and balanced parts of them."""

# Shapes: N examples, Y classes.
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genus.data import as_arrays
from genus.errors import ConfigError, DataError

if TYPE_CHECKING:
    from genus.data import DataSet


def labels_of(data: DataSet, split: str) -> Tensor:
    """Return the labels of a split, ``(N,)``.

    Raises:
        DataError: the split is empty, or the data have no labels.
    """
    part = data.split(split)
    if not len(part):
        raise DataError(f"the {split} split of {data.name} is empty; it needs labelled examples")
    y_N = getattr(part, "y", None)
    if y_N is None:
        y_N = as_arrays(part).y
    if y_N is None or data.spec.classes is None:
        raise DataError(
            f"{data.name} has no labels, and this needs them; name their column or array "
            "(label=, --label), or take data with classes"
        )
    return torch.as_tensor(y_N).long()


def check_classes(y_N: Tensor, where: str) -> None:
    """Raise `DataError` unless there are examples of two classes at least."""
    found = torch.unique(y_N).tolist()
    if len(found) < 2:
        raise DataError(
            f"all {len(y_N):,} labelled examples of {where} are of class {found[0]}; telling "
            "classes apart takes examples of two at least"
        )


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


def share(right_N: Tensor) -> tuple[float, float]:
    """Return the share of True among examples, and the standard error of that share.

    Example:
        >>> import torch
        >>> share(torch.tensor([True, False, True, True]))
        (0.75, 0.21650635094610965)
    """
    p = float(right_N.double().mean())
    return p, math.sqrt(p * (1 - p) / len(right_N))
