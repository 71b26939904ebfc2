"""Networks that run once for a pixel: what they see is earlier pixels, colours meet in the law.

References:
    | PixelCNN++ (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
"""

# Shapes: B batch, C colours, H height, W width, F features, P parameters of a sub-pixel.
from __future__ import annotations

import abc
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.distributions.likelihoods import Law, Likelihood
from genus.distributions.pixel_mixture import PixelMixture
from genus.families.pixel import PixelNetwork, PixelStream
from genus.nn.causal import CausalConv2d
from genus.nn.cursor import Cursor
from genus.nn.weight_norm import NormedPixelConv2d

PixelLaw = Literal["auto", "mixture", "categorical"]


class MixtureHead(nn.Module):
    """One 1x1 convolution to a mixture of discretized logistics over whole pixels.

    Args:
        features: of the maps.
        mixture: the law.
    """

    def __init__(self, features: int, mixture: PixelMixture) -> None:
        super().__init__()
        self.mixture = mixture
        self.last = NormedPixelConv2d(features, mixture.outputs, (1, 1))

    def forward(self, h_BFHW: Tensor, u_BCHW: Tensor) -> Tensor:
        """Return the parameters of every sub-pixel, ``(B, C, H, W, P)``."""
        return self.mixture.parameters(self.last(h_BFHW), u_BCHW)

    def step(self, h_BF11: Tensor, u_BC11: Tensor, colour: int, cursor: Cursor) -> Tensor:
        """Return the parameters of one colour of the pixel at the cursor, ``(B, P)``."""
        raw_BN11 = self.last(h_BF11, cursor)
        return self.mixture.of_colour(colour, raw_BN11, u_BC11)[:, 0, 0]


class FreeHead(nn.Module):
    """Two 1x1 convolutions to a free probability for each level of a sub-pixel.

    The hidden features are split into groups, one for each colour, that know the colours before
    theirs; the maps know earlier pixels only, so that every group may see all of them.

    Args:
        features: of the maps.
        colours: colour channels of the image.
        width: P, the parameters of a sub-pixel.
    """

    def __init__(self, features: int, colours: int, width: int) -> None:
        super().__init__()
        hidden = max(features, colours)
        self.colours = colours
        self.penultimate = NormedPixelConv2d(features, hidden, (1, 1))
        own = CausalConv2d("A", colours, hidden, (1, 1), colours=colours)
        self.own = own if colours > 1 else None
        self.last = CausalConv2d("B", hidden, colours * width, (1, 1), colours=colours)

    def forward(self, h_BFHW: Tensor, u_BCHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return the parameters of every sub-pixel, ``(B, C, H, W, P)``."""
        hidden = self.penultimate(h_BFHW, cursor)
        if self.own is not None:
            hidden = hidden + self.own(u_BCHW, cursor)
        out_BCPHW: Tensor = self.last(F.elu(hidden), cursor).unflatten(1, (self.colours, -1))
        return out_BCPHW.permute(0, 1, 3, 4, 2)

    def step(self, h_BF11: Tensor, u_BC11: Tensor, colour: int, cursor: Cursor) -> Tensor:
        """Return the parameters of one colour of the pixel at the cursor, ``(B, P)``."""
        out_BC11P: Tensor = self(h_BF11, u_BC11, cursor)
        return out_BC11P[:, colour, 0, 0]


class WholePixelNetwork(PixelNetwork, abc.ABC):
    """Maps that know earlier pixels only, and a law over the colours of a pixel together.

    A subclass writes `maps` and `remember` and calls `build_law` when it is made. Its features at
    a pixel must not depend on any colour of that pixel.
    """

    head: MixtureHead | FreeHead
    free_law: ClassVar[str] = "categorical"
    """The likelihood, by its name in the options, that is free whatever the number of levels."""

    def build_law(self, features: int, law: PixelLaw, mixtures: int) -> None:
        """Choose the likelihood and make the last layers, from maps of ``features``.

        Args:
            features: of the maps.
            law: "mixture" of discretized logistics; "categorical", a free probability for each
                level; "auto" is free for two levels and a mixture for more.
            mixtures: components of a mixture.
        """
        spec = self.spec
        if law == "mixture" or (law == "auto" and spec.levels_or_raise > 2):
            mixture = PixelMixture("logistic", spec, mixtures)
            self.likelihood, self.head = mixture, MixtureHead(features, mixture)
        else:
            self.likelihood = Likelihood("auto", spec)
            self.head = FreeHead(features, spec.shape[0], self.likelihood.width)

    def parameters_of(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the parameters of every conditional, ``(B, C, H, W, P)``; as for `maps`."""
        assert cursor is None, "a stream of whole pixels runs maps and head apart"
        parameters: Tensor = self.head(self.maps(u_BCHW, y_B, None, given_BGHW), u_BCHW)
        return parameters

    def stream(self, n: int, y: Tensor | None = None) -> PixelStream:
        """Return the conditionals one at a time, at the price of one pass over the image."""
        return WholePixelStream(self, n, y)


class WholePixelStream(PixelStream):
    """Conditionals of a network that runs once for each pixel, whatever the number of colours.

    Args:
        model: the network.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    model: WholePixelNetwork

    def __init__(self, model: WholePixelNetwork, n: int, y: Tensor | None) -> None:
        super().__init__(model, n, y)
        self.h_BF11 = torch.empty(n, 0)

    @torch.no_grad()
    def next(self) -> Law:
        """Return the law ``(n,)`` of the next colour of the current pixel."""
        u_BC11 = self.u_BC11
        if self.colour == 0:
            self.h_BF11 = self.model.maps(u_BC11, self.y, self.cursor)
        parameters_BP = self.model.head.step(self.h_BF11, u_BC11, self.colour, self.cursor)
        return self.model.likelihood(parameters_BP)

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` has drawn so far."""
        super().select(index_B)
        self.h_BF11 = self.h_BF11[index_B]
