"""The geometry of a skewed map: its diagonals, and where the neighbours of their cells are.

Skewed by one column for each row, a map of H rows and W columns has H + W - 1 columns: the
diagonals of the image. A state follows from two states of the diagonal before it, those of the
pixels above and beside it, so that a whole diagonal is one step. Only cells inside the map are
kept. States are laid out diagonal by diagonal, and before and after those of each diagonal there
is a place for what the diagonal's ends see outside the map.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
"""

# Shapes: D the two directions, N cells of the map, M cells and the places around them, B batch,
# I features.
from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Diagonal(NamedTuple):
    """Where to find the cells of a diagonal, and the neighbours of each in the one before."""

    cells: slice
    """Its cells among the N."""
    own: slice
    """Its cells among the M."""
    above: slice
    """What is above each cell, among the M."""
    beside: slice
    """What is beside each cell, among the M."""

    def times(self, batch: int) -> Diagonal:
        """Return the same where each of the N and M holds ``batch`` rows."""
        return Diagonal(*(slice(part.start * batch, part.stop * batch) for part in self))


class Skew(NamedTuple):
    """The geometry of maps of one size.

    Args:
        width: columns of the map.
        pixel_DN: the flat pixel of each cell; the second direction runs over the mirror image.
        cell_DN: the inverse, the cell of each flat pixel.
        place_DN: where each flat pixel is among the M.
        outside: which of the M are no cells.
        diagonals: H + W - 1 of them.
    """

    width: int
    pixel_DN: Tensor
    cell_DN: Tensor
    place_DN: Tensor
    outside: Tensor
    diagonals: tuple[Diagonal, ...]


@functools.lru_cache(maxsize=64)
def skew(height: int, width: int, device: torch.device) -> Skew:
    """Return the geometry of maps of this size.

    Example:
        >>> geometry = skew(2, 3, torch.device("cpu"))
        >>> geometry.pixel_DN[0].tolist(), len(geometry.diagonals)
        ([0, 1, 3, 2, 4, 5], 4)
    """
    diagonals = tuple(_diagonals(height, width))
    row_N, column_N = torch.tensor(
        [(r, j - r) for j in range(height + width - 1) for r in _rows(j, height, width)]
    ).T
    place_N = torch.cat([torch.arange(d.own.start, d.own.stop) for d in diagonals])
    pixel_DN = torch.stack([row_N * width + column_N, (row_N + 1) * width - 1 - column_N])
    cell_DN = pixel_DN.argsort(1)
    is_outside = torch.ones(diagonals[-1].own.stop + 1, dtype=torch.bool)
    is_outside[place_N] = False
    tensors = (pixel_DN, cell_DN, place_N[cell_DN], is_outside.nonzero()[:, 0])
    pixel_DN, cell_DN, place_DN, outside = (tensor.to(device) for tensor in tensors)
    return Skew(width, pixel_DN, cell_DN, place_DN, outside, diagonals)


def _rows(diagonal: int, height: int, width: int) -> range:
    """Return the rows of the pixels of a diagonal."""
    return range(max(0, diagonal - width + 1), min(height - 1, diagonal) + 1)


def _diagonals(height: int, width: int) -> list[Diagonal]:
    """Return where the cells of each diagonal and their neighbours are."""
    found, cells = [], 0
    before, previous = 0, range(0)  # the start of the diagonal before, here two places outside
    for number in range(height + width - 1):
        rows = _rows(number, height, width)
        start = before + len(previous) + 2
        above = before + rows.start - previous.start
        spans = (cells, start + 1, above, above + 1)
        found.append(Diagonal(*(slice(first, first + len(rows)) for first in spans)))
        before, previous, cells = start, rows, cells + len(rows)
    return found


class _Skewed(torch.autograd.Function):
    """Pixels in the order of the diagonals; the gradient returns by copies, not by sums."""

    @staticmethod
    def forward(ctx: Any, x_NBI: Tensor, geometry: Skew) -> Tensor:
        ctx.geometry = geometry
        out_DNBI = x_NBI.new_empty(len(geometry.pixel_DN), *x_NBI.shape)
        for out_NBI, pixel_N in zip(out_DNBI, geometry.pixel_DN, strict=True):
            torch.index_select(x_NBI, 0, pixel_N, out=out_NBI)
        return out_DNBI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_DNBI: Tensor) -> tuple[Tensor, None]:
        cell_DN = ctx.geometry.cell_DN
        parts = [g.index_select(0, cell_N) for g, cell_N in zip(grad_DNBI, cell_DN, strict=True)]
        return parts[0].add_(parts[1]), None


def skewed(x_NBI: Tensor, geometry: Skew) -> Tensor:
    """Return the pixels of a map and of its mirror image diagonal by diagonal, ``(D, N, B, I)``.

    Args:
        x_NBI: the map, row by row.
        geometry: of its size.
    """
    out_DNBI: Tensor = _Skewed.apply(x_NBI, geometry)  # type: ignore[no-untyped-call]
    return out_DNBI
