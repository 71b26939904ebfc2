"""What a latent-variable model asks of the laws of its latents."""

# Shapes: B batch, k draws for each example, Z latents, N rows.
from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from genus.random import Noise


@runtime_checkable
class LatentLaw(Protocol):
    """A density over latent vectors that can be drawn from: what a prior is."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density in nats, ``(...)``, of vectors ``(..., Z)``."""
        ...

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return one vector for each row of noise, ``(n, Z)``; deviations times temperature."""
        ...


@runtime_checkable
class Posterior(Protocol):
    """A law for each example, drawn by a differentiable map of standard normal noise."""

    @property
    def centre(self) -> Tensor:
        """Where the middle of the noise goes, ``(B, Z)``; the mean of a Gaussian."""
        ...

    def from_noise(self, eps_BkZ: Tensor) -> tuple[Tensor, Tensor]:
        """Return draws ``(B, k, Z)`` and their log densities ``(B, k)``, in nats."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density in nats, ``(B,)``, of one vector for each example."""
        ...

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return one vector for each example, ``(B, Z)``."""
        ...


ACTIVE = 0.01
"""Variance over examples of a latent's posterior mean above which it is in use (Burda et al. 2016,
arXiv:1509.00519, section 5)."""


def in_use(variance_Z: Tensor) -> Tensor:
    """Return how many latents are in use, from the variance of each one's posterior mean."""
    return (variance_Z > ACTIVE).sum().to(torch.float32)


def standard_log_prob(eps: Tensor) -> Tensor:
    """Return the log density of standard normal vectors, ``(...)`` of ``(..., Z)``."""
    return -0.5 * (eps.square() + math.log(2 * math.pi)).sum(-1)
