r"""Gated PixelCNN: two stacks of gated convolutions that together see every earlier pixel.

.. math:: y = \tanh(W_f * x + V_f h) \odot \sigma(W_g * x + V_g h)

References:
    | Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016)
    | https://arxiv.org/abs/1606.05328
"""

# Shapes: B batch, C colours, H height, W width, F features, G = 2 F both parts of a gate.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from genus.config import check_odd, check_positive, check_share
from genus.errors import ConfigError
from genus.families.pixel import PixelNetwork
from genus.nn.causal import CausalConv2d, RowConv2d
from genus.nn.cursor import Cursor, as_pixel
from genus.nn.gated_layer import GatedLayer, features_last
from genus.nn.gated_stack import GatedStack
from genus.nn.position import PositionBias
from genus.registry import register
from genus.spec import Spec


@register("gated-pixelcnn")
class GatedPixelCNN(PixelNetwork):
    """A vertical stack for the rows above, a horizontal one for the own row, and a softmax.

    The vertical stack has no masks: its first kernel ends above the pixel, and its features may
    know all rows above. The horizontal one has masks A and B, colours ordered R, G, B, and takes
    in the vertical one in every layer. So there is no blind spot: once the layers reach far
    enough, ``kernel // 2 + layers * (span // 2)`` pixels, every earlier pixel is seen.

    Streaming runs the vertical stack once a row and the horizontal one once a pixel. A stream
    keeps about ``B * W * F * (layers * (span // 2 + 4))`` numbers.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: see `GatedPixelCNN.Config`.

    Raises:
        SpecError: the data are not images with levels.

    Example:
        >>> from genus import Spec
        >>> config = GatedPixelCNN.Config(features=12, layers=2)
        >>> model = GatedPixelCNN(Spec(shape=(3, 4, 5), levels=4), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of Gated PixelCNN."""

        features: int = 48
        """Features of a map; at least the colours."""
        layers: int = 7
        """Gated layers."""
        kernel: int = 7
        """Size of the first kernel, odd and at least 3."""
        span: int = 3
        """Size of the layers' kernels, odd and at least 3."""
        hidden: int = 64
        """Features of the two last 1x1 layers."""
        positions: bool = True
        """Learn a bias for each row and each column of the image; the paper has none."""
        dropout: float = 0.0
        """Share of each gate's output dropped in training; 0 in the paper."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "layers", "kernel", "span", "hidden")
            check_odd(self, "kernel", "span")
            check_share(self, "dropout")
            if min(self.kernel, self.span) < 3:
                raise ConfigError(
                    f"kernel={self.kernel} and span={self.span} must be at least 3: a smaller "
                    "kernel never sees a neighbour"
                )

    config: Config
    tiny: ClassVar = {"features": 12, "layers": 2, "kernel": 3, "hidden": 24}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The paper gives the sizes for ImageNet; those of the others are ours.
        "mnist": {"features": 64, "layers": 12, "hidden": 64},
        "cifar10": {"features": 128, "layers": 15, "span": 5, "positions": False, "hidden": 1024},
        "imagenet32": {
            "features": 384,
            "layers": 20,
            "span": 5,
            "positions": False,
            "hidden": 1024,
        },
        "imagenet64": {
            "features": 384,
            "layers": 20,
            "span": 5,
            "positions": False,
            "hidden": 1024,
        },
    }

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        config, C = self.config, spec.shape[0]
        above = (config.kernel // 2, config.kernel)
        self.above = RowConv2d(C, config.features, above, strict=True)
        size = config.features, *spec.shape[1:]
        self.position = PositionBias(*size) if config.positions else None
        self.left = CausalConv2d("A", C, config.features, (1, config.kernel), colours=C)
        self.layers = GatedStack(
            GatedLayer(config.features, config.span, spec.classes, C, config.dropout)
            for _ in range(config.layers)
        )
        self.build_head(config.features, config.hidden)

    def biased(self) -> tuple[int, Sequence[int]]:
        """Return the inputs of the vertical gates, and one bias for each layer."""
        return 2 * self.config.features, (self.config.layers,)

    def maps(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the features ``(B, F, H, W)`` of the horizontal stack."""
        # A map is told to the vertical stack, which tells the horizontal one in every layer.
        told = self.told(cursor, given_BGHW)
        bias_BLGHW = told[0] if told else None
        if cursor is None:
            h_BFHW, v_BFHW = features_last(self.left(u_BCHW)), features_last(self._rows(u_BCHW))
            return F.relu(self.layers(h_BFHW, v_BFHW, y_B, bias_BLGHW))
        if cursor.enters(self):
            row_BC1W = self._rows(cursor.above(u_BCHW), cursor)
            self.layers.take_row(row_BC1W, y_B, cursor, bias_BLGHW)
        h_BF = self.layers.step(self.left.step(u_BCHW.flatten(1), cursor), cursor)
        return as_pixel(h_BF.relu_())

    def remember(self, u_BC11: Tensor, cursor: Cursor) -> None:
        """Take in the pixel: only the first horizontal layer has not seen its last colour."""
        self.left.remember(u_BC11, cursor)

    def _rows(self, u_BCHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return the first map of the vertical stack; with a cursor, its row there."""
        v_BFHW: Tensor = self.above(u_BCHW, cursor)
        # The position is told to one stack, and known to both.
        return v_BFHW if self.position is None else self.position(v_BFHW, cursor)
