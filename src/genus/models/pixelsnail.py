r"""PixelSNAIL: causal convolutions for what is near, attention for what is far.

Gated residual layers of small causal convolutions alternate with attention from each pixel to all
before it:

.. math::
    h &\leftarrow h + a \odot \sigma(b), \quad
    [a, b] = K_2 \circledast \mathrm{elu}(K_1 \circledast \mathrm{elu}(h)) \\
    o_i &= \sum_{j < i} \mathrm{softmax}_j(q_i^\top k_j / \sqrt{E})\, v_j, \quad
    [k_j, v_j] = W\,[x_j, \mathrm{elu}(h_j), \mathrm{place}_j]

References:
    | PixelSNAIL: An Improved Autoregressive Generative Model (Chen et al., 2018)
    | https://arxiv.org/abs/1712.09763
"""

# Shapes: B batch, C colours, H height, W width, F features, T pixels, G features of a given map.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.config import check_odd, check_positive, check_share
from genus.families.pixel import PixelNetwork, PixelStream
from genus.families.whole_pixel import WholePixelNetwork
from genus.nn.causal import CausalConv2d
from genus.nn.cursor import Cursor
from genus.nn.map_biases import at_pixel
from genus.nn.position import PositionBias
from genus.nn.snail import SnailBlock
from genus.registry import register
from genus.spec import Spec

PAPER: dict[str, Any] = {
    "features": 256, "blocks": 12, "layers": 4, "key": 16, "value": 128, "kernel": 3, "span": 2,
    "likelihood": "mixture", "positions": False,
}  # fmt: skip


@register("pixelsnail")
class PixelSNAIL(WholePixelNetwork):
    """Blocks of gated 2x2 convolutions and attention, and a law for every sub-pixel.

    From the first block on every pixel sees all before it. With a softmax, colours are ordered
    R, G, B within a pixel throughout the network, in the attention too, and each colour has heads
    of its own. With the mixture of the paper, colours meet in the law alone, and the network runs
    once for a pixel.

    The keys and values of a stream take ``blocks * heads * (key + value)`` numbers for each
    example and sub-pixel (with a mixture: pixel), made at the start: 0.45 MB for a 28x28 image
    with the default options, beside two rows of features for each convolution.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: see `PixelSNAIL.Config`.

    Raises:
        SpecError: the data are not images with levels.

    Example:
        >>> from genus import Spec
        >>> config = PixelSNAIL.Config(features=12, blocks=1, layers=1)
        >>> model = PixelSNAIL(Spec(shape=(3, 4, 5), levels=4), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of PixelSNAIL."""

        features: int = 64
        """Features of a map; at least the colours."""
        blocks: int = 3
        """Blocks of residual layers and attention."""
        layers: int = 2
        """Residual layers in each block."""
        heads: int = 1
        """Heads of attention, with a softmax for each colour."""
        key: int = 16
        """Size of a head's queries and keys."""
        value: int = 32
        """Size of a head's values."""
        kernel: int = 7
        """Size of the first kernel, odd; 3 in the paper."""
        span: int = 3
        """Size of the residual layers' kernels: 2 is the pixel, those above and to the left and
        the one between, as in the paper; 3 is the one above to the right as well."""
        hidden: int = 64
        """Features of the last 1x1 layers of a softmax."""
        likelihood: Literal["auto", "mixture"] = "auto"
        """A softmax for every sub-pixel (a sigmoid for two levels), or a mixture of discretized
        logistics over whole pixels, as in the paper."""
        mixtures: int = 10
        """Components of a mixture."""
        positions: bool = True
        """Learn a bias for each row and each column of the image; in the paper, only keys and
        queries are told where they are."""
        dropout: float = 0.0
        """Share of features dropped in each residual layer in training."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "blocks", "layers", "heads", "key", "value")
            check_positive(self, "kernel", "span", "hidden", "mixtures")
            check_odd(self, "kernel")
            check_share(self, "dropout")

    config: Config
    free_law = "auto"
    tiny: ClassVar[dict[str, Any]] = {
        "features": 12, "blocks": 2, "layers": 1, "key": 4, "value": 4, "hidden": 12, "mixtures": 2
    }  # fmt: skip
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {**PAPER, "mixtures": 10, "dropout": 0.5},
        "imagenet32": {**PAPER, "mixtures": 32},
    }
    """The sizes of the paper's two models, which differ in dropout and the mixture."""
    place_T2: Tensor

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        C, H, W = spec.shape
        options = self.config
        kernel = (options.kernel, options.kernel)
        self.whole = options.likelihood == "mixture"
        groups = 1 if self.whole else C
        self.first = CausalConv2d("A", C, options.features, kernel, colours=groups)
        self.position = PositionBias(options.features, H, W) if options.positions else None
        self.blocks: Any = nn.ModuleList(self._block(groups) for _ in range(options.blocks))
        if self.whole:
            self.build_law(options.features, "mixture", options.mixtures)
        else:
            self.build_head(options.features, options.hidden)
        row_H, column_W = torch.linspace(-1, 1, H), torch.linspace(-1, 1, W)
        self.register_buffer("place_T2", torch.cartesian_prod(row_H, column_W), persistent=False)

    def _block(self, colours: int) -> SnailBlock:
        options = self.config
        return SnailBlock(
            options.features,
            layers=options.layers,
            span=options.span,
            inputs=self.spec.shape[0],
            colours=colours,
            heads=options.heads,
            key=options.key,
            value=options.value,
            classes=self.spec.classes,
            dropout=options.dropout,
        )

    def parameters_of(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the parameters of every conditional, ``(B, C, H, W, P)``; as for `maps`."""
        kind = WholePixelNetwork if self.whole else PixelNetwork
        return kind.parameters_of(self, u_BCHW, y_B, cursor, given_BGHW)

    def stream(self, n: int, y: Tensor | None = None) -> PixelStream:
        """Return the conditionals one at a time, with keys and values of earlier pixels kept."""
        return (WholePixelNetwork if self.whole else PixelNetwork).stream(self, n, y)

    def biased(self) -> tuple[int, Sequence[int]]:
        """Return the features of a map, and one bias for each block."""
        return self.config.features, [len(self.blocks)]

    def maps(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the features ``(B, F, H, W)`` after the blocks, each told what the map says."""
        # Features last in memory: one layout change here, or one in every sum below.
        x_BFHW = self.first(u_BCHW, cursor)
        if self.position is not None:
            x_BFHW = self.position(x_BFHW, cursor)
        x_BFHW = x_BFHW.contiguous(memory_format=torch.channels_last)
        told = [at_pixel(bias, cursor) for bias in self.told(cursor, given_BGHW)]
        for number, block in enumerate(self.blocks):
            if told:
                x_BFHW = x_BFHW + told[0][:, number]
            x_BFHW = block(x_BFHW, u_BCHW, self.place_T2, y_B, cursor)
        return F.elu(x_BFHW)

    def remember(self, u_BC11: Tensor, cursor: Cursor) -> None:
        """Take in the pixel: the first layer and the keys have not seen its last colour."""
        self.first.remember(u_BC11, cursor)
        for block in self.blocks:
            block.remember(u_BC11, self.place_T2, cursor)
