"""Labelled data: whether there are labels, of how many classes, and how many are right."""

# Shapes: N examples, Y classes.
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genus.data import as_arrays
from genus.data.labelled import balanced_rows as balanced_rows
from genus.errors import DataError

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
    if split == "train" and data.labelled is not None:
        raise DataError(
            f"only {data.labelled:,} training examples of {data.name} have labels; load it "
            "without labelled="
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


def share(right_N: Tensor) -> tuple[float, float]:
    """Return the share of True among examples, and the standard error of that share.

    Example:
        >>> import torch
        >>> share(torch.tensor([True, False, True, True]))
        (0.75, 0.21650635094610965)
    """
    p = float(right_N.double().mean())
    return p, math.sqrt(p * (1 - p) / len(right_N))
