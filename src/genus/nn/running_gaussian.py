"""A Gaussian with the moments that the vectors of recent batches had."""

# Shapes: B batch, Z vector.
from __future__ import annotations

import torch
from torch import Tensor, nn

from genus.random import Noise

SLOWEST = 0.01
"""Weight of a new batch, once a hundred have been seen."""


class RunningGaussian(nn.Module):
    """Mean and full covariance of vectors, an even average at first and a moving one later.

    Args:
        size: Z.

    Example:
        >>> law = RunningGaussian(2)
        >>> law.update(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> law.mean_Z, law.covariance_ZZ
        (tensor([1., 1.]), tensor([[1., 0.],
                [0., 0.]]))
    """

    batches: Tensor
    mean_Z: Tensor
    covariance_ZZ: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("batches", torch.zeros(()))
        self.register_buffer("mean_Z", torch.zeros(size))
        self.register_buffer("covariance_ZZ", torch.eye(size))

    @torch.no_grad()
    def update(self, z_BZ: Tensor) -> None:
        """Move the moments towards those of a batch."""
        self.batches += 1
        rate = (1 / self.batches).clamp(min=SLOWEST)
        mean_Z = z_BZ.mean(0)
        offset_BZ, shift_Z = z_BZ - mean_Z, mean_Z - self.mean_Z
        within_ZZ = offset_BZ.T @ offset_BZ / len(z_BZ)
        between_ZZ = (1 - rate) * torch.outer(shift_Z, shift_Z)
        self.covariance_ZZ.mul_(1 - rate).add_(rate * (within_ZZ + between_ZZ))
        self.mean_Z.add_(rate * shift_Z)

    @torch.no_grad()
    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return ``(n, Z)``, with deviations multiplied by ``temperature``."""
        # The symmetric root exists where a Cholesky factor does not: vectors may fill a subspace.
        values_Z, axes_ZZ = torch.linalg.eigh(self.covariance_ZZ.double())
        root_ZZ = ((axes_ZZ * values_Z.clamp(min=0).sqrt()) @ axes_ZZ.T).to(self.mean_Z)
        offset_nZ: Tensor = temperature * (noise.normal(len(self.mean_Z)) @ root_ZZ)
        return self.mean_Z + offset_nZ
