"""Laws over levels, one for each entry of an example.

Each is a probability mass over ``0 .. K-1`` that sums to one for any parameters, and each draws
by inverse transform of uniform noise, so that two samplers with the same noise draw the same.
"""

# Shapes: ... any event, K levels.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.random import categorical_icdf


@dataclass(frozen=True, eq=False)
class Categorical:
    """A free probability for every level.

    Args:
        logits: ``(..., K)``, of any offset.

    Example:
        >>> Categorical(torch.zeros(3, 4)).log_prob(torch.tensor([0, 1, 3])).exp()
        tensor([0.2500, 0.2500, 0.2500])
    """

    logits: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log mass of levels ``x`` (...)."""
        flat = self.logits.reshape(-1, self.logits.shape[-1])
        return -F.cross_entropy(flat, x.reshape(-1).long(), reduction="none").view(x.shape)

    def log_probs(self) -> Tensor:
        """Return the log mass of every level, ``(..., K)``."""
        return self.logits.log_softmax(-1)

    def icdf(self, u: Tensor) -> Tensor:
        """Return levels (...) drawn by inverse transform of ``u`` (...)."""
        return categorical_icdf(self.logits, u)

    def tempered(self, temperature: float) -> Categorical:
        """Return the law with logits divided by ``temperature``."""
        return Categorical(self.logits / temperature)

    @property
    def mean(self) -> Tensor:
        """Mean level (...)."""
        levels = torch.arange(self.logits.shape[-1], device=self.logits.device)
        return (self.logits.softmax(-1) * levels).sum(-1)


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """Levels 0 and 1 by one logit.

    Args:
        logits: ``(...)``, log-odds of level 1.

    Example:
        >>> Bernoulli(torch.zeros(2)).log_prob(torch.tensor([0, 1])).exp()
        tensor([0.5000, 0.5000])
    """

    logits: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log mass of levels ``x`` (...)."""
        target = x.to(self.logits)
        return -F.binary_cross_entropy_with_logits(self.logits, target, reduction="none")

    def log_probs(self) -> Tensor:
        """Return the log mass of both levels, ``(..., 2)``."""
        return torch.stack([F.logsigmoid(-self.logits), F.logsigmoid(self.logits)], -1)

    def icdf(self, u: Tensor) -> Tensor:
        """Return levels (...) drawn by inverse transform of ``u`` (...)."""
        return (u.double() >= self.logits.double().neg().sigmoid_()).long()

    def tempered(self, temperature: float) -> Bernoulli:
        """Return the law with logits divided by ``temperature``."""
        return Bernoulli(self.logits / temperature)

    @property
    def mean(self) -> Tensor:
        """Probability of level 1."""
        return self.logits.sigmoid()


@dataclass(frozen=True, eq=False)
class DiscretizedLogistic:
    r"""A logistic law rounded to levels, with the tails folded into the first and the last.

    .. math:: P(x) = \sigma\Big(\frac{x + \frac12 - \mu}{s}\Big)
        - \sigma\Big(\frac{x - \frac12 - \mu}{s}\Big)

    where the upper term is 1 at the last level and the lower 0 at the first, so that the masses
    sum to one for any :math:`\mu, s` and any number of levels.

    References:
        | Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

    Args:
        location: ``(...)``, in levels.
        log_scale: ``(...)``, log of the scale in levels.
        levels: how many.

    Example:
        >>> law = DiscretizedLogistic(torch.tensor([3.2]), torch.tensor([0.5]), levels=16)
        >>> law.log_probs().exp().sum()
        tensor(1.)
    """

    location: Tensor
    log_scale: Tensor
    levels: int

    def log_prob(self, x: Tensor) -> Tensor:
        r"""Return the log mass of levels ``x`` (...).

        With :math:`a = (x + 1/2 - \mu)/s` and :math:`d = 1/s`, the difference of sigmoids is
        :math:`\sigma(a)\,\sigma(d - a)\,(1 - e^{-d})`, which does not cancel in the far tails.
        """
        scale = self.log_scale.exp()
        upper = (x.to(self.location) + 0.5 - self.location) / scale
        width = 1 / scale
        lower = upper - width
        middle = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        tails = torch.where(x == 0, F.logsigmoid(upper), middle)
        return torch.where(x == self.levels - 1, F.logsigmoid(-lower), tails)

    def log_probs(self) -> Tensor:
        """Return the log mass of every level, ``(..., K)``."""
        levels = torch.arange(self.levels, device=self.location.device)
        wide = DiscretizedLogistic(
            self.location.unsqueeze(-1), self.log_scale.unsqueeze(-1), self.levels
        )
        return wide.log_prob(levels.expand(*self.location.shape, self.levels))

    def icdf(self, u: Tensor) -> Tensor:
        """Return levels (...) drawn by rounding a logistic draw into the tails' levels."""
        tiny = torch.finfo(u.dtype).tiny
        draw = self.location + self.log_scale.exp() * torch.logit(u.clamp(min=tiny))
        return (draw + 0.5).floor().clamp(0, self.levels - 1).long()

    def tempered(self, temperature: float) -> DiscretizedLogistic:
        """Return the law with its scale multiplied by ``temperature``."""
        return DiscretizedLogistic(
            self.location, self.log_scale + math.log(temperature), self.levels
        )

    @property
    def mean(self) -> Tensor:
        """Location, within the range of the levels."""
        return self.location.clamp(0, self.levels - 1)


LevelLaw = Categorical | Bernoulli | DiscretizedLogistic
