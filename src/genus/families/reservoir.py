"""An even sample of a stream of examples."""

# Shapes: N rows of the sample, n rows of a batch.
from __future__ import annotations

import torch
from torch import Tensor


class Reservoir:
    """Keeps so many rows of all that it is shown, every row equally likely.

    Args:
        size: how many rows to keep.
        generator: source of the choice.

    References:
        | Random Sampling with a Reservoir (Vitter, 1985), algorithm R

    Example:
        >>> reservoir = Reservoir(2, torch.Generator().manual_seed(0))
        >>> for start in (0, 10, 20):
        ...     reservoir.add({"x": torch.arange(start, start + 10)})
        >>> len(reservoir.rows["x"])
        2
    """

    def __init__(self, size: int, generator: torch.Generator | None = None) -> None:
        self.size, self.generator = size, generator
        self.seen = 0
        self._places: dict[str, Tensor] = {}

    def add(self, tensors: dict[str, Tensor]) -> None:
        """Show it the next rows: tensors of equal length, under the same names each time."""
        n = len(next(iter(tensors.values())))
        for name, tensor in tensors.items():
            if name not in self._places:
                self._places[name] = tensor.new_zeros(self.size, *tensor.shape[1:]).cpu()
        age = torch.arange(self.seen + 1, self.seen + n + 1)
        draw = (torch.rand(n, generator=self.generator).double() * age).long()
        place = torch.where(age <= self.size, age - 1, draw)
        last = torch.full((self.size + self.seen + n,), -1)  # of several for one place
        last.scatter_reduce_(0, place, torch.arange(n), "amax")
        kept = last[: self.size].ge(0).nonzero().squeeze(1)
        for name, tensor in tensors.items():
            self._places[name][kept] = tensor.cpu()[last[kept]]
        self.seen += n

    @property
    def rows(self) -> dict[str, Tensor]:
        """What is kept, by name; nothing before anything was shown."""
        return {name: tensor[: self.seen] for name, tensor in self._places.items()}
