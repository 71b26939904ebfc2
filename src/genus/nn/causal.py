"""Convolutions that see only what comes before, over whole images or one position at a time.

The order is row by row from the top, left to right, and within a pixel colour by colour. Features
are split into as many contiguous groups as there are colours; group g of a feature map may know
the colours before g of its own pixel (mask A) or up to g (mask B).

Every layer here runs the same weights in two ways: on a whole map ``(B, F, H, W)``, or, given a
`Cursor`, on one pixel ``(B, F, 1, 1)`` with its inputs cached. A network of causal layers and
pointwise functions therefore streams at the price of one pass over the image.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
    | Fast Generation for Convolutional Autoregressive Models (Ramachandran et al., 2017),
    | https://arxiv.org/abs/1704.06001
"""

# Shapes: B batch, I input features, O output features, H height, W width, R kernel rows, S columns.
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MaskType = Literal["A", "B"]


class Cursor:
    """Where a stream is in the image, and what its layers remember.

    Args:
        width: width of the image.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.row, self.column = 0, 0
        self._memory: dict[nn.Module, tuple[int, Tensor]] = {}

    def advance(self) -> None:
        """Go to the next pixel."""
        self.column += 1
        if self.column == self.width:
            self.row, self.column = self.row + 1, 0

    def rows(self, layer: nn.Module, depth: int, pad: int, like_BF11: Tensor) -> Tensor:
        """Return the layer's cached rows ``(B, F, depth, W + 2 pad)``; the last is the current one.

        Rows above the image and columns beside it are zero, as padding makes them.
        """
        if layer not in self._memory:
            B, features = like_BF11.shape[:2]
            empty = like_BF11.new_zeros(B, features, depth, self.width + 2 * pad)
            self._memory[layer] = (self.row, empty)
        row, cache = self._memory[layer]
        if row != self.row:
            cache = F.pad(cache[:, :, 1:], (0, 0, 0, 1))
            self._memory[layer] = (self.row, cache)
        return cache


def colour_groups(features: int, colours: int) -> Tensor:
    """Return the colour group of each feature, ``(features,)``: contiguous and nearly equal."""
    return torch.arange(features) * colours // features


def causal_mask(
    kind: MaskType, inputs: int, outputs: int, rows: int, columns: int, colours: int
) -> Tensor:
    """Return the mask ``(O, I, R, S)`` of a causal kernel whose last row is the current one."""
    mask_OIRS = torch.ones(outputs, inputs, rows, columns)
    mask_OIRS[:, :, -1, columns // 2 :] = 0
    group_O1 = colour_groups(outputs, colours).unsqueeze(1)
    group_1I = colour_groups(inputs, colours).unsqueeze(0)
    sees_OI = group_1I < group_O1 if kind == "A" else group_1I <= group_O1
    mask_OIRS[:, :, -1, columns // 2] = sees_OI.float()
    return mask_OIRS


class CausalConv2d(nn.Conv2d):
    """A convolution over the pixels above and to the left, masks A and B of PixelRNN.

    Only the rows of the kernel that may be used are stored. The mask multiplies the weight out of
    place, so masked weights are zero, stay zero and receive no gradient.

    Args:
        kind: "A" leaves out the current colour of the current pixel, "B" includes it.
        inputs: input features.
        outputs: output features.
        kernel: (rows, columns) of the full kernel, both odd; ``(k + 1) / 2`` rows remain.
        colours: colour channels of the image.
        gates: the outputs are that many gates, and each has its own colour groups.

    Example:
        >>> CausalConv2d("A", 1, 4, (7, 7), colours=1)(torch.zeros(2, 1, 5, 6)).shape
        torch.Size([2, 4, 5, 6])
    """

    mask: Tensor | None

    def __init__(
        self,
        kind: MaskType,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        *,
        colours: int = 1,
        gates: int = 1,
    ) -> None:
        rows, columns = kernel[0] // 2 + 1, kernel[1]
        super().__init__(inputs, outputs, (rows, columns))
        mask_OIRS = causal_mask(kind, inputs, outputs // gates, rows, columns, colours)
        mask_OIRS = mask_OIRS.repeat(gates, 1, 1, 1)
        # A kernel that sees everything anyway need not be multiplied at every step.
        everything = bool(mask_OIRS.all())
        self.register_buffer("mask", None if everything else mask_OIRS, persistent=False)
        with torch.no_grad():
            self.weight.mul_(mask_OIRS)
            # Scale to the inputs that are left, as if the kernel had only those.
            self.weight.mul_((mask_OIRS[0].numel() / mask_OIRS[-1].sum().clamp(min=1)).sqrt())

    def causal_weight(self) -> Tensor:
        """Return the weight ``(O, I, R, S)`` with zeros where the mask is."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x_BIHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return ``(B, O, H, W)``; with a cursor, the map's one pixel at the cursor."""
        rows, columns = self.kernel_size
        weight = self.causal_weight()
        if cursor is not None:
            return self._step(x_BIHW, cursor, weight)
        if rows == columns == 1:
            return F.conv2d(x_BIHW, weight, self.bias)
        side = columns // 2
        padded = F.pad(x_BIHW, (side, side, rows - 1, 0))
        return F.conv2d(padded, weight, self.bias)

    def remember(self, x_BI11: Tensor, cursor: Cursor) -> Tensor:
        """Write the pixel at the cursor into the cached rows, and return those."""
        rows, columns = self.kernel_size
        cache_BIRW = cursor.rows(self, rows, columns // 2, x_BI11)
        cache_BIRW[:, :, -1, cursor.column + columns // 2] = x_BI11[:, :, 0, 0]
        return cache_BIRW

    def _step(self, x_BI11: Tensor, cursor: Cursor, weight_OIRS: Tensor) -> Tensor:
        columns = self.kernel_size[1]
        if self.kernel_size == (1, 1):
            window_BI = x_BI11.flatten(1)
        else:
            cache_BIRW = self.remember(x_BI11, cursor)
            window_BI = cache_BIRW[:, :, :, cursor.column : cursor.column + columns].flatten(1)
        return F.linear(window_BI, weight_OIRS.flatten(1), self.bias)[:, :, None, None]
