r"""What the models of the PixelRNN paper share: everything but the layers between first and last.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016)
    | https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, n samples, C colours, H height, W width, F features, P parameters of a sub-pixel.
from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.distributions.likelihoods import Law
from genus.families.autoregressive import Autoregressive
from genus.nn.causal import CausalConv2d
from genus.nn.cursor import Cursor, as_pixel
from genus.nn.map_biases import MapBiases, at_pixel
from genus.nn.position import PositionBias
from genus.spec import Spec

SMALL = 10_000
"""Training sets below this size call for dropout."""


class PixelNetwork(Autoregressive, abc.ABC):
    """Causal maps of an image, two 1x1 convolutions, and a law for each sub-pixel.

    A subclass writes `maps`, `remember` and `biased`, and calls `build_head` when it is made. Its
    features at a pixel must not depend on the pixel's last colour (masks A and B see to that).

    Any of them can be conditioned on a map that is known as a whole (`condition_on`), which then
    biases its layers at every place.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: an instance of the class's ``Config``.

    Raises:
        SpecError: the data are not images with levels.
    """

    learning_rate = 2e-3
    batch_size = 16  # in the same time 64 came less far, with pixelcnn and with row-lstm

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__(spec, config)
        self.biases: MapBiases | None = None

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return strong dropout for small sets, which these models learn by heart in a minute."""
        return {"dropout": 0.5} if examples < SMALL else {}

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are images with levels."""
        cls.require(spec.is_image and spec.is_discrete, "images (C, H, W) with levels", spec)

    def build_head(self, features: int, hidden: int) -> None:
        """Make the two last layers, from maps of ``features``."""
        C = self.spec.shape[0]
        self.penultimate = CausalConv2d("B", features, hidden, (1, 1), colours=C)
        self.last = CausalConv2d("B", hidden, C * self.likelihood.width, (1, 1), colours=C)

    @abc.abstractmethod
    def maps(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the features ``(B, F, H, W)`` before the last two convolutions.

        Args:
            u_BCHW: the scaled image; with a cursor, its pixel ``(B, C, 1, 1)`` with the colours
                known so far, and anything in place of the others.
            y_B: labels, or None.
            cursor: where the stream is, or None for the whole image.
            given_BGHW: the map that the network is conditioned on, if it is; a stream has what it
                says in its cursor.
        """

    @abc.abstractmethod
    def biased(self) -> tuple[int, Sequence[int]]:
        """Return the features of a bias that a map makes, and how many at each resolution."""

    def condition_on(self, features: int) -> None:
        """Make the network one given a map of so many features, which biases its layers."""
        self.biases = MapBiases(features, *self.biased())

    def condition(self, cursor: Cursor, given_BGHW: Tensor) -> None:
        """Keep in a stream's cursor what the map says to each layer."""
        for level, bias_BLFHW in enumerate(self.told(None, given_BGHW)):
            cursor.memory((self, "bias", level), bias_BLFHW.clone)

    def told(self, cursor: Cursor | None, given_BGHW: Tensor | None) -> list[Tensor]:
        """Return what the map says, ``(B, L, F, H, W)`` by resolution; nothing if there is none."""
        if self.biases is None:
            return []
        if cursor is not None:
            levels = range(len(self.biases.layers))
            return [cursor.memory((self, "bias", level), _missing) for level in levels]
        biases: list[Tensor] = self.biases(_missing() if given_BGHW is None else given_BGHW)
        return biases

    @abc.abstractmethod
    def remember(self, u_BC11: Tensor, cursor: Cursor) -> None:
        """Take in the pixel at the cursor, now that all its colours are known."""

    def parameters_of(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the parameters of every conditional, ``(B, C, H, W, P)``; as for `maps`."""
        return self.outputs(self.maps(u_BCHW, y_B, cursor, given_BGHW), cursor)

    def outputs(self, x_BFHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return the parameters ``(B, C, H, W, P)`` from what `maps` returns."""
        if cursor is not None:
            h_BF = self.penultimate.step(x_BFHW.flatten(1), cursor).relu_()
            out_BN = self.last.step(h_BF, cursor)
            return out_BN.view(len(out_BN), self.spec.shape[0], 1, 1, self.likelihood.width)
        h_BFHW = F.relu(self.penultimate(x_BFHW))
        out_BCPHW: Tensor = self.last(h_BFHW).unflatten(1, (self.spec.shape[0], -1))
        return out_BCPHW.permute(0, 1, 3, 4, 2)

    def stream(self, n: int, y: Tensor | None = None) -> PixelStream:
        """Return the conditionals one at a time, at the price of one pass for each colour."""
        return PixelStream(self, n, y)

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, F)``, the last maps averaged over the image, without a class."""
        self.check_inputs(x, None)
        return self.maps(self.scaled(x), None).mean((2, 3))


def _missing() -> Tensor:
    raise AssertionError("there is no map to condition on")


class LayeredPixelNetwork(PixelNetwork, abc.ABC):
    """A first convolution of mask A, layers one after another, and the head.

    A subclass writes `build_layer`. Its configuration has at least ``features``, ``kernel``,
    ``hidden`` and ``layers``; with ``skips`` every layer has a connection of its own to the head,
    and with ``positions`` the first map is told where each pixel is.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: an instance of the class's ``Config``.

    Raises:
        SpecError: the data are not images with levels.
    """

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__(spec, config)
        C, features, layers = spec.shape[0], self.config.features, self.config.layers
        self.first = CausalConv2d("A", C, features, (self.config.kernel,) * 2, colours=C)
        placed = getattr(self.config, "positions", False)
        self.position = PositionBias(features, *spec.shape[1:]) if placed else None
        self.layers: Any = nn.ModuleList(self.build_layer() for _ in range(layers))
        skips = layers if getattr(self.config, "skips", False) else 0
        self.skips: Any = nn.ModuleList(
            CausalConv2d("B", features, features, (1, 1), colours=C) for _ in range(skips)
        )
        self.build_head(features, self.config.hidden)

    @abc.abstractmethod
    def build_layer(self) -> nn.Module:
        """Return a layer.

        It is called with maps and labels or None, and has ``step`` for the pixel at a cursor.
        """

    def biased(self) -> tuple[int, Sequence[int]]:
        """Return the features of a map, and one bias for each layer."""
        return self.config.features, (self.config.layers,)

    def maps(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the features ``(B, F, H, W)`` after the layers, each told what the map says."""
        if cursor is not None:
            return as_pixel(self._step(u_BCHW.flatten(1), y_B, cursor).relu_())
        # Features last in memory throughout: one layout change here, or one in every sum below.
        x_BFHW = self.first(u_BCHW)
        if self.position is not None:
            x_BFHW = self.position(x_BFHW)
        x_BFHW = x_BFHW.contiguous(memory_format=torch.channels_last)
        told, skipped = self.told(None, given_BGHW), []
        for number, layer in enumerate(self.layers):
            if told:
                x_BFHW = x_BFHW + told[0][:, number]
            x_BFHW = layer(x_BFHW, y_B)
            if self.skips:
                skipped.append(self.skips[number](x_BFHW))
        return F.relu(functools.reduce(torch.add, skipped) if skipped else x_BFHW)

    def _step(self, u_BC: Tensor, y_B: Tensor | None, cursor: Cursor) -> Tensor:
        """Return what `maps` does, for the pixel at the cursor and before the rectifier."""
        x_BF = self.first.step(u_BC, cursor)
        if self.position is not None:
            x_BF = self.position.step(x_BF, cursor)
        told = [at_pixel(bias, cursor).flatten(2) for bias in self.told(cursor, None)]
        skipped = []
        for number, layer in enumerate(self.layers):
            if told:
                x_BF = x_BF + told[0][:, number]
            x_BF = layer.step(x_BF, y_B, cursor)
            if self.skips:
                skipped.append(self.skips[number].step(x_BF, cursor))
        return functools.reduce(torch.add, skipped) if skipped else x_BF

    def remember(self, u_BC11: Tensor, cursor: Cursor) -> None:
        """Take in the pixel: only the first layer has not seen its last colour."""
        self.first.remember(u_BC11, cursor)


class PixelStream:
    """Conditionals of a pixel network that runs at one pixel with cached inputs.

    Args:
        model: the network.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    def __init__(self, model: PixelNetwork, n: int, y: Tensor | None) -> None:
        self.model, self.y = model, y
        self.cursor = Cursor(*model.spec.shape[1:])
        self.colour, self.colours = 0, model.spec.shape[0]
        self.scaled_K = model.scaled(torch.arange(model.spec.levels_or_raise, device=model.device))
        self._fill(self.scaled_K.new_zeros(n, self.colours))

    def _fill(self, u_BC: Tensor) -> None:
        """Set the pixel at the cursor, of which the colours to come are zero."""
        self.u_BC11, self.u_CB = u_BC[:, :, None, None], u_BC.unbind(1)

    @torch.no_grad()
    def next(self) -> Law:
        """Return the law ``(n,)`` of the next colour of the current pixel."""
        parameters_BC11P = self.model.parameters_of(self.u_BC11, self.y, self.cursor)
        return self.model.likelihood(parameters_BC11P.select(1, self.colour).flatten(1))

    @torch.no_grad()
    def push(self, value: Tensor) -> None:
        """Fix that colour; after the last one, go to the next pixel."""
        self.u_CB[self.colour].copy_(self.scaled_K.index_select(0, value.long()))
        self.colour += 1
        if self.colour == self.colours:
            self.model.remember(self.u_BC11, self.cursor)
            self.cursor.record(self.u_BC11)
            self.cursor.advance()
            self.colour = 0
            self.u_BC11.zero_()

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` has drawn so far."""
        self._fill(self.u_BC11[index_B].flatten(1))
        self.y = None if self.y is None else self.y[index_B]
        self.cursor.select(index_B)
