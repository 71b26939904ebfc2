"""A mixture of Gaussians for each real entry: a law of any shape, drawn by inverse transform."""

# Shapes: ... any event, M components.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDS = 200
"""Steps of `EntryMixture.icdf` at most; about eight are usual, and bisection alone needs sixty."""


@dataclass(frozen=True, eq=False)
class EntryMixture:
    r"""A one-dimensional mixture of Gaussians for each entry of an event.

    .. math:: p(x) = \sum_m \pi_m\, N(x; \mu_m, \sigma_m^2), \qquad \pi = \mathrm{softmax}(l)

    Args:
        logits: ``(..., M)``, of any offset.
        location: ``(..., M)``, in the unit of the data.
        log_scale: ``(..., M)``, log of the standard deviations.

    Example:
        >>> law = EntryMixture(torch.zeros(1, 2), torch.tensor([[-3.0, 3.0]]), torch.zeros(1, 2))
        >>> law.icdf(torch.tensor([0.5])).abs() < 1e-6, law.mean
        (tensor([True]), tensor([0.]))
    """

    logits: Tensor
    location: Tensor
    log_scale: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of every entry, ``(...)``."""
        standard = (x.unsqueeze(-1) - self.location) * torch.exp(-self.log_scale)
        parts = self.logits.log_softmax(-1) - self.log_scale - 0.5 * standard.square()
        return parts.logsumexp(-1) - 0.5 * math.log(2 * math.pi)

    def icdf(self, u: Tensor) -> Tensor:
        r"""Return real numbers (...) drawn by inverse transform of ``u`` (...).

        The equation :math:`\sum_m \pi_m \Phi((x - \mu_m)/\sigma_m) = u` is solved in float64. The
        quantiles of the components enclose the solution; Newton's steps are taken where they stay
        inside what is left and shrink, and the middle otherwise. Each entry stops when its own
        step is lost in rounding, so that it does not depend on the others.
        """
        return _Quantile(self, u.double().clamp(min=2.0**-25)).solve().to(self.location.dtype)

    def tempered(self, temperature: float) -> EntryMixture:
        r"""Return the law whose components and weights are tempered.

        .. math:: \sigma_m' = \sigma_m \sqrt T, \qquad
            \pi_m' \propto \pi_m^{1/T} \sigma_m^{1 - 1/T}

        A component to the power 1/T has the standard deviation :math:`\sigma_m'` and an integral
        that is proportional to :math:`\sigma_m^{1 - 1/T}`. So this is the normalised
        :math:`p^{1/T}` if there is one component, or wherever components do not overlap; where
        they do, the sum of powers stands for the power of the sum, which is no mixture. As T goes
        to 0 the draw becomes the location of the component with the highest peak.
        """
        sharpness = 1 / temperature
        logits = self.logits * sharpness + self.log_scale * (1 - sharpness)
        log_scale = self.log_scale + 0.5 * math.log(temperature)
        return EntryMixture(logits, self.location, log_scale)

    @property
    def mean(self) -> Tensor:
        """Mean (...), not the most likely value."""
        return (self.logits.softmax(-1) * self.location).sum(-1)


class _Quantile:
    """Solves for the quantiles ``u`` of a mixture, entry by entry, in float64.

    Beyond the median the tail above is compared, so that no digits are lost near one.
    """

    def __init__(self, law: EntryMixture, u: Tensor) -> None:
        self.weight = law.logits.double().softmax(-1)
        self.location, self.scale = law.location.double(), law.log_scale.double().exp()
        self.side = torch.where(u < 0.5, 1.0, -1.0).to(u)
        self.tail = torch.where(u < 0.5, u, 1 - u)
        quantiles: Tensor = self.location + self.scale * torch.special.ndtri(u).unsqueeze(-1)
        self.lower, self.upper = quantiles.amin(-1), quantiles.amax(-1)
        self.x: Tensor = (self.weight * quantiles).sum(-1).clamp(self.lower, self.upper)

    def solve(self) -> Tensor:
        """Return the quantiles."""
        step = self.upper - self.lower
        finest = self.scale.amin(-1) * 2.0**-50
        done = torch.zeros_like(self.x, dtype=torch.bool)
        for _ in range(ROUNDS):
            proposal = self.proposal(step)
            step = proposal - self.x
            done = done | ~(step.abs() > finest + self.x.abs() * 2.0**-50)
            if bool(done.all()):
                break
            self.x = torch.where(done, self.x, proposal)
        return self.x

    def proposal(self, step: Tensor) -> Tensor:
        """Narrow the bracket at x, and return the next x; the last step was ``step``."""
        standard = (self.x.unsqueeze(-1) - self.location) / self.scale
        reached = torch.special.ndtr(standard * self.side.unsqueeze(-1))
        excess = self.side * ((self.weight * reached).sum(-1) - self.tail)
        bell = torch.exp(-0.5 * standard.square()) / self.scale
        slope = (self.weight * bell).sum(-1) / math.sqrt(2 * math.pi)
        self.lower = torch.where(excess < 0, self.x, self.lower)
        self.upper = torch.where(excess < 0, self.upper, self.x)
        newton = self.x - excess / slope
        inside = (newton >= self.lower) & (newton <= self.upper)
        shrinks = (newton - self.x).abs() <= 0.5 * step.abs()
        return torch.where(inside & shrinks, newton, (self.lower + self.upper) / 2)
