"""The likelihood of PixelCNN++: one mixture for a whole pixel, whose colours depend on each other.

References:
    | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
    | Modifications (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
"""

# Shapes: B batch, C colours, H height, W width, M components, N outputs for one pixel.
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from genus.distributions.level import DiscretizedLogistic
from genus.distributions.likelihoods import Likelihood
from genus.distributions.logistic_mixture import LogisticMixture

FLOOR = -7.0
"""Least log-scale, for levels scaled to [-1, 1] (Salimans et al. 2017)."""
WIDEST = 7.0
"""Greatest log-scale there: such a law is a coin between the first and the last level."""
USUAL = math.log(0.2)
"""Log-scale for an output of zero: a tenth of the range of levels."""


@dataclass(frozen=True)
class PixelMixture(Likelihood):
    r"""A mixture of discretized logistics over the colours of a pixel together.

    .. math:: P(x) = \sum_m \pi_m \prod_c P_m(x_c \mid x_{<c}), \qquad
        \mu_{m,c} = a_{m,c} + \sum_{c' < c} \tanh(b_{m,c,c'})\, u_{c'}

    with :math:`u` the levels scaled to [-1, 1]. One component speaks for all colours, so they
    depend on each other through the component as well as through the coefficients. Written one
    colour at a time it is a mixture again, with the posterior weights of the components:

    .. math:: P(x_c \mid x_{<c}) = \sum_m w_{m,c} P_m(x_c \mid x_{<c}), \qquad
        w_{m,c} \propto \pi_m \prod_{c' < c} P_m(x_{c'} \mid x_{<c'})

    so that the product over the colours is the joint law, exactly.

    Args:
        name: "logistic".
        spec: images ``(C, H, W)`` with levels.
        components: M.

    Raises:
        SpecError: the data have no levels.

    Example:
        >>> from genus.spec import Spec
        >>> mixture = PixelMixture("logistic", Spec(shape=(3, 2, 2), levels=256), components=5)
        >>> mixture.outputs, mixture.width
        (50, 15)
        >>> raw, u = torch.zeros(1, 50, 2, 2), torch.zeros(1, 3, 2, 2)
        >>> mixture.parameters(raw, u).shape
        torch.Size([1, 3, 2, 2, 15])
    """

    components: int = 10

    @property
    def width(self) -> int:
        """P, the parameters of one sub-pixel: weight, location and scale of each component."""
        return 3 * self.components

    @property
    def outputs(self) -> int:
        """N, what a network gives for a pixel: M (1 + 2 C + C (C - 1) / 2) numbers."""
        C = self.spec.shape[0]
        return self.components * (1 + 2 * C + C * (C - 1) // 2)

    def __call__(self, parameters: Tensor) -> LogisticMixture:
        """Return the law of sub-pixels ``(...)`` from their parameters ``(..., 3 M)``."""
        exact = parameters if parameters.element_size() > 2 else parameters.float()
        logits, location, log_scale = exact.chunk(3, -1)
        return LogisticMixture(logits, location, log_scale, self.spec.levels_or_raise)

    def parameters(self, raw_BNHW: Tensor, u_BCHW: Tensor) -> Tensor:
        """Return the parameters of every sub-pixel given the colours before it.

        Args:
            raw_BNHW: a network's outputs, which may depend on earlier pixels only.
            u_BCHW: the image, scaled to [-1, 1].

        Returns:
            ``(B, C, H, W, 3 M)``, for `__call__`.
        """
        return torch.stack(list(self.by_colour(raw_BNHW, u_BCHW)), 1)

    def of_colour(self, c: int, raw_BNHW: Tensor, u_BCHW: Tensor) -> Tensor:
        """Return the parameters ``(B, H, W, 3 M)`` of colour c; later ones may be anything."""
        return next(islice(self.by_colour(raw_BNHW, u_BCHW), c, None))

    def by_colour(self, raw_BNHW: Tensor, u_BCHW: Tensor) -> Iterator[Tensor]:
        """Yield the parameters ``(B, H, W, 3 M)`` of one colour after another."""
        exact = raw_BNHW if raw_BNHW.element_size() > 2 else raw_BNHW.float()
        C, half = self.spec.shape[0], (self.spec.levels_or_raise - 1) / 2
        rows = torch.split(exact.permute(0, 2, 3, 1), self.components, -1)
        weight, location, log_scale = rows[0], rows[1 : 1 + C], rows[1 + C : 1 + 2 * C]
        coefficients = iter(rows[1 + 2 * C :])
        u_BHW1 = u_BCHW.to(exact).unsqueeze(-1).unbind(1)
        for c in range(C):
            centre = location[c]
            for earlier in range(c):
                centre = centre + next(coefficients).tanh() * u_BHW1[earlier]
            centre = half * (1 + centre)
            spread = (log_scale[c] + USUAL).clamp(FLOOR, WIDEST) + math.log(half)
            yield torch.cat([weight, centre, spread], -1)
            if c + 1 < C:
                law = DiscretizedLogistic(centre, spread, self.spec.levels_or_raise)
                weight = weight + law.log_prob(whole_levels(u_BHW1[c], half))


def whole_levels(u: Tensor, half: float) -> Tensor:
    """Return scaled levels as levels again, as whole numbers with a derivative.

    Scaling rounds, and the first and the last level must be met exactly, for they hold the tails.
    Between levels, where the dependence on each entry is measured, the value is that of the
    nearest level, and the derivative ignores the rounding.

    Args:
        u: levels scaled to [-1, 1], of any shape.
        half: half of the greatest level.
    """
    real = (u + 1) * half
    return real + (real.round() - real).detach()
