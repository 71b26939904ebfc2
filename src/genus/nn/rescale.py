"""Something at half the resolution inside a causal network: down, what is inside, and up again.

References:
    | PixelCNN++ (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
"""

# Shapes: B batch, F features, H height, W width.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.cursor import Cursor
from genus.nn.weight_norm import NormedPixelConv2d, NormedRowConv2d

Conv = NormedRowConv2d | NormedPixelConv2d
Inside = Callable[[Tensor, Cursor | None], Tensor]
"""From the map at half the size, or what there is of it at the cursor, to one like it."""


class Halved(nn.Module):
    """Down by a convolution of stride 2, something inside, and up by four features for each pixel.

    Position (i, j) of the half map stands for the square of pixels that begins at (2i, 2j), and
    knows no more than that first pixel may know, which all four may. Odd sizes are rounded up, and
    what grows beyond the image is cut off.

    Args:
        shrink: a convolution of stride 2.
        grow: a convolution to four times as many features.
    """

    shrink: Any
    grow: Any

    def __init__(self, shrink: Conv, grow: Conv) -> None:
        super().__init__()
        self.shrink, self.grow = shrink, grow

    def forward(self, x_BFHW: Tensor, inside: Inside, cursor: Cursor | None = None) -> Tensor:
        """Return a map like ``x_BFHW``; with a cursor, its row there."""
        if cursor is not None:
            return self.step(x_BFHW, inside, cursor)
        height, width = x_BFHW.shape[2:]
        grown: Tensor = self.grow(inside(self.shrink(x_BFHW), None))
        return F.pixel_shuffle(grown, 2)[:, :, :height, :width]

    def step(self, x_BF: Tensor, inside: Inside, cursor: Cursor) -> Tensor:
        """Return what there is of the map at the cursor."""
        raise NotImplementedError


class HalvedRows(Halved):
    """Half resolution in the vertical stream: runs with every second row.

    Args:
        features: of the map, at either resolution.

    Example:
        >>> import torch
        >>> halved = HalvedRows(4)
        >>> halved(torch.zeros(1, 4, 5, 3), lambda half_map, cursor: half_map).shape
        torch.Size([1, 4, 5, 3])
    """

    def __init__(self, features: int) -> None:
        super().__init__(
            NormedRowConv2d(features, features, (2, 3), stride=2),
            NormedRowConv2d(features, 4 * features, (1, 3)),
        )

    def step(self, x_BF1W: Tensor, inside: Inside, cursor: Cursor) -> Tensor:
        """Return the row at the cursor; two rows are computed with every second one."""
        B, features, _, W = x_BF1W.shape
        kept_BF2W = cursor.memory(self, lambda: x_BF1W.new_empty(B, features, 2, W))
        if cursor.row % 2 == 0:
            half = cursor.half("half")
            grown_BG1W = self.grow(inside(self.shrink(x_BF1W, cursor), half), half)
            kept_BF2W.copy_(F.pixel_shuffle(grown_BG1W, 2)[..., :W])
        else:
            self.shrink.remember(x_BF1W, cursor)
        return kept_BF2W[:, :, cursor.row % 2, None]


class HalvedPixels(Halved):
    """Half resolution in the horizontal stream: runs with the first pixel of every 2x2 square.

    Args:
        features: of the map, at either resolution.
    """

    def __init__(self, features: int) -> None:
        super().__init__(
            NormedPixelConv2d(features, features, (2, 2), stride=2),
            NormedPixelConv2d(features, 4 * features, (1, 1)),
        )

    def step(self, x_BF: Tensor, inside: Inside, cursor: Cursor) -> Tensor:
        """Return the pixel ``(B, F)`` at the cursor; four come with the first of each square."""
        row, column, width = cursor.row % 2, cursor.column, cursor.width + cursor.width % 2
        kept_BF2W = cursor.memory(self, lambda: x_BF.new_empty(*x_BF.shape, 2, width))
        if row == 0 and column % 2 == 0:
            half = cursor.half("half")
            grown_BG = self.grow.step(inside(self.shrink.step(x_BF, cursor), half), half)
            kept_BF2W[..., column : column + 2] = grown_BG.view(*x_BF.shape, 2, 2)
        else:
            self.shrink.remember(x_BF, cursor)
        return kept_BF2W[:, :, row, column]
