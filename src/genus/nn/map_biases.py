"""What a map says to the layers of a network, place by place.

References:
    | Conditional Image Generation with PixelCNN Decoders, section 2.3 (van den Oord et al., 2016)
    | https://arxiv.org/abs/1606.05328
"""

# Shapes: B batch, G features of the map, F features of a bias, L biases, H height, W width.
from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.cursor import Cursor


class MapBiases(nn.Conv2d):
    """Biases for the layers of a network from a map that is known as a whole: a 1x1 convolution.

    Every resolution after the first has half the height and width of the one before, rounded up,
    and a convolution of its own over the mean of the map in the squares that its places stand for.

    Args:
        given: G, features of the map.
        features: F, of a bias.
        layers: L, how many biases at each resolution.

    Example:
        >>> import torch
        >>> biases = MapBiases(3, 4, [2, 1])
        >>> [bias.shape for bias in biases(torch.zeros(1, 3, 5, 6))]
        [torch.Size([1, 2, 4, 5, 6]), torch.Size([1, 1, 4, 3, 3])]
    """

    def __init__(self, given: int, features: int, layers: Sequence[int]) -> None:
        super().__init__(given, layers[0] * features, 1, bias=False)
        self.layers = tuple(layers)
        self.coarser = MapBiases(given, features, layers[1:]) if len(layers) > 1 else None

    def forward(self, given_BGHW: Tensor) -> list[Tensor]:  # type: ignore[override]
        """Return the biases ``(B, L, F, H, W)`` of each resolution."""
        B, _, H, W = given_BGHW.shape
        L, features = self.layers[0], self.out_channels // self.layers[0]
        biases = [super().forward(given_BGHW).view(B, L, features, H, W)]
        if self.coarser is not None:
            biases += self.coarser(F.avg_pool2d(given_BGHW, 2, ceil_mode=True))
        return biases


def at_row(x: Tensor, cursor: Cursor | None) -> Tensor:
    """Return ``(..., 1, W)``, the row at the cursor of maps ``(..., H, W)``; all without one."""
    return x if cursor is None else x[..., cursor.row, None, :]


def at_pixel(x: Tensor, cursor: Cursor | None) -> Tensor:
    """Return ``(..., 1, 1)``, the pixel at the cursor of maps ``(..., H, W)``; all without one."""
    return x if cursor is None else x[..., cursor.row, None, cursor.column, None]
