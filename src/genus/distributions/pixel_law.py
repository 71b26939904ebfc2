r"""The law of images whose colours depend on each other and whose pixels do not.

.. math:: p(x \mid r) = \prod_i \prod_c P(x_{i,c} \mid x_{i,<c}, r_i)

with :math:`r_i` what a decoder says of pixel i.
"""

# Shapes: N rows, C H W an image, Q outputs for one pixel.
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.distributions.likelihoods import Law
from genus.distributions.logistic_mixture import LogisticMixture
from genus.distributions.ordered import OrderedLaw
from genus.distributions.pixel_mixture import PixelMixture
from genus.distributions.units import scaled_levels


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelLaw(OrderedLaw):
    """An `OrderedLaw` of which a colour of all pixels is drawn at once.

    Args:
        mixture: over the colours of a pixel.
        raw: its outputs ``(N, Q, H, W)``.
    """

    mixture: PixelMixture
    raw: Tensor

    @torch.no_grad()
    def fill(self, x: Tensor, known: Tensor, u: Tensor) -> Tensor:
        """Return x with what is not known drawn, each colour given those before it.

        It draws what the walk over all entries draws from the same noise, in C steps.

        Args:
            x: ``(N, C, H, W)``.
            known: boolean, of that shape.
            u: uniform noise ``(N, C, H, W)``.
        """
        filled, known = x.clone(), known.expand_as(x)
        levels = self.mixture.spec.levels_or_raise
        for c in range(x.shape[1]):
            u_NCHW = scaled_levels(filled, levels, self.raw.dtype)
            law = self.mixture(self.mixture.of_colour(c, self.raw, u_NCHW))
            drawn_NHW = law.tempered(self.temperature).icdf(u[:, c])
            filled[:, c] = torch.where(known[:, c], filled[:, c], drawn_NHW.to(filled))
        return filled


def pixel_law(mixture: PixelMixture, raw: Tensor) -> PixelLaw | LogisticMixture:
    """Return the law of images given what a decoder says of each pixel.

    Args:
        mixture: over the colours of a pixel.
        raw: its outputs ``(N, Q, H, W)``.

    Returns:
        a `PixelLaw`; of images of one colour a law of entries that are independent.

    Example:
        >>> from genus.spec import Spec
        >>> mixture = PixelMixture("logistic", Spec(shape=(3, 2, 2), levels=4), components=2)
        >>> law = pixel_law(mixture, torch.zeros(5, mixture.outputs, 2, 2))
        >>> law.log_prob(law.icdf(torch.rand(5, 3, 2, 2))).shape
        torch.Size([5, 3, 2, 2])
    """
    C, H, W = mixture.spec.shape
    exact = raw if raw.element_size() > 2 else raw.float()

    def conditionals(x: Tensor) -> LogisticMixture:
        u_NCHW = scaled_levels(x, mixture.spec.levels_or_raise, exact.dtype)
        return mixture(mixture.parameters(exact, u_NCHW))

    if C == 1:
        return conditionals(exact.new_zeros(len(raw), 1, H, W))
    places_CHW = torch.arange(C * H * W).view(C, H, W)
    return PixelLaw(
        conditionals=conditionals,
        stream=lambda: PixelWalk(mixture, exact),
        order=places_CHW.permute(1, 2, 0).flatten().tolist(),
        shape=(len(raw), C, H, W),
        device=raw.device,
        mixture=mixture,
        raw=exact,
    )


class PixelWalk:
    """The conditionals of a `PixelLaw` one by one: pixel after pixel, and its colours in turn.

    Args:
        mixture: over the colours of a pixel.
        raw: its outputs ``(N, Q, H, W)``.
    """

    def __init__(self, mixture: PixelMixture, raw: Tensor) -> None:
        self.mixture, self.raw_NQD = mixture, raw.flatten(2)
        self.pixel, self.colour = 0, 0
        self.x_NC11 = torch.zeros(len(raw), mixture.spec.shape[0], 1, 1, device=raw.device)

    def next(self) -> Law:
        """Return the law ``(N,)`` of the next entry."""
        raw_NQ11 = self.raw_NQD[:, :, self.pixel, None, None]
        u_NC11 = scaled_levels(self.x_NC11, self.mixture.spec.levels_or_raise, raw_NQ11.dtype)
        return self.mixture(self.mixture.of_colour(self.colour, raw_NQ11, u_NC11)[:, 0, 0])

    def push(self, value: Tensor) -> None:
        """Fix that entry to ``value`` ``(N,)`` and advance."""
        self.x_NC11[:, self.colour, 0, 0] = value.to(self.x_NC11)
        self.colour += 1
        if self.colour == self.x_NC11.shape[1]:
            self.pixel, self.colour = self.pixel + 1, 0

    def select(self, index_B: Tensor) -> None:
        """Rearrange the rows: row i goes on from what row ``index_B[i]`` has been given so far."""
        self.raw_NQD, self.x_NC11 = self.raw_NQD[index_B], self.x_NC11[index_B]
