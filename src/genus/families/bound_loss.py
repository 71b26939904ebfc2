r"""What a latent-variable model descends in training: the bounds, and what helps them on their way.

Weights, free bits and warm-up change what is descended and never what is reported.

References:
    | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
    | beta-VAE (Higgins et al., 2017), https://openreview.net/forum?id=Sy2fzU9gl
    | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
    | https://arxiv.org/abs/1606.04934 (free bits)
    | Ladder Variational Autoencoders (Sonderby et al., 2016), https://arxiv.org/abs/1602.02282
    | (warm-up)
    | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019)
    | https://arxiv.org/abs/1810.04152
"""

# Shapes: B batch, k draws for each example, G groups of latents, N = B * k.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from genus.config import check_positive
from genus.distributions.latent_law import in_use
from genus.distributions.ordered import ExampleLaw
from genus.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BoundOptions:
    """How a bound is descended; a latent-variable model's Config has these options too."""

    objective: Literal["elbo", "iwae", "dreg"] = "elbo"
    """The evidence lower bound, the importance-weighted one, or that with doubly reparameterised
    gradients of the encoder."""
    samples: int = 1
    """k, draws for each example and step."""
    rise: float = 0.0
    """Share of the training over which an importance-weighted bound's draws rise from 1 to k."""
    beta: float = 1.0
    """Weight of the divergence in the ELBO; above 1 latents say less, each on its own."""
    warmup: float = 0.0
    """Share of the training over which the weight of the divergence rises from 0."""
    free_bits: float = 0.0
    """Nats of each group's mean divergence that cost nothing, so that the group is used."""

    def __post_init__(self) -> None:
        check_positive(self, "samples")
        wrong = [
            f"{name}={value} must not be below zero"
            for name, value in (("beta", self.beta), ("free_bits", self.free_bits))
            if not value >= 0
        ]
        wrong += [
            f"{name}={value} is a share of the training, from 0 to 1"
            for name, value in (("warmup", self.warmup), ("rise", self.rise))
            if not 0 <= value <= 1
        ]
        if self.objective == "elbo" and self.rise:
            wrong.append(
                f"rise={self.rise} is for bounds that more draws make tighter; leave it, or take "
                "objective='iwae' or 'dreg'"
            )
        if self.objective != "elbo" and (self.beta != 1 or self.free_bits > 0):
            wrong.append(
                f"objective={self.objective!r} has no divergence of its own to weigh; leave beta "
                "and free_bits, or take objective='elbo'"
            )
        if wrong:
            raise ConfigError("; ".join(wrong))

    @property
    def weighs(self) -> bool:
        """Whether what is descended is not the bound itself."""
        return self.beta != 1 or self.free_bits > 0 or self.warmup > 0

    def weight(self, progress: float) -> float:
        """Return what the divergence weighs when a share of the training is over."""
        return self.beta * (min(1.0, progress / self.warmup) if self.warmup else 1.0)

    def draws(self, progress: float) -> int:
        """Return how many draws a step makes when a share of the training is over.

        They rise geometrically: a step with few draws costs little, and while the model knows
        little, more of them teach it next to nothing that more steps would not.

        Example:
            >>> options = BoundOptions(objective="iwae", samples=50, rise=0.5)
            >>> [options.draws(progress) for progress in (0.0, 0.1, 0.25, 0.4, 0.5, 1.0)]
            [1, 2, 7, 23, 50, 50]
        """
        if progress >= self.rise:
            return self.samples
        return round(math.exp(progress / self.rise * math.log(self.samples)))


@dataclass(frozen=True, eq=False)
class Inference:
    """``k`` draws of the latents of each example, and what a bound needs of them.

    Args:
        law: p(x | z) over ``(N, *shape)``.
        log_p_BkG: log p of each group of latents given those before it.
        log_q_BkG: log q of the same, given the example.
        kl_BkG: divergences by formula where there is one, else ``log_q - log_p``.
        centre_BE: middle of the posterior; it says which latents are in use.
    """

    law: ExampleLaw
    log_p_BkG: Tensor
    log_q_BkG: Tensor
    kl_BkG: Tensor
    centre_BE: Tensor

    def reconstruction(self, x: Tensor) -> Tensor:
        """Return log p(x | z) of the examples ``(B, *shape)``, ``(B, k)``."""
        k = self.log_p_BkG.shape[1]
        rows = x if k == 1 else x.repeat_interleave(k, 0)
        return self.law.log_prob(rows).flatten(1).sum(1).view(len(x), k)

    def log_weights(self, x: Tensor, weight: float = 1.0) -> Tensor:
        """Return log p(x | z) + weight (log p(z) - log q(z | x)), ``(B, k)``."""
        return self.reconstruction(x) + weight * (self.log_p_BkG - self.log_q_BkG).sum(-1)


def log_mean_exp(log_weight_Bk: Tensor) -> Tensor:
    """Return the log of the mean of weights, ``(B,)``."""
    return log_weight_Bk.logsumexp(1) - math.log(log_weight_Bk.shape[1])


def elbo_loss(
    reconstruction_Bk: Tensor, kl_BkG: Tensor, options: BoundOptions, progress: float
) -> Tensor:
    """Return minus the ELBO in nats, with its divergence weighed as the options say.

    Args:
        reconstruction_Bk: log p(x | z).
        kl_BkG: divergences of each group.
        options: of training.
        progress: share of the training that is over.
    """
    weight = options.weight(progress)
    kl_G = kl_BkG.mean((0, 1)).clamp(min=options.free_bits)
    return weight * kl_G.sum() - reconstruction_Bk.mean()


def doubly_reparameterised(z: Tensor, log_weight_Bk: Tensor) -> Tensor:
    r"""Return minus the IWAE bound, with a gradient that has the same mean and less noise.

    With :math:`\tilde w_i = w_i / \sum_j w_j`, the parameters of the model get
    :math:`\sum_i \tilde w_i \nabla \log w_i` and those of the encoder
    :math:`\sum_i \tilde w_i^2 \nabla_{z_i} \log w_i \nabla z_i`. In the warm-up, while
    the divergence weighs less than one, the mean is the same for a single draw alone.

    Args:
        z: ``(B, k, Z)``, the draws; gradients are scaled on their way through it.
        log_weight_Bk: of which log q must depend on the encoder through z alone.
    """
    share_Bk = log_weight_Bk.detach().softmax(1)
    if z.requires_grad:
        z.register_hook(lambda gradient: gradient * share_Bk.unsqueeze(-1))  # type: ignore[no-untyped-call]
    loss = -(share_Bk * log_weight_Bk).sum(1).mean()
    value = -log_mean_exp(log_weight_Bk).mean()
    return loss + (value - loss).detach()


def report(reconstruction_Bk: Tensor, kl_BkG: Tensor, centre_BE: Tensor) -> dict[str, Tensor]:
    """Return what a log says beside the loss, in nats per example and numbers of latents."""
    kl_G = kl_BkG.mean((0, 1)).detach()
    groups = {f"kl_{g + 1}": value for g, value in enumerate(kl_G)} if len(kl_G) > 1 else {}
    return {
        "reconstruction": reconstruction_Bk.mean().detach(),
        "kl": kl_G.sum(),
        "active": in_use(centre_BE.detach().var(0, correction=0)),
        **groups,
    }
