r"""What the models of the PixelRNN paper share: everything but the layers between first and last.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016)
    | https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, n samples, C colours, H height, W width, F features, P parameters of a sub-pixel.
from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.capabilities import Stream
from genus.distributions.likelihoods import Law
from genus.families.autoregressive import Autoregressive
from genus.nn.causal import CausalConv2d, Cursor
from genus.spec import Spec

SMALL = 10_000
"""Training sets below this size call for dropout."""


class PixelNetwork(Autoregressive, abc.ABC):
    """A first convolution of mask A, layers, two 1x1 convolutions, and a law for each sub-pixel.

    A subclass writes `build_layer`. Its configuration has at least ``features``, ``kernel``,
    ``hidden`` and ``layers``.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: an instance of the class's ``Config``.

    Raises:
        SpecError: the data are not images with levels.
    """

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__(spec, config)
        C, features, hidden = spec.shape[0], self.config.features, self.config.hidden
        self.first = CausalConv2d("A", C, features, (self.config.kernel,) * 2, colours=C)
        self.layers = nn.ModuleList(self.build_layer() for _ in range(self.config.layers))
        self.penultimate = CausalConv2d("B", features, hidden, (1, 1), colours=C)
        self.last = CausalConv2d("B", hidden, C * self.likelihood.width, (1, 1), colours=C)

    @abc.abstractmethod
    def build_layer(self) -> nn.Module:
        """Return a layer that is called with maps, labels or None, and a cursor or None."""

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return strong dropout for small sets, which these models learn by heart in a minute."""
        return {"dropout": 0.5} if examples < SMALL else {}

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are images with levels."""
        cls.require(spec.is_image and spec.is_discrete, "images (C, H, W) with levels", spec)

    def maps(self, u_BCHW: Tensor, y_B: Tensor | None, cursor: Cursor | None = None) -> Tensor:
        """Return the features ``(B, F, H, W)`` before the last two convolutions."""
        # Features last in memory throughout: one layout change here, or one in every sum below.
        x_BFHW = self.first(u_BCHW, cursor).contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x_BFHW = layer(x_BFHW, y_B, cursor)
        return F.relu(x_BFHW)

    def parameters_of(
        self, u_BCHW: Tensor, y_B: Tensor | None, cursor: Cursor | None = None
    ) -> Tensor:
        """Return the parameters of every conditional, ``(B, C, H, W, P)``."""
        h_BFHW = F.relu(self.penultimate(self.maps(u_BCHW, y_B, cursor), cursor))
        out_BCPHW: Tensor = self.last(h_BFHW, cursor).unflatten(1, (self.spec.shape[0], -1))
        return out_BCPHW.permute(0, 1, 3, 4, 2)

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the conditionals one at a time, at the price of one pass for each colour."""
        cursor = Cursor(self.spec.shape[2])
        return PixelStream(
            self, n, lambda u_BC11: self.parameters_of(u_BC11, y, cursor), self.first, cursor
        )

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, F)``, the last maps averaged over the image, without a class."""
        self.check_inputs(x, None)
        return self.maps(self.scaled(x), None).mean((2, 3))


class PixelStream:
    """Conditionals of an image model whose network runs at one pixel with cached inputs.

    The network must begin with a convolution of mask A. Then the features of a pixel never need
    its last colour, and when that colour is known only the first layer has to remember it.

    Args:
        model: an autoregressive model over images in the standard order.
        n: number of examples.
        pixel: from the colours so far, ``(n, C, 1, 1)`` scaled, to the parameters
            ``(n, C, 1, 1, P)`` at the cursor.
        first: the first layer of that network.
        cursor: where its layers keep their memory.
    """

    def __init__(
        self,
        model: Autoregressive,
        n: int,
        pixel: Callable[[Tensor], Tensor],
        first: CausalConv2d,
        cursor: Cursor,
    ) -> None:
        self.model, self.pixel, self.first, self.cursor = model, pixel, first, cursor
        self.colour, self.colours = 0, model.spec.shape[0]
        self.x_BC11 = torch.zeros(n, self.colours, 1, 1, dtype=torch.long, device=model.device)

    def next(self) -> Law:
        """Return the law ``(n,)`` of the next colour of the current pixel."""
        parameters_BC11P = self.pixel(self.model.scaled(self.x_BC11))
        return self.model.likelihood(parameters_BC11P[:, self.colour, 0, 0])

    def push(self, value: Tensor) -> None:
        """Fix that colour; after the last one, go to the next pixel."""
        self.x_BC11[:, self.colour, 0, 0] = value
        self.colour += 1
        if self.colour == self.colours:
            self.first.remember(self.model.scaled(self.x_BC11), self.cursor)
            self.cursor.advance()
            self.colour = 0
            self.x_BC11.zero_()
