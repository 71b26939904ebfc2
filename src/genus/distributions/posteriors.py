"""Posteriors: from a network's outputs to a law over latents for each example.

References:
    | Auto-Encoding Variational Bayes (Kingma and Welling, 2014), https://arxiv.org/abs/1312.6114
    | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
    | https://arxiv.org/abs/1606.04934
    | Neural Spline Flows (Durkan et al., 2019), https://arxiv.org/abs/1906.04032
"""

# Shapes: B batch, Z latents, W outputs of the network, C context.
from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from genus.distributions.flow import InverseFlow, affine_steps, spline_steps
from genus.distributions.full_gaussian import FullGaussian, factor_from
from genus.distributions.gaussian import DiagonalGaussian
from genus.distributions.latent_law import Posterior

PosteriorName = Literal["diagonal", "full", "iaf", "spline"]
LOG_SCALES = (-7.0, 7.0)
"""Deviations are kept between e^-7 and e^7, so that no exponential overflows."""


class PosteriorPart(nn.Module):
    """What stands between an encoder and the latents.

    Args:
        latents: Z.

    Attributes:
        width: W, how many outputs the network must have.
    """

    width: int

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.latents = latents

    def forward(self, out_BW: Tensor) -> Posterior:
        """Return the law of every example."""
        raise NotImplementedError


def _diagonal(out_B2Z: Tensor) -> DiagonalGaussian:
    mean_BZ, log_scale_BZ = out_B2Z.chunk(2, 1)
    return DiagonalGaussian(mean_BZ, log_scale_BZ.clamp(*LOG_SCALES))


class DiagonalPosterior(PosteriorPart):
    """Independent Gaussians."""

    def __init__(self, latents: int) -> None:
        super().__init__(latents)
        self.width = 2 * latents

    def forward(self, out_BW: Tensor) -> DiagonalGaussian:
        """Return the Gaussians of every example."""
        return _diagonal(out_BW)


class FullPosterior(PosteriorPart):
    """Gaussians with a full covariance, by their Cholesky factors."""

    def __init__(self, latents: int) -> None:
        super().__init__(latents)
        self.width = 2 * latents + latents * (latents - 1) // 2

    def forward(self, out_BW: Tensor) -> FullGaussian:
        """Return the Gaussian of every example."""
        Z = self.latents
        log_diagonal_BZ = out_BW[:, Z : 2 * Z].clamp(*LOG_SCALES)
        return FullGaussian(out_BW[:, :Z], factor_from(log_diagonal_BZ, out_BW[:, 2 * Z :]))


class FlowPosterior(PosteriorPart):
    """Gaussians pushed through maps that see a context.

    Args:
        latents: Z.
        steps: the maps, `affine_steps` or `spline_steps`.
        context: size of the context.
    """

    def __init__(self, latents: int, steps: nn.ModuleList, context: int) -> None:
        super().__init__(latents)
        self.context = context
        self.width = 2 * latents + context
        self.steps = steps

    def forward(self, out_BW: Tensor) -> InverseFlow:
        """Return the law of every example."""
        base_BW, context_BC = torch.split(out_BW, [2 * self.latents, self.context], 1)
        return InverseFlow(_diagonal(base_BW), tuple(self.steps), context_BC)


def posterior_part(name: PosteriorName, latents: int, *, steps: int, hidden: int) -> PosteriorPart:
    """Return the posterior of that name.

    Args:
        name: "diagonal", "full", "iaf" (inverse autoregressive flow) or "spline".
        latents: Z.
        steps: maps of a flow.
        hidden: units of their hidden layers.
    """
    if name in ("iaf", "spline"):
        maps = affine_steps if name == "iaf" else spline_steps
        return FlowPosterior(latents, maps(latents, steps, hidden, hidden), hidden)
    return {"diagonal": DiagonalPosterior, "full": FullPosterior}[name](latents)
