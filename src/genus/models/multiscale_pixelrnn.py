r"""Multi-scale PixelRNN: a small image first, and then the large one around it.

.. math:: p(x) = p(x^s) \prod_{i \notin s} p(x_i \mid x_{<i}, x^s)

where :math:`x^s` is every s-th pixel of every s-th row.

References:
    | Pixel Recurrent Neural Networks, section 3.6 (van den Oord et al., 2016)
    | https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, C colours, H height, W width, h w those of the small image, G conditioning
# features, F features, P parameters of one sub-pixel, D entries.
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from genus.capabilities import Stream
from genus.config import check_odd, check_positive, check_share
from genus.errors import ConfigError
from genus.families.autoregressive import Autoregressive
from genus.families.conditioned import NetworkLaw, begin, network_given_map, some_network
from genus.families.guided import GuidedStream
from genus.families.pixel import PixelNetwork, PixelStream
from genus.nn.upsampling import Upsampling
from genus.registry import register
from genus.spec import Batch, Spec


@register("multiscale-pixelrnn")
class MultiscalePixelRNN(Autoregressive):
    """An unconditional network for a small image, and one for the large image conditioned on it.

    The small image is every ``scale``-th pixel of every ``scale``-th row. Its entries come first
    in the order; those that are left follow row by row, and besides the pixels before it each sees
    the whole small image, through a map that biases every layer. The density is exact: a pixel
    that belongs to the small image is scored by the small network alone.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: see `MultiscalePixelRNN.Config`.

    Raises:
        SpecError: the data are not images with levels.
        ConfigError: a network is unknown, or does not fit its place.

    Example:
        >>> from genus import Spec
        >>> config = MultiscalePixelRNN.Config(features=12, layers=1, small_features=12)
        >>> model = MultiscalePixelRNN(Spec(shape=(1, 4, 5), levels=2), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
        >>> model.order()[:7].tolist()
        [0, 2, 4, 10, 12, 14, 1]
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of multi-scale PixelRNN."""

        scale: int = 2
        """Pixels of the large image for one of the small, along either side; at least 2."""
        small: str = "row-lstm"
        """The network of the small image; any pixel network, a multi-scale one among them."""
        large: str = "row-lstm"
        """The network of the large image: row-lstm, diagonal-bilstm, pixelcnn, gated-pixelcnn,
        pixelcnn++ or pixelsnail."""
        small_features: int = 64
        """Features of a map of the small image's network."""
        small_layers: int = 3
        """Layers of the small image's network; of pixelcnn++, blocks."""
        features: int = 64
        """Features of a map of the large image's network."""
        layers: int = 3
        """Layers of the large image's network; of pixelcnn++, blocks."""
        kernel: int = 7
        """Size of the first kernel of networks that have one, odd."""
        hidden: int = 64
        """Features of the last layers of networks that say how many."""
        conditioning: int = 32
        """Features of the map that tells the large image's network of the small image."""
        likelihood: NetworkLaw = "auto"
        """A softmax for every sub-pixel (a sigmoid for two levels), or a mixture of discretized
        logistics over whole pixels, where both networks are pixelcnn++ or pixelsnail."""
        mixtures: int = 10
        """Components of a mixture."""
        dropout: float = 0.0
        """Share of features dropped in training, in both networks."""

        def __post_init__(self) -> None:
            check_positive(self, "small_features", "small_layers", "features", "layers")
            check_positive(self, "kernel", "hidden", "conditioning", "mixtures")
            check_odd(self, "kernel")
            check_share(self, "dropout")
            if self.scale < 2:
                raise ConfigError(f"scale={self.scale} must be at least 2")

    config: Config
    learning_rate = PixelNetwork.learning_rate
    batch_size = PixelNetwork.batch_size
    tiny: ClassVar[dict[str, Any]] = {
        "small_features": 12, "small_layers": 1, "features": 12, "layers": 1, "kernel": 3,
        "hidden": 12, "conditioning": 4, "mixtures": 2,
    }  # fmt: skip
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "imagenet64": {
            "small_features": 1024, "small_layers": 4, "features": 1024, "layers": 4,
            "hidden": 1024,
        },
    }  # fmt: skip
    """Both networks of the size of the paper's Row LSTM for 64x64 images; it says no other."""

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, sizes = self.config, {"features": self.config.features, "layers": self.config.layers}
        self.small = self._small_network()
        self.large = network_given_map(
            "large", c.large, spec, c.conditioning, **sizes, **self._shared()
        )
        self.likelihood = self.large.likelihood
        C, *sides = self.small.spec.shape
        self.upsampling = Upsampling(C, c.conditioning, c.scale, reach=max(sides))

    def _shared(self) -> dict[str, Any]:
        """Return the options that both networks have."""
        c = self.config
        sizes = {"kernel": c.kernel, "hidden": c.hidden, "mixtures": c.mixtures}
        return {**sizes, "dropout": c.dropout, "law": c.likelihood}

    def _small_network(self) -> Autoregressive:
        """Return the network of the small image."""
        c, (C, *sides) = self.config, self.spec.shape
        spec = replace(self.spec, shape=(C, *(-(-side // c.scale) for side in sides)))
        sizes = {"features": c.small_features, "layers": c.small_layers, **self._shared()}
        network = some_network("small", c.small, spec, **sizes)
        law = "logistic" if c.likelihood == "mixture" else self.likelihood.name
        if isinstance(network, Autoregressive) and network.likelihood.name == law:
            return network
        raise ConfigError(
            f"small={c.small!r} has no {law} law for each entry; "
            "choose a pixel network such as row-lstm or gated-pixelcnn"
        )

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are images with levels."""
        cls.require(spec.is_image and spec.is_discrete, "images (C, H, W) with levels", spec)

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return what suits a pixel network."""
        return PixelNetwork.suited(spec, examples)

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Let both networks take from a first batch what they want of it."""
        x, s = batch.x.to(self.device), self.config.scale
        begin(self.small, Batch(x[:, :, ::s, ::s], batch.y))
        begin(self.large, Batch(x, batch.y), self._map(self.scaled(x[:, :, ::s, ::s])))

    def order(self) -> Tensor:
        """Return ``(D,)``: the entries of the small image in its order, and then the others."""
        s, every = self.config.scale, torch.arange(self.spec.dims).view(self.spec.shape)
        small = every[:, ::s, ::s].flatten()[self.small.order()]
        raster = super().order()
        return torch.cat([small, raster[~torch.isin(raster, small)]])

    def parameters_of(self, u_BCHW: Tensor, y_B: Tensor | None) -> Tensor:
        """Return the parameters of every conditional, ``(B, C, H, W, P)``."""
        s = self.config.scale
        u_BChw = u_BCHW[:, :, ::s, ::s]
        out_BCHWP = self.large.parameters_of(u_BCHW, y_B, None, self._map(u_BChw))
        small_BChwP = self.small.parameters_of(u_BChw, y_B).to(out_BCHWP)
        rows_BChWP = out_BCHWP[:, :, ::s].slice_scatter(small_BChwP, 3, step=s)
        return out_BCHWP.slice_scatter(rows_BChWP, 2, step=s)

    def _map(self, u_BChw: Tensor) -> Tensor:
        """Return the map ``(B, G, H, W)`` that the large image's network is conditioned on."""
        given_BGHW: Tensor = self.upsampling(u_BChw, *self.spec.shape[1:])
        return given_BGHW

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the conditionals one at a time, at the price of one pass of both networks."""
        return GuidedStream(self.small, self.config.scale, self._begin, n, y)

    def _begin(self, x_BChw: Tensor, y_B: Tensor | None) -> PixelStream:
        stream = self.large.stream(len(x_BChw), y_B)
        self.large.condition(stream.cursor, self._map(self.scaled(x_BChw)))
        return stream

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, F)``, the last maps averaged over the large image, without a class."""
        self.check_inputs(x, None)
        s, u_BCHW = self.config.scale, self.scaled(x)
        return self.large.maps(u_BCHW, None, None, self._map(u_BCHW[:, :, ::s, ::s])).mean((2, 3))
