"""A Gaussian rounded to levels."""

# Shapes: ... any event, K levels.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class DiscretizedGaussian:
    r"""A Gaussian rounded to levels, with the tails folded into the first and the last.

    .. math:: P(x) = \Phi\Big(\frac{x + \frac12 - \mu}{\sigma}\Big)
        - \Phi\Big(\frac{x - \frac12 - \mu}{\sigma}\Big)

    where the upper term is 1 at the last level and the lower 0 at the first, so that the masses
    sum to one. Differences are taken in the log domain, on the side where both terms are small,
    and in float64, so that masses are right to many digits a thousand deviations out.

    Args:
        location: ``(...)``, in levels.
        log_scale: ``(...)``, log of the standard deviation in levels.
        levels: how many.

    Example:
        >>> law = DiscretizedGaussian(torch.tensor([3.2]), torch.tensor([0.5]), levels=16)
        >>> law.log_probs().exp().sum()
        tensor(1.)
    """

    location: Tensor
    log_scale: Tensor
    levels: int

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log mass of levels ``x`` (...)."""
        location, scale = self.location.double(), self.log_scale.double().exp()
        lower = (x - 0.5 - location) / scale
        upper = (x + 0.5 - location) / scale
        lower = lower.masked_fill(x == 0, -math.inf)
        upper = upper.masked_fill(x == self.levels - 1, math.inf)
        log_mass = _log_mass(lower, upper, _log_tail(lower), _log_tail(upper))
        return log_mass.to(self.location.dtype)

    def log_probs(self) -> Tensor:
        """Return the log mass of every level, ``(..., K)``."""
        return self._cells()[2].to(self.location.dtype)

    def _cells(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return lower edge, upper edge and log mass of every level, in deviations and float64."""
        location, scale = self.location.double(), self.log_scale.double().exp()
        inner = torch.arange(1, self.levels, device=location.device) - 0.5
        edges = (inner - location.unsqueeze(-1)) / scale.unsqueeze(-1)
        ends = edges.new_full((*edges.shape[:-1], 1), math.inf)
        edges = torch.cat([-ends, edges, ends], -1)
        tails = _log_tail(edges)  # once for each edge, as neighbours share it
        lower, upper = edges[..., :-1], edges[..., 1:]
        return lower, upper, _log_mass(lower, upper, tails[..., :-1], tails[..., 1:])

    def cell_moments(self) -> tuple[Tensor, Tensor]:
        r"""Return the mean and mean square of :math:`z` within the cell of every level.

        They are those of the truncated standard normal, :math:`z = (v - \mu)/\sigma`, where v is
        the real number that was rounded; both ``(..., K)`` and float64.
        """
        lower, upper, log_mass = self._cells()
        at_lower, at_upper = _density_ratio(lower, log_mass), _density_ratio(upper, log_mass)
        mean = torch.minimum(torch.maximum(at_lower - at_upper, lower), upper)
        # An infinite edge has density zero, and zero times it must be zero.
        swing = lower.nan_to_num(neginf=0) * at_lower - upper.nan_to_num(posinf=0) * at_upper
        return mean, torch.maximum(1 + swing, mean.square())

    def icdf(self, u: Tensor) -> Tensor:
        """Return levels (...) drawn by rounding a Gaussian draw into the tails' levels."""
        tiny = torch.finfo(torch.float64).tiny
        normal: Tensor = torch.special.ndtri(u.double().clamp(min=tiny))
        draw = self.location.double() + self.log_scale.double().exp() * normal
        return (draw + 0.5).floor().clamp(0, self.levels - 1).long()

    def tempered(self, temperature: float) -> DiscretizedGaussian:
        """Return the law of the Gaussian's log-density divided by ``temperature``, rounded."""
        log_scale = self.log_scale + 0.5 * math.log(temperature)
        return DiscretizedGaussian(self.location, log_scale, self.levels)

    @property
    def mean(self) -> Tensor:
        """Location, within the range of the levels."""
        return self.location.clamp(0, self.levels - 1)


def _log_tail(edge: Tensor) -> Tensor:
    """Return the log of the standard normal's mass beyond an edge, on the side away from zero."""
    tail: Tensor = torch.special.log_ndtr(-edge.abs())
    return tail


def _log_mass(lower: Tensor, upper: Tensor, beyond_lower: Tensor, beyond_upper: Tensor) -> Tensor:
    """Return the log of the standard normal's mass between two edges, from its tails there."""
    around_zero = torch.log1p(-beyond_lower.exp() - beyond_upper.exp())
    near = torch.maximum(beyond_lower, beyond_upper)
    far = torch.minimum(beyond_lower, beyond_upper)
    one_side = near + torch.log(-torch.expm1(far - near))
    return torch.where((lower < 0) & (upper > 0), around_zero, one_side)


def _density_ratio(edge: Tensor, log_mass: Tensor) -> Tensor:
    """Return the standard normal's density at an edge over the mass of the cell."""
    return torch.exp(-0.5 * edge.square() - 0.5 * math.log(2 * math.pi) - log_mass)
