"""Gaussians with a full covariance, by their Cholesky factor."""

# Shapes: B batch, k draws for each example, Z latents.
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.distributions.gaussian import DiagonalGaussian
from genus.distributions.latent_law import standard_log_prob
from genus.random import Noise


@dataclass(frozen=True, eq=False)
class FullGaussian:
    r"""A Gaussian :math:`N(\mu, L L^T)` for each example of a batch.

    Args:
        mean: ``(B, Z)``.
        factor: ``(B, Z, Z)``, L: lower triangular with a positive diagonal.

    Example:
        >>> law = FullGaussian(torch.zeros(1, 2), torch.tensor([[[1.0, 0.0], [2.0, 1.0]]]))
        >>> law.kl(DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2)))
        tensor([2.])
    """

    mean: Tensor
    factor: Tensor

    @property
    def centre(self) -> Tensor:
        """The mean."""
        return self.mean

    @property
    def _log_diagonal(self) -> Tensor:
        return self.factor.diagonal(dim1=-2, dim2=-1).log()

    def from_noise(self, eps_BkZ: Tensor) -> tuple[Tensor, Tensor]:
        """Return draws ``(B, k, Z)`` and their log densities ``(B, k)``."""
        z_BkZ = self.mean[:, None] + eps_BkZ @ self.factor.mT
        return z_BkZ, standard_log_prob(eps_BkZ) - self._log_diagonal.sum(-1, keepdim=True)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density ``(B,)`` of one vector for each example."""
        shift_BZ1 = (z - self.mean).unsqueeze(-1)
        eps_BZ = torch.linalg.solve_triangular(self.factor, shift_BZ1, upper=False).squeeze(-1)
        return standard_log_prob(eps_BZ) - self._log_diagonal.sum(-1)

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return one vector for each example, ``(B, Z)``."""
        eps_BZ = noise.normal(self.mean.shape[-1]) * temperature
        return self.mean + (self.factor @ eps_BZ.unsqueeze(-1)).squeeze(-1)

    def frozen(self) -> FullGaussian:
        """Return the same law for several draws ``(B, k, Z)``, without gradients to it."""
        return FullGaussian(self.mean.detach()[:, None], self.factor.detach()[:, None])

    def kl(self, other: DiagonalGaussian) -> Tensor:
        """Return the divergence from a Gaussian with a diagonal covariance, in nats, ``(B,)``."""
        precision = torch.exp(-2 * other.log_scale)
        variance_BZ = self.factor.square().sum(-1)
        square_BZ = (variance_BZ + (self.mean - other.mean).square()) * precision
        entries_BZ = 0.5 * (square_BZ - 1) + other.log_scale - self._log_diagonal
        return entries_BZ.sum(-1)


def factor_from(log_diagonal_BZ: Tensor, below_BN: Tensor) -> Tensor:
    """Return lower triangular matrices from the logs of their diagonal and what is below it.

    Args:
        log_diagonal_BZ: ``(B, Z)``.
        below_BN: ``(B, Z (Z - 1) / 2)``, row by row.
    """
    size = log_diagonal_BZ.shape[-1]
    rows, columns = torch.tril_indices(size, size, -1, device=below_BN.device).unbind(0)
    factor_BZZ = torch.diag_embed(log_diagonal_BZ.exp())
    below_BZZ = torch.zeros_like(factor_BZZ).index_put(
        (torch.arange(len(below_BN), device=below_BN.device)[:, None], rows, columns), below_BN
    )
    return factor_BZZ + below_BZZ
