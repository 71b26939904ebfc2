"""A mixture of Gaussians over latent vectors."""

# Shapes: n draws, Z latents, K components.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.random import Noise, categorical_icdf


@dataclass(frozen=True, eq=False)
class LatentMixture:
    r"""A weighted sum of Gaussians with diagonal covariances.

    .. math:: p(z) = \sum_k \pi_k\, N(z; \mu_k, \operatorname{diag} \sigma_k^2)

    Args:
        logits_K: logs of the weights, up to a constant.
        mean_KZ: means.
        log_scale_KZ: logs of the standard deviations.

    Example:
        >>> law = LatentMixture(torch.zeros(2), torch.tensor([[-5.0], [5.0]]), torch.zeros(2, 1))
        >>> law.log_prob(torch.tensor([[5.0]])).exp()  # half of 1 / sqrt(2 pi)
        tensor([0.1995])
    """

    logits_K: Tensor
    mean_KZ: Tensor
    log_scale_KZ: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density in nats, ``(...)``, of vectors ``(..., Z)``.

        The square is multiplied out, so that all components take two matrix products and no
        tensor of ``(..., K, Z)``; float64 keeps what cancels.
        """
        wide, mean_KZ = z.double(), self.mean_KZ.double()
        log_scale_KZ = self.log_scale_KZ.double()
        precision_KZ = torch.exp(-2 * log_scale_KZ)
        scaled_KZ = mean_KZ * precision_KZ
        constant_K = (scaled_KZ * mean_KZ + 2 * log_scale_KZ + math.log(2 * math.pi)).sum(-1)
        square = wide.square() @ precision_KZ.T - 2 * (wide @ scaled_KZ.T) + constant_K
        weight_K = self.logits_K.double().log_softmax(0)
        return (weight_K - 0.5 * square).logsumexp(-1).to(z.dtype)

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return ``(n, Z)``: a component for each row, then a vector of it."""
        index_n = categorical_icdf(self.logits_K.expand(noise.n, -1), noise.uniform())
        spread_nZ = self.log_scale_KZ[index_n].exp() * temperature
        return self.mean_KZ[index_n] + spread_nZ * noise.normal(self.mean_KZ.shape[1])
