"""Convolutions that see only what comes before, over whole images or one position at a time.

The order is row by row from the top, left to right, and within a pixel colour by colour. Features
are split into as many contiguous groups as there are colours; group g of a feature map may know
the colours before g of its own pixel (mask A) or up to g (mask B).

Every layer here runs the same weights in two ways: on a whole map ``(B, F, H, W)``, or, given a
`Cursor`, on one pixel ``(B, F, 1, 1)`` with its inputs cached. What a kernel sees of the
rows above is computed for a whole row at once, and only its own row pixel by pixel. A network of
causal layers and pointwise functions therefore streams at the price of one pass over the image.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, I input features, O output features, H height, W width, R kernel rows, S columns.
from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.cursor import Cursor, as_pixel

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
        kernel: (rows, columns) of the full kernel around the pixel; ``rows // 2 + 1`` rows remain.
            Of an even number of columns, one more is to the left than to the right.
        colours: colour channels of the image.
        gates: the outputs are that many gates, and each has its own colour groups.
        bias: whether a bias is added.

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
        bias: bool = True,
    ) -> None:
        rows, columns = kernel[0] // 2 + 1, kernel[1]
        super().__init__(inputs, outputs, (rows, columns), bias=bias)
        mask_OIRS = causal_mask(kind, inputs, outputs // gates, rows, columns, colours)
        mask_OIRS = mask_OIRS.repeat(gates, 1, 1, 1)
        self.rows_above, self.keeps_row = rows > 1, max(rows, columns) > 1
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
        """Return ``(B, O, H, W)``; with a cursor, the map's one pixel at the cursor.

        Args:
            x_BIHW: the input; with a cursor, its pixel ``(B, I, 1, 1)``.
            cursor: where the stream is, or None for the whole map.
        """
        if cursor is not None:
            return as_pixel(self.step(x_BIHW.flatten(1), cursor))
        rows, columns = self.kernel_size
        side, weight = columns // 2, self.causal_weight()
        if rows == 1:  # nothing to the right of the centre is ever seen
            weight = weight[..., : side + 1]
            padded = F.pad(x_BIHW, (side, 0)) if side else x_BIHW
        else:
            padded = F.pad(x_BIHW, (side, columns - 1 - side, rows - 1, 0))
        return F.conv2d(padded, weight, self.bias)

    def remember(self, x_BI11: Tensor, cursor: Cursor) -> None:
        """Take in the pixel at the cursor, in place of what the last call showed of it."""
        cursor.put(self, x_BI11.flatten(1), self.kernel_size[1] // 2)

    def step(self, x_BI: Tensor, cursor: Cursor, plus_BO: Tensor | None = None) -> Tensor:
        """Return the pixel at the cursor as a vector ``(B, O)``, from its own as a vector.

        What it sees of the rows above comes from one step for the whole row. A vector that is to
        be added to the result costs nothing when it is given here.
        """
        weight_XO, own = cursor.constant(self, self._own_weight), self.bias
        if self.rows_above:
            [own] = cursor.once_a_row(self, lambda: [self._above(x_BI, cursor)])
        if self.keeps_row:
            x_BI = cursor.put(self, x_BI, self.kernel_size[1] // 2)
        if plus_BO is None:
            return _affine(x_BI, weight_XO, own)
        out_BO = torch.addmm(plus_BO, x_BI, weight_XO)
        return out_BO if own is None else out_BO + own

    def _own_weight(self) -> Tensor:
        """Return the kernel on the own row as a matrix, ``((side + 1) I, O)``."""
        seen_OIS = self.causal_weight()[:, :, -1, : self.kernel_size[1] // 2 + 1]
        return seen_OIS.permute(2, 1, 0).flatten(0, 1).contiguous()

    def _above(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return what the rows above add at the cursor's row, bias included, ``(B, O, W)``."""
        rows, columns = self.kernel_size
        windows = cursor.patches(self, cursor.row_above(self, x_BI), rows - 1, columns)
        return row_from_windows(windows, self, self.causal_weight, self.bias, cursor)


def row_from_windows(
    windows_NX: Tensor,
    key: Hashable,
    kernel: Callable[[], Tensor],
    bias_O: Tensor | None,
    cursor: Cursor,
) -> Tensor:
    """Return what the rows above say to the cursor's row, ``(B, O, W)``, bias included.

    Args:
        windows_NX: `Cursor.patches` of those rows.
        key: whose kernel it is.
        kernel: returns that, ``(O, I, R, S)``, its last row on the cursor's own.
        bias_O: what is added, or None.
        cursor: where the stream is.
    """
    weight_XO = cursor.constant((key, "above"), lambda: kernel_matrix(kernel()[:, :, :-1]))
    out_NO = _affine(windows_NX, weight_XO, bias_O)
    B = len(out_NO) // cursor.width
    return out_NO.view(cursor.width, B, weight_XO.shape[1]).permute(1, 2, 0)


def kernel_matrix(weight_OIRS: Tensor) -> Tensor:
    """Return a kernel as the matrix ``(R S I, O)`` that `Cursor.patches` are multiplied by."""
    return weight_OIRS.permute(2, 3, 1, 0).flatten(0, 2).contiguous()


def _affine(x_NX: Tensor, weight_XO: Tensor, bias_O: Tensor | None) -> Tensor:
    return x_NX @ weight_XO if bias_O is None else torch.addmm(bias_O, x_NX, weight_XO)


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
        if cursor is not None:
            return self._step(x_BIHW, cursor)
        if self.kernel_size == (1, 1) and not self.strict:
            return F.conv2d(x_BIHW, self.weight, self.bias)
        rows, columns = self.kernel_size
        side = columns // 2
        above = F.pad(x_BIHW, (side, side, rows - 1 + self.strict, -int(self.strict)))
        return F.conv2d(above, self.weight, self.bias)

    def _step(self, x_BI1W: Tensor, cursor: Cursor) -> Tensor:
        (rows, columns), (B, _, _, W) = self.kernel_size, x_BI1W.shape
        row_WBI = x_BI1W[:, :, 0].permute(2, 0, 1)
        if self.strict and cursor.row == 0:  # there is no row above the first
            row_WBI = torch.zeros_like(row_WBI)
        windows = cursor.patches(self, row_WBI, rows, columns)
        weight_XO = cursor.constant(self, lambda: kernel_matrix(self.weight))
        out_WBO = _affine(windows, weight_XO, self.bias).view(W, B, self.out_channels)
        return out_WBO.permute(1, 2, 0).unsqueeze(2)
