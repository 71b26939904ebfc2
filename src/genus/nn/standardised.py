"""The scale on which a network sees examples, and the way back for the laws that it gives."""

# Shapes: B batch; * the shape of an example.
from __future__ import annotations

import torch
from torch import Tensor, nn

from genus.distributions import EntryGaussian
from genus.distributions.likelihoods import Law
from genus.distributions.units import scaled_levels, take_unit
from genus.spec import Spec


class Standardised(nn.Module):
    """Levels on [-1, 1]; real numbers in units of the deviation of some examples.

    Args:
        spec: what the data are.

    Example:
        >>> scale = Standardised(Spec(shape=(2,), levels=3))
        >>> scale(torch.tensor([[0, 2]]))
        tensor([[-1.,  1.]])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.levels = spec.levels
        self.register_buffer("shift", torch.zeros(spec.shape))
        self.register_buffer("scale", torch.ones(spec.shape))

    def take(self, x: Tensor) -> None:
        """Take location and unit of real numbers from some examples; levels need neither."""
        if self.levels is None:
            take_unit(self.shift, self.scale, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, *shape)`` for a network."""
        if self.levels is None:
            return (x.to(self.scale.dtype) - self.shift) / self.scale
        return scaled_levels(x, self.levels, self.scale.dtype)

    def law(self, law: Law) -> Law:
        """Return a law of standardised real numbers as one of the data's own; others as they are.

        A Gaussian is shifted and widened, so that its density is in the unit of the data.
        """
        if isinstance(law, EntryGaussian):
            return EntryGaussian(
                self.shift + self.scale * law.mean, law.log_scale + self.scale.log()
            )
        return law
