"""Gaussian laws with noise as an argument."""

# Shapes: B batch, Z latent size.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.distributions.latent_law import standard_log_prob
from genus.random import Noise


@dataclass(frozen=True, eq=False)
class DiagonalGaussian:
    """Independent Gaussians; the last dimension is one event.

    Args:
        mean: ``(..., Z)``.
        log_scale: ``(..., Z)``, log of the standard deviation.

    Example:
        >>> law = DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2))
        >>> law.kl(law)
        tensor([0.])
    """

    mean: Tensor
    log_scale: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density of events, ``(...)``."""
        standard = (z - self.mean) * torch.exp(-self.log_scale)
        entries = -0.5 * standard.square() - self.log_scale - 0.5 * math.log(2 * math.pi)
        return entries.sum(-1)

    @property
    def centre(self) -> Tensor:
        """The mean."""
        return self.mean

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return a reparameterised draw ``(B, Z)`` of a batch of events."""
        spread = self.log_scale.exp() * temperature
        return self.mean + spread * noise.normal(*self.mean.shape[1:])

    def from_noise(self, eps_BkZ: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``k`` draws of each event ``(B, k, Z)`` and their log densities ``(B, k)``."""
        log_scale_B1Z = self.log_scale[:, None]
        z_BkZ = self.mean[:, None] + log_scale_B1Z.exp() * eps_BkZ
        return z_BkZ, standard_log_prob(eps_BkZ) - log_scale_B1Z.sum(-1)

    def frozen(self) -> DiagonalGaussian:
        """Return the same law for several draws ``(B, k, Z)``, without gradients to it."""
        return DiagonalGaussian(self.mean.detach()[:, None], self.log_scale.detach()[:, None])

    def kl(self, other: DiagonalGaussian) -> Tensor:
        """Return the divergence of this law from another, in nats, ``(...)``."""
        ratio = 2 * (self.log_scale - other.log_scale)
        shift = (self.mean - other.mean) * torch.exp(-other.log_scale)
        return 0.5 * (ratio.exp() + shift.square() - 1 - ratio).sum(-1)


@dataclass(frozen=True, eq=False)
class EntryGaussian:
    """A Gaussian for each entry of an event: the continuous sibling of the laws over levels.

    Args:
        mean: ``(...)``.
        log_scale: ``(...)``, log of the standard deviation.
    """

    mean: Tensor
    log_scale: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of every entry, ``(...)``."""
        standard = (x - self.mean) * torch.exp(-self.log_scale)
        return -0.5 * standard.square() - self.log_scale - 0.5 * math.log(2 * math.pi)

    def icdf(self, u: Tensor) -> Tensor:
        """Return real numbers (...) drawn by inverse transform of ``u`` (...)."""
        inside = u.clamp(min=2.0**-25)
        standard: Tensor = torch.special.ndtri(inside)
        return self.mean + self.log_scale.exp() * standard

    def tempered(self, temperature: float) -> EntryGaussian:
        """Return the law with its log-density divided by ``temperature``."""
        return EntryGaussian(self.mean, self.log_scale + 0.5 * math.log(temperature))
