"""Mixtures of discretized logistics: one law over levels for each entry, and one for whole pixels.

References:
    | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
    | Modifications (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
"""

# Shapes: ... any event, M components, K levels.
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.distributions.level import Categorical, DiscretizedLogistic


@dataclass(frozen=True, eq=False)
class LogisticMixture:
    r"""A mixture of logistic laws that are rounded to levels.

    .. math:: P(x) = \sum_m w_m \Big[ \sigma\Big(\frac{x + \frac12 - \mu_m}{s_m}\Big)
        - \sigma\Big(\frac{x - \frac12 - \mu_m}{s_m}\Big) \Big]

    with the tails folded into the first and the last level, as `DiscretizedLogistic` does it, so
    that the masses sum to one for any parameters and any number of levels.

    Args:
        logits: ``(..., M)``, log of the weights, of any offset.
        location: ``(..., M)``, in levels.
        log_scale: ``(..., M)``, log of the scale in levels.
        levels: how many.

    Example:
        >>> two = torch.zeros(2)
        >>> law = LogisticMixture(two, torch.tensor([2.0, 13.0]), two, levels=16)
        >>> law.log_probs().exp().sum(), law.icdf(torch.tensor(0.75))
        (tensor(1.), tensor(13))
    """

    logits: Tensor
    location: Tensor
    log_scale: Tensor
    levels: int

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log mass of levels ``x`` (...)."""
        parts = DiscretizedLogistic(self.location, self.log_scale, self.levels)
        return (self.logits.log_softmax(-1) + parts.log_prob(x.unsqueeze(-1))).logsumexp(-1)

    def log_probs(self) -> Tensor:
        """Return the log mass of every level, ``(..., K)``."""
        levels_K = torch.arange(self.levels, device=self.logits.device)
        wide = LogisticMixture(
            logits=self.logits.unsqueeze(-2),
            location=self.location.unsqueeze(-2),
            log_scale=self.log_scale.unsqueeze(-2),
            levels=self.levels,
        )
        return wide.log_prob(levels_K)

    def icdf(self, u: Tensor) -> Tensor:
        """Return levels (...) drawn by inverse transform of ``u`` (...).

        A draw of a real number, rounded, would not know which component it comes from without
        more noise; the cumulative masses of the levels need none.
        """
        return (u.double().unsqueeze(-1) >= self.cumulative()).sum(-1)

    def tempered(self, temperature: float) -> LogisticMixture | Categorical:
        """Return the law with the log mass of every level divided by ``temperature``.

        That is the exact power of the mixture, normalised again over the levels, and no longer a
        mixture of logistics. Dividing the components' logits and scales instead, as is common,
        would be another law, whose limit at temperature zero is not the most probable level.
        """
        return self if temperature == 1 else Categorical(self.log_probs() / temperature)

    @property
    def mean(self) -> Tensor:
        """Mean level (...): the sum over levels of the mass above each."""
        return (1 - self.cumulative()).sum(-1).to(self.location)

    def cumulative(self) -> Tensor:
        """Return the mass of each level and all below it, ``(..., K - 1)`` without the last level.

        It runs in float64, so that the last level keeps its mass for any K.
        """
        edge_K1 = torch.arange(self.levels - 1, device=self.location.device).unsqueeze(-1) + 0.5
        location, scale = self.location.double(), self.log_scale.double().exp()
        z = (edge_K1 - location.unsqueeze(-2)) / scale.unsqueeze(-2)
        weight = self.logits.double().softmax(-1)
        return (z.sigmoid() @ weight.unsqueeze(-1)).squeeze(-1)
