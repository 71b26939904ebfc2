"""Convolutions that see only what comes before, over whole images or one position at a time.

The order is row by row from the top, left to right, and within a pixel colour by colour. Features
are split into as many contiguous groups as there are colours; group g of a feature map may know
the colours before g of its own pixel (mask A) or up to g (mask B).

Every layer here runs the same weights in two ways: on a whole map ``(B, F, H, W)``, or, given a
`Cursor`, on one pixel ``(B, F, 1, 1)`` with its inputs cached. A network of causal layers and
pointwise functions therefore streams at the price of one pass over the image.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, I input features, O output features, H height, W width, R kernel rows, S columns.
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.cursor import Cursor

MaskType = Literal["A", "B"]


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
        if cursor is not None:
            return self._step(x_BIHW, cursor)
        rows, columns = self.kernel_size
        weight = self.causal_weight()
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

    def _step(self, x_BI11: Tensor, cursor: Cursor) -> Tensor:
        columns = self.kernel_size[1]
        weight_OI = cursor.constant(self, lambda: self.causal_weight().flatten(1))
        if self.kernel_size == (1, 1):
            window_BI = x_BI11.flatten(1)
        else:
            cache_BIRW = self.remember(x_BI11, cursor)
            window_BI = cache_BIRW[:, :, :, cursor.column : cursor.column + columns].flatten(1)
        return F.linear(window_BI, weight_OI, self.bias)[:, :, None, None]


class RowConv2d(nn.Conv2d):
    """A convolution over whole rows above, and over its own row unless ``strict``.

    Such layers make the vertical stack of a network without a blind spot. They run a row at a
    time: with a `Cursor`, the input is the newest row that the layer may see, ``(B, I, 1, W)``:
    its own row, or the row above it if the layer is strict.

    Args:
        inputs: input features.
        outputs: output features.
        kernel: (rows, columns); columns odd.
        strict: leave out the own row.

    Example:
        >>> RowConv2d(3, 4, (2, 3), strict=True)(torch.zeros(1, 3, 5, 6)).shape
        torch.Size([1, 4, 5, 6])
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], *, strict: bool = False
    ) -> None:
        super().__init__(inputs, outputs, kernel)
        self.strict = strict

    def forward(self, x_BIHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return ``(B, O, H, W)``; with a cursor, the row ``(B, O, 1, W)`` at the cursor."""
        rows, columns = self.kernel_size
        side = columns // 2
        if cursor is None:
            above = F.pad(x_BIHW, (side, side, rows - 1 + self.strict, -int(self.strict)))
            return F.conv2d(above, self.weight, self.bias)
        cache_BIRW = cursor.rows(self, rows, side, x_BIHW)
        if not (self.strict and cursor.row == 0):  # there is no row above the first
            cache_BIRW[:, :, -1, side : side + cursor.width] = x_BIHW[:, :, 0]
        return F.conv2d(cache_BIRW, self.weight, self.bias)
