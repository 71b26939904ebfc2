"""Priors: the laws of latents before anything is seen, fixed or learned with the rest.

References:
    | VAE with a VampPrior (Tomczak and Welling, 2018), https://arxiv.org/abs/1705.07120
    | Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017)
    | https://arxiv.org/abs/1705.07057
"""

# Shapes: K components, Z latents, B batch.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from genus.distributions.flow import MaskedFlow, affine_steps
from genus.distributions.gaussian import DiagonalGaussian
from genus.distributions.latent_law import LatentLaw, Posterior
from genus.distributions.latent_mixture import LatentMixture
from genus.random import Noise

PriorName = Literal["normal", "mixture", "vamp", "flow", "autoregressive"]
Encoder = Callable[[Tensor], Posterior]
"""From a batch in the network's own scale to its posterior."""


class PriorPart(nn.Module):
    """The law of the latents."""

    def forward(self, encoder: Encoder) -> LatentLaw:
        """Return the law; only a VampPrior looks at the encoder."""
        raise NotImplementedError

    def begin(self, u_B: Tensor) -> None:
        """Take first values from some of the data, in the network's own scale."""


class Ordered(Protocol):
    """A density over real vectors with an order, such as MADE."""

    def conditional_log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B,)`` nats."""
        ...

    def from_uniform(
        self, u_BD: Tensor, y: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Return the vector that each row of uniform noise stands for."""
        ...


class NormalPrior(PriorPart):
    """The standard normal.

    Args:
        latents: Z.
    """

    zero_1Z: Tensor

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.register_buffer("zero_1Z", torch.zeros(1, latents), persistent=False)

    def forward(self, encoder: Encoder) -> DiagonalGaussian:
        """Return the law."""
        return DiagonalGaussian(self.zero_1Z, self.zero_1Z)


class MixturePrior(PriorPart):
    """A mixture of Gaussians whose weights, means and deviations are learned.

    Args:
        latents: Z.
        components: K.
    """

    def __init__(self, latents: int, components: int) -> None:
        super().__init__()
        self.logits_K = nn.Parameter(torch.zeros(components))
        self.mean_KZ = nn.Parameter(torch.randn(components, latents))
        self.log_scale_KZ = nn.Parameter(torch.zeros(components, latents))

    def forward(self, encoder: Encoder) -> LatentMixture:
        """Return the law."""
        return LatentMixture(self.logits_K, self.mean_KZ, self.log_scale_KZ)


class VampPrior(PriorPart):
    r"""The mean of the posteriors of learned pseudo-examples.

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    Args:
        components: K.
        shape: of an example.
        limit: pseudo-examples stay within plus and minus this, or None.
    """

    def __init__(self, components: int, shape: tuple[int, ...], limit: float | None) -> None:
        super().__init__()
        self.limit = limit
        self.pseudo_K = nn.Parameter(0.1 * torch.randn(components, *shape))

    @torch.no_grad()
    def begin(self, u_B: Tensor) -> None:
        """Begin at noisy examples, for a mean of whose posteriors the data are likely."""
        rows_K = torch.arange(len(self.pseudo_K), device=u_B.device) % len(u_B)
        self.pseudo_K.copy_(0.8 * u_B[rows_K] + 0.1 * torch.randn_like(self.pseudo_K))

    def forward(self, encoder: Encoder) -> LatentMixture:
        """Return the law."""
        u_K = self.pseudo_K
        law = encoder(u_K if self.limit is None else u_K.clamp(-self.limit, self.limit))
        assert isinstance(law, DiagonalGaussian)
        return LatentMixture(law.mean.new_zeros(len(u_K)), law.mean, law.log_scale)


class OrderedPrior(PriorPart):
    """An autoregressive model over the latents.

    Args:
        latents: Z.
        model: a density over ``(Z,)`` real numbers, trained with the rest.
    """

    def __init__(self, latents: int, model: nn.Module) -> None:
        super().__init__()
        self.latents, self.model = latents, model

    def forward(self, encoder: Encoder) -> OrderedLaw:
        """Return the law."""
        return OrderedLaw(self.latents, cast("Ordered", self.model))


@dataclass(frozen=True, eq=False)
class OrderedLaw:
    """The law of an autoregressive model over latent vectors.

    Args:
        latents: Z.
        model: the density.
    """

    latents: int
    model: Ordered

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density in nats, ``(...)``, of vectors ``(..., Z)``."""
        with torch.autocast(z.device.type, enabled=False):
            log_p_N = self.model.conditional_log_prob(z.reshape(-1, self.latents), None)
        return log_p_N.view(z.shape[:-1])

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return one vector for each row of noise, ``(n, Z)``, one latent after another."""
        return self.model.from_uniform(noise.uniform(self.latents), temperature=temperature)


class FlowPrior(PriorPart):
    """A masked autoregressive flow.

    Args:
        latents: Z.
        steps: maps.
        hidden: units of their hidden layers.
    """

    def __init__(self, latents: int, steps: int, hidden: int) -> None:
        super().__init__()
        self.latents = latents
        self.steps = affine_steps(latents, steps, hidden)

    def forward(self, encoder: Encoder) -> MaskedFlow:
        """Return the law."""
        return MaskedFlow(self.latents, tuple(self.steps))
