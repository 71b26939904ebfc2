"""Normalising flows over latent vectors: invertible maps of Gaussians, by zuko.

References:
    | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
    | https://arxiv.org/abs/1606.04934
    | Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017)
    | https://arxiv.org/abs/1705.07057
    | Neural Spline Flows (Durkan et al., 2019), https://arxiv.org/abs/1906.04032
"""

# Shapes: B batch, k draws for each example, n draws, Z latents, C context.
from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genus.distributions.gaussian import DiagonalGaussian
from genus.distributions.latent_law import standard_log_prob
from genus.random import Noise

BINS = 8
"""Pieces of a spline."""


def affine_steps(latents: int, steps: int, hidden: int, context: int = 0) -> nn.ModuleList:
    """Return autoregressive affine maps, each in the reverse order of the last, at first identity.

    One way takes a pass of a map's network, the other as many as there are latents.

    Args:
        latents: Z.
        steps: how many.
        hidden: units of each of the two hidden layers of a map's network.
        context: size of a vector that the maps depend on.
    """
    from zuko.transforms import MonotonicAffineTransform

    # No map stretches by more than five, so that several together stay far from infinity.
    affine = functools.partial(MonotonicAffineTransform, slope=0.2)
    return _steps(latents, steps, hidden, context, univariate=affine)


def spline_steps(latents: int, steps: int, hidden: int, context: int = 0) -> nn.ModuleList:
    """Return maps that bend every latent by a spline, each in the reverse order; at first identity.

    A map bends the first half of the latents as the context says, and the others as these say as
    well, so that both ways are quick. What is beyond -5 and 5 it leaves where it is.

    Args:
        latents: Z.
        steps: how many.
        hidden: units of each of the two hidden layers of a map's network.
        context: size of a vector that the maps depend on.
    """
    from zuko.transforms import MonotonicRQSTransform

    shapes = [(BINS,), (BINS,), (BINS - 1,)]
    return _steps(
        latents, steps, hidden, context, univariate=MonotonicRQSTransform, shapes=shapes, passes=2
    )


def _steps(latents: int, steps: int, hidden: int, context: int, **options: Any) -> nn.ModuleList:
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform

    found = nn.ModuleList()
    for step in range(steps):
        order = torch.arange(latents)
        order = order.flip(0) if step % 2 else order
        made = MaskedAutoregressiveTransform(
            latents, context, order=order, hidden_features=(hidden, hidden), **options
        )
        for parameter in list(made.parameters())[-2:]:  # of the last layer, which says the map
            nn.init.zeros_(parameter)
        found.append(made)
    return found


def _exactly(x: Tensor) -> torch.autocast:
    """Return a region without autocast: a log density in half precision is no figure."""
    return torch.autocast(x.device.type, enabled=False)


def _through(steps: Sequence[Any], z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return vectors after all maps, and the log of how much volumes grew."""
    total = torch.zeros_like(z[..., 0])
    with _exactly(z):
        for step in steps if len(z) else ():  # zuko cannot shape no rows
            z, log_det = step(context).call_and_ladj(z)
            total = total + log_det
    return z, total


def _back(steps: Sequence[Any], z: Tensor, context: Tensor | None) -> Tensor:
    """Return vectors before all maps."""
    with _exactly(z):
        for step in reversed(steps) if len(z) else ():
            z = step(context).inv(z)
    return z


@dataclass(frozen=True, eq=False)
class InverseFlow:
    r"""A Gaussian pushed through maps that are fast from noise to latents.

    .. math:: z_0 \sim N(\mu, \sigma^2), \quad z_t = f_t(z_{t-1}; c), \quad
        \log q(z_T) = \log q(z_0) - \sum_t \log |\det \partial z_t / \partial z_{t-1}|

    Args:
        base: of every example, ``(B, Z)``.
        steps: see `affine_steps` (IAF) and `spline_steps`.
        context_BC: what the maps depend on, beside the latents before.
    """

    base: DiagonalGaussian
    steps: Sequence[Any]
    context_BC: Tensor

    @property
    def centre(self) -> Tensor:
        """Where the mean of the Gaussian goes, ``(B, Z)``; not the mean of the law."""
        return self._onward(self.base.mean[:, None])[0].squeeze(1)

    def _onward(self, z_BkZ: Tensor) -> tuple[Tensor, Tensor]:
        context_BkC = self.context_BC[:, None].expand(-1, z_BkZ.shape[1], -1)
        return _through(self.steps, z_BkZ, context_BkC)

    def from_noise(self, eps_BkZ: Tensor) -> tuple[Tensor, Tensor]:
        """Return draws ``(B, k, Z)`` and their log densities ``(B, k)``."""
        start_BkZ, log_q_Bk = self.base.from_noise(eps_BkZ)
        z_BkZ, log_det_Bk = self._onward(start_BkZ)
        return z_BkZ, log_q_Bk - log_det_Bk

    def log_prob(self, z: Tensor) -> Tensor:
        """Return ``(B,)``; the way back through affine maps takes a pass for each latent."""
        start = _back(self.steps, z, self.context_BC)
        return self.base.log_prob(start) - _through(self.steps, start, self.context_BC)[1]

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return one vector for each example, ``(B, Z)``."""
        return self._onward(self.base.draw(noise, temperature)[:, None])[0].squeeze(1)


@dataclass(frozen=True, eq=False)
class MaskedFlow:
    r"""The standard normal seen through maps that are fast from latents to noise (MAF).

    .. math:: \log p(z) = \log N(f(z); 0, I) + \log |\det \partial f / \partial z|

    Args:
        latents: Z.
        steps: see `affine_steps`.
    """

    latents: int
    steps: Sequence[Any]

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density in nats, ``(...)``, of vectors ``(..., Z)``."""
        eps, log_det = _through(self.steps, z, None)
        return standard_log_prob(eps) + log_det

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return ``(n, Z)``; the way back takes one pass for each latent and map."""
        return _back(self.steps, noise.normal(self.latents) * temperature, None)
