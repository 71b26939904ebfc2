"""Where a pixel is in the image, told to a network that is the same everywhere."""

# Shapes: B batch, F features, H height, W width.
from __future__ import annotations

import torch
from torch import Tensor, nn

from genus.nn.cursor import Cursor


class PositionBias(nn.Module):
    r"""Adds a learned vector for the row and one for the column.

    .. math:: x'_{rc} = x_{rc} + a_r + b_c

    Convolutions can infer a position from the padding at the edges only, and in aligned images,
    such as centred digits, the position says much. It starts at zero.

    Args:
        features: features of the map.
        height: rows of the image.
        width: columns of the image.

    Example:
        >>> PositionBias(4, 5, 6)(torch.zeros(2, 4, 5, 6)).shape
        torch.Size([2, 4, 5, 6])
    """

    def __init__(self, features: int, height: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(features, height, 1))
        self.columns = nn.Parameter(torch.zeros(features, 1, width))

    def forward(self, x_BFHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return ``x`` with the bias; with a cursor, ``x`` is its pixel or its whole row."""
        if cursor is None:
            return x_BFHW + (self.rows + self.columns)
        bias_FHW = cursor.constant(self, lambda: self.rows + self.columns)
        row_F1W = bias_FHW[:, cursor.row : cursor.row + 1]
        if x_BFHW.shape[3] == 1:
            row_F1W = row_F1W[..., cursor.column : cursor.column + 1]
        return x_BFHW + row_F1W

    def step(self, x_BF: Tensor, cursor: Cursor) -> Tensor:
        """Return the pixel at the cursor with its bias."""
        biases = cursor.constant((self, "steps"), self._by_pixel)
        return x_BF + biases[cursor.row * cursor.width + cursor.column]

    def _by_pixel(self) -> tuple[Tensor, ...]:
        """Return the bias ``(F,)`` of each pixel, row by row."""
        return (self.rows + self.columns).flatten(1).T.contiguous().unbind(0)
