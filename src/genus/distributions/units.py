"""The scale on which networks see data: levels on [-1, 1], real columns in their own unit."""

# Shapes: N examples; * the shape of an example.
from __future__ import annotations

import torch
from torch import Tensor

LAST_DIGIT = 1e-7
"""Deviation, as a share of the largest value, up to which a column in float32 is constant."""


def scaled_levels(x: Tensor, levels: int, dtype: torch.dtype) -> Tensor:
    """Return levels on [-1, 1].

    Args:
        x: levels, of any shape.
        levels: K, how many there are.
        dtype: of the result.

    Example:
        >>> scaled_levels(torch.tensor([0, 1, 2]), 3, torch.float32)
        tensor([-1.,  0.,  1.])
    """
    return x.to(dtype) * (2 / (levels - 1)) - 1


def location_and_unit(x: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every column, in float64.

    A column that does not vary says nothing of its unit, and keeps the one that it has, 1: divided
    by next to nothing, the first other value would be billions of deviations away.

    Args:
        x: ``(N, *shape)`` real numbers.
        known: boolean, of the same shape; unknown entries are left out.

    Example:
        >>> location_and_unit(torch.tensor([[0.0, 5.0], [4.0, 5.0]]))
        (tensor([2., 5.], dtype=torch.float64), tensor([2., 1.], dtype=torch.float64))
    """
    x = x.double()
    known = torch.ones_like(x, dtype=torch.bool) if known is None else known
    x, count = x.masked_fill(~known, 0), known.sum(0).clamp(min=1)
    location = x.sum(0) / count
    deviation = ((x - location).masked_fill(~known, 0).square().sum(0) / count).sqrt()
    # Rounding gives a constant column a deviation of about its last digit.
    varies = deviation > LAST_DIGIT * x.abs().amax(0)
    return location, torch.where(varies, deviation, torch.ones_like(deviation))


@torch.no_grad()
def take_unit(shift: Tensor, scale: Tensor, x: Tensor, known: Tensor | None = None) -> None:
    """Write location and unit of every column of ``x`` into the buffers of a model.

    Args:
        shift: ``(*shape)``, the location afterwards.
        scale: ``(*shape)``, the unit afterwards.
        x: ``(N, *shape)`` real numbers.
        known: boolean, of the same shape; unknown entries are left out.
    """
    for buffer, value in zip((shift, scale), location_and_unit(x, known), strict=True):
        buffer.copy_(value)
