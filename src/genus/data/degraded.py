"""Data whose examples come with what a degradation leaves of them: pairs to learn from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from genus.data.base import DataSet, Split
from genus.data.degradations import Degradation
from genus.errors import DataError, raise_all
from genus.spec import Batch, Spec

if TYPE_CHECKING:  # torch takes seconds to import, and listing data sets does not need it
    import torch
    from torch import Tensor


class Degraded:
    """A split whose examples come with what a degradation leaves of them.

    Args:
        split: the examples.
        spec: what they are.
        degradation: what ``y`` is of them.
    """

    def __init__(self, split: Split, spec: Spec, degradation: Degradation) -> None:
        self.split, self.spec, self.degradation = split, spec, degradation

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return the examples of these rows, and of each what is left as ``y``."""
        x = self.split.batch(rows, generator=generator).x
        return Batch(x, self.degradation(x, self.spec))


def degrade(data: DataSet, degradation: Degradation) -> DataSet:
    r"""Return the data with :math:`A(x)` as the condition ``y`` of every example; labels are gone.

    Nothing is copied: what is left of an example is computed when it is looked at.

    Args:
        data: images of levels.
        degradation: A.

    Raises:
        DataError: the data are something else, have a condition already or miss entries, or the
            degradation does not fit them; all at once.

    Example:
        >>> from genus.data import load_data
        >>> from genus.data.degradations import Downsample
        >>> data = degrade(load_data("digits"), Downsample(2))
        >>> data.name, data.spec
        ('digits:downsample:2', Spec(shape=(1, 8, 8), levels=17, classes=None, condition=(1, 4, 4)))
    """
    problems, shape = [], None
    if data.spec.condition is not None:
        problems.append("it has been degraded already; degrade the original data")
    if data.missing is not None:
        problems.append(f"{data.missing}; fill in or drop those rows first")
    try:
        shape = degradation.shape(data.spec)
    except DataError as error:
        problems.append(str(error))
    raise_all(DataError, f"cannot degrade {data.name}:", problems)
    spec = replace(data.spec.unconditional(), condition=shape)
    return replace(
        data,
        name=f"{data.name}:{degradation}",
        spec=spec,
        splits={
            name: Degraded(split, data.spec, degradation) for name, split in data.splits.items()
        },
        digest=_digest(data, degradation),
        labels=(),
        notes=(*data.notes, f"every example comes with its {degradation}, and without its label"),
        source={**data.source, "given": str(degradation)},
        labelled=None,
    )


def _digest(data: DataSet, degradation: Degradation) -> str:
    """Return a digest of the data and of what is left of them."""
    words = f"genus-degraded-1 {data.digest} {degradation}"
    return f"sha256:{hashlib.sha256(words.encode()).hexdigest()}"


def degradation_of(split: Split) -> Degradation | None:
    """Return what made the conditions of a split, or None of one that has none."""
    return split.degradation if isinstance(split, Degraded) else None
