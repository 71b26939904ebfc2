r"""PixelCNN: an exact density over images from masked convolutions.

.. math:: p(x) = \prod_i p(x_{i,R} \mid x_{<i})\, p(x_{i,G} \mid x_{<i}, x_{i,R})\,
    p(x_{i,B} \mid x_{<i}, x_{i,R}, x_{i,G})

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016)
    | https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, C colours, H height, W width, F features, P parameters of one sub-pixel.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from genus.config import check_odd, check_positive, check_share
from genus.families.pixel import LayeredPixelNetwork
from genus.nn import CausalConv2d, Cursor
from genus.registry import register


class Block(nn.Module):
    """The residual block of the paper: 1x1 down to h, 3x3 masked B, 1x1 up to 2h, plus the input.

    Args:
        features: 2h, a map's features.
        classes: labels to condition on, or None.
        colours: colour channels of the image.
        dropout: share of the h features dropped in training.
    """

    def __init__(self, features: int, classes: int | None, colours: int, dropout: float) -> None:
        super().__init__()
        half = features // 2
        self.down = CausalConv2d("B", features, half, (1, 1), colours=colours)
        self.middle = CausalConv2d("B", half, half, (3, 3), colours=colours)
        self.up = CausalConv2d("B", half, features, (1, 1), colours=colours)
        self.bias = nn.Embedding(classes, half) if classes else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BFHW: Tensor, y_B: Tensor | None) -> Tensor:
        """Return a map like ``x_BFHW``."""
        h = self.middle(F.relu(self.down(F.relu(x_BFHW))))
        if self.bias is not None and y_B is not None:
            h = h + self.bias(y_B)[:, :, None, None]
        out_BFHW: Tensor = x_BFHW + self.up(self.dropout(F.relu(h)))
        return out_BFHW

    def step(self, x_BF: Tensor, y_B: Tensor | None, cursor: Cursor) -> Tensor:
        """Return the pixel at the cursor like ``x_BF``; no dropout, as for drawing."""
        h = self.middle.step(self.down.step(x_BF.relu(), cursor).relu_(), cursor)
        if self.bias is not None and y_B is not None:
            h = h + self.bias(y_B)
        return self.up.step(h.relu_(), cursor).add_(x_BF)


@register("pixelcnn")
class PixelCNN(LayeredPixelNetwork):
    """A 7x7 convolution of mask A, residual blocks of mask B, and a softmax for every sub-pixel.

    Colours are ordered R, G, B within a pixel. The stacked masks leave the known blind spot of
    the original paper: pixels to the upper right beyond the first kernel are not seen.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: see `PixelCNN.Config`.

    Raises:
        SpecError: the data are not images with levels.

    Example:
        >>> from genus import Spec
        >>> config = PixelCNN.Config(features=12, layers=1)
        >>> model = PixelCNN(Spec(shape=(3, 4, 5), levels=4), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of PixelCNN; the paper's models for CIFAR-10 are 15 blocks of 256 features."""

        features: int = 96
        """Features of a map, 2h in the paper; at least twice the colours."""
        layers: int = 10
        """Residual blocks."""
        kernel: int = 7
        """Size of the first kernel, odd."""
        hidden: int = 64
        """Features of the two last 1x1 layers: 32 for MNIST and 1024 for colour in the paper."""
        positions: bool = True
        """Learn a bias for each row and each column of the image; the paper has none."""
        dropout: float = 0.0
        """Share of features dropped in each block in training; 0 in the paper."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "layers", "kernel", "hidden")
            check_odd(self, "kernel")
            check_share(self, "dropout")

    config: Config
    representative = True
    tiny: ClassVar = {"features": 12, "layers": 2, "kernel": 3, "hidden": 12}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"features": 32, "layers": 7, "kernel": 7, "positions": False, "hidden": 32},
        "cifar10": {"features": 256, "layers": 15, "kernel": 7, "positions": False, "hidden": 1024},
    }
    """Table 1 and section 5. The paper scores its PixelCNN on MNIST without saying how large it
    is; "mnist" has the size that it gives for the Diagonal BiLSTM."""

    def build_layer(self) -> nn.Module:
        """Return one residual block."""
        return Block(
            self.config.features, self.spec.classes, self.spec.shape[0], self.config.dropout
        )
