"""Convolutions for the two streams of a network over images, with normalised weights.

The vertical stream sees whole rows above; `NormedRowConv2d` runs over a map, or over one row at a
time. The horizontal stream sees what is to the left as well; `NormedPixelConv2d` runs over a map,
or over one pixel at a time. Both pad above and beside the image with zeros only where the image
ends, never across the current position, so no masks are needed.

References:
    | Weight Normalization (Salimans and Kingma, 2016), https://arxiv.org/abs/1602.07868
"""

# Shapes: B batch, I input features, O output features, H height, W width, R kernel rows, S columns.
from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.causal import kernel_matrix, row_from_windows
from genus.nn.cursor import Cursor, as_pixel

LEAST = 0.1
"""Deviation of an output below which it is taken for constant, and not scaled up."""


class NormedConv2d(nn.Module):
    r"""A convolution whose kernels are directions times lengths.

    .. math:: w = g \, \frac{v}{\lVert v \rVert}

    Args:
        inputs: input features.
        outputs: output features.
        kernel: (rows, columns); the last row is the current one.
        strict: leave out the current position.
        stride: steps between outputs, down and across.
        scale: standard deviation of the outputs after `initialising`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        *,
        strict: bool = False,
        stride: int = 1,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.rows, self.columns = kernel
        self.strict, self.stride, self.scale = strict, stride, scale
        self.measuring = False
        self.direction = nn.Parameter(0.05 * torch.randn(outputs, inputs, *kernel))
        self.gain = nn.Parameter(torch.full((outputs,), scale))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def weight(self) -> Tensor:
        """Return the kernels ``(O, I, R, S)``."""
        length_O: Tensor = torch.linalg.vector_norm(self.direction, dim=(1, 2, 3))
        return self.direction * (self.gain / length_O)[:, None, None, None]

    def convolve(self, padded: Tensor) -> Tensor:
        """Return the convolution of a map that is padded already."""
        if self.measuring:
            self._measure(padded)
        return F.conv2d(padded, self.weight(), self.bias, self.stride)

    @torch.no_grad()
    def _measure(self, padded: Tensor) -> None:
        """Set gain and bias so that the outputs of this map have mean 0 and deviation `scale`."""
        self.gain.fill_(1)
        out_BOHW = F.conv2d(padded, self.weight(), None, self.stride)
        deviation_O, mean_O = torch.std_mean(out_BOHW, dim=(0, 2, 3), correction=0)
        self.gain.copy_(self.scale / torch.where(deviation_O > LEAST, deviation_O, 1.0))
        self.bias.copy_(-mean_O * self.gain)


@contextlib.contextmanager
def initialising(network: nn.Module) -> Iterator[None]:
    """Let the next forward pass set the lengths and offsets of all normed layers.

    Each layer sets them when it is run, from what it is given, and the next one sees the result:
    afterwards the outputs of every layer have mean 0 and the layer's own deviation on that batch.
    """
    layers = [module for module in network.modules() if isinstance(module, NormedConv2d)]
    for layer in layers:
        layer.measuring = True
    try:
        yield
    finally:
        for layer in layers:
            layer.measuring = False


class NormedRowConv2d(NormedConv2d):
    """A normed convolution over whole rows: those above, and the own one unless ``strict``.

    With a `Cursor` it takes the newest row that it may see, ``(B, I, 1, W)``: the current row, or
    the one above it if the layer is strict. The kernel's columns must be odd.

    Example:
        >>> NormedRowConv2d(3, 4, (2, 3), strict=True)(torch.zeros(1, 3, 5, 6)).shape
        torch.Size([1, 4, 5, 6])
    """

    def forward(self, x_BIHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return ``(B, O, H, W)``; with a cursor, the row ``(B, O, 1, W)``."""
        if cursor is None:
            side, strict = self.columns // 2, int(self.strict)
            return self.convolve(F.pad(x_BIHW, (side, side, self.rows - 1 + strict, -strict)))
        if self.rows == 1 and not self.strict:
            cache_BIRW = F.pad(x_BIHW, (self.columns // 2,) * 2)
        else:
            cache_BIRW = self.remember(x_BIHW, cursor)
        return F.conv2d(cache_BIRW, cursor.constant(self, self.weight), self.bias, self.stride)

    def remember(self, x_BI1W: Tensor, cursor: Cursor) -> Tensor:
        """Write the row into the cached rows, and return those."""
        side = self.columns // 2
        cache_BIRW = cursor.rows(self, self.rows, side, x_BI1W)
        if not (self.strict and cursor.row == 0):  # there is no row above the first
            cache_BIRW[:, :, -1, side : side + cursor.width] = x_BI1W[:, :, 0]
        return cache_BIRW


class NormedPixelConv2d(NormedConv2d):
    """A normed convolution over pixels above and to the left, and the own one unless ``strict``.

    The last column of the kernel is the pixel's own, or the one to its left if the layer is
    strict. With a `Cursor` it takes and returns one pixel; a strict layer is given the pixel by
    `remember`, when it is known. With a stride of 2 it has two rows at most.

    Example:
        >>> NormedPixelConv2d(3, 4, (2, 2))(torch.zeros(1, 3, 5, 6)).shape
        torch.Size([1, 4, 5, 6])
    """

    def forward(self, x_BIHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return ``(B, O, H, W)``; with a cursor, the pixel ``(B, O, 1, 1)``."""
        if cursor is None:
            side, strict = self.columns - 1 + self.strict, int(self.strict)
            return self.convolve(F.pad(x_BIHW, (side, -strict, self.rows - 1, 0)))
        return as_pixel(self.step(x_BIHW.flatten(1), cursor))

    def remember(self, x_BI: Tensor, cursor: Cursor) -> None:
        """Take in the pixel at the cursor where it is not shown by a call."""
        if self.strict:
            self._cache(x_BI, cursor)[:, :, -1, cursor.column + self.columns] = x_BI
        else:
            cursor.put(self, x_BI, self.columns - 1)

    def step(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return the pixel at the cursor ``(B, O)``; the row above runs when it is complete."""
        if self.strict:
            return self._before(x_BI, cursor)
        above: list[Tensor] = [self.bias]
        own = cursor.constant(self, self._own_weight)
        if self.rows > 1:
            above = cursor.once_a_row(self, lambda: [self._above(x_BI, cursor)])
        if max(self.rows, self.columns) > 1:
            x_BI = cursor.put(self, x_BI, self.columns - 1)
        return torch.addmm(above[0], x_BI, own)

    def _own_weight(self) -> Tensor:
        return kernel_matrix(self.weight()[:, :, -1:])

    def _above(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return what the rows above say to the cursor's, ``(B, O, W)``."""
        row_WBI, left = cursor.row_above(self, x_BI), self.columns - 1
        windows = cursor.patches(self, row_WBI, self.rows - 1, self.columns, left)
        return row_from_windows(windows, self, self.weight, self.bias, cursor)

    def _before(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return the pixel at the cursor ``(B, O)`` from those before it."""
        seen = self._cache(x_BI, cursor)[..., cursor.column : cursor.column + self.columns]
        return F.linear(
            seen.flatten(1), cursor.constant(self, lambda: self.weight().flatten(1)), self.bias
        )

    def _cache(self, like_BI: Tensor, cursor: Cursor) -> Tensor:
        return cursor.rows(self, self.rows, self.columns, like_BI)
