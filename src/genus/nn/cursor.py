"""Where a stream is in an image, and all that the layers of a network remember on the way.

A network of causal layers can be run one position at a time at the price of one pass over the
image, because everything that a position needs from before has been computed already. The layers
hold no state themselves: their memory lives in a `Cursor`, so that one network can serve several
streams, and a stream can be rearranged (`Cursor.select`) by one call.

A step runs hundreds of times for an image and is mostly overhead, so what is remembered lies in
memory as it will be read: the row that is being drawn with the batch first, so that the pixels
before the cursor are one matrix without a copy, and complete rows with the batch last but one, so
that a row is one matrix for all its columns.

References:
    | Fast Generation for Convolutional Autoregressive Models (Ramachandran et al., 2017)
    | https://arxiv.org/abs/1704.06001
"""

# Shapes: B batch, C colours, F features, H height, W width, S kernel columns.
from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Constant = TypeVar("Constant", Tensor, tuple[Tensor, ...])


def as_pixel(x_BF: Tensor) -> Tensor:
    """Return a pixel as a map of one, ``(B, F, 1, 1)``, from its features."""
    return x_BF.view(*x_BF.shape, 1, 1)


class Line:
    """The row of a map that a stream is on, filled from the left.

    Args:
        like_BF: a tensor of the kind to be kept.
        width: columns of the map.
        side: columns of zeros to the left of the map.
    """

    def __init__(self, like_BF: Tensor, width: int, side: int) -> None:
        (B, self.features), self.side = like_BF.shape, side
        self.kept_BX = like_BF.new_zeros(B, (side + width) * self.features)
        self._views: dict[int, tuple[Tensor, Tensor]] = {}

    def put(self, column: int, x_BF: Tensor) -> Tensor:
        """Write a pixel and return it after the ``side`` before it, ``(B, (side + 1) F)``."""
        if column not in self._views:
            start, features = column * self.features, self.features
            pixel_BF = self.kept_BX.narrow(1, start + self.side * features, features)
            window_BX = self.kept_BX.narrow(1, start, (self.side + 1) * features)
            self._views[column] = pixel_BF, window_BX
        pixel_BF, window_BX = self._views[column]
        pixel_BF.copy_(x_BF)
        return window_BX

    def row(self) -> Tensor:
        """Return the row ``(W, B, F)``."""
        columns = self.kept_BX.shape[1] // self.features
        row_BWF = self.kept_BX.view(len(self.kept_BX), columns, self.features)[:, self.side :]
        return row_BWF.transpose(0, 1)

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch."""
        self.kept_BX, self._views = self.kept_BX[index_B], {}


class Cursor:
    """Where a stream is in the image, and what its layers remember.

    Keys are usually the layer itself, or a tuple of the layer and a word.

    Args:
        height: rows of the image.
        width: columns of the image.

    Example:
        >>> cursor = Cursor(2, 3)
        >>> for _ in range(4):
        ...     cursor.advance()
        >>> cursor.row, cursor.column
        (1, 1)
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.row, self.column = 0, 0
        self._memory: dict[Hashable, Tensor] = {}
        self._lines: dict[Hashable, Line] = {}
        self._row_of: dict[Hashable, int] = {}
        self._rows: dict[Hashable, list[Tensor]] = {}
        self._columns: dict[Hashable, list[tuple[Tensor, ...]]] = {}
        self._constants: dict[Hashable, Any] = {}
        self._views: dict[Hashable, Any] = {}
        self._halves: dict[Hashable, Cursor] = {}

    def advance(self) -> None:
        """Go to the next pixel."""
        self.column += 1
        if self.column == self.width:
            self.row, self.column = self.row + 1, 0

    def record(self, u_BC11: Tensor) -> None:
        """Keep the image's own pixel at the cursor, for what is computed when a row is complete."""
        self.put(Cursor, u_BC11.flatten(1))
        if self.column == self.width - 1:
            above_BC1W = self.above(u_BC11)
            above_BC1W.copy_(self._lines[Cursor].row().permute(1, 2, 0).unsqueeze(2))

    def above(self, like_BC11: Tensor) -> Tensor:
        """Return the image's own row above the cursor's, ``(B, C, 1, W)``; zero at the first."""
        shape = *like_BC11.shape[:2], 1, self.width
        return self.memory(Cursor, lambda: like_BC11.new_zeros(shape))

    def memory(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return what is remembered under a key, to be written to in place; made when first asked.

        Its first dimension is the batch. Ask again at every position: `select` replaces the
        tensor by one of the same layout.
        """
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def rows(self, key: Hashable, depth: int, pad: int, like_BF: Tensor) -> Tensor:
        """Return cached rows ``(B, F, depth, W + 2 pad)``; the last is the current one.

        Rows above the image and columns beside it are zero, as padding makes them.

        Args:
            key: whose rows.
            depth: how many.
            pad: columns beside the image on either side.
            like_BF: a tensor ``(B, F, ...)`` of the kind to be kept.
        """
        if key not in self._memory:
            self._row_of[key] = self.row
            self._memory[key] = like_BF.new_zeros(*like_BF.shape[:2], depth, self.width + 2 * pad)
        rows_BFRW = self._memory[key]
        if self.enters(key):
            rows_BFRW[:, :, :-1] = rows_BFRW[:, :, 1:].clone()
            rows_BFRW[:, :, -1].zero_()
        return rows_BFRW

    def put(self, key: Hashable, x_BF: Tensor, side: int = 0) -> Tensor:
        """Write the pixel at the cursor to the current row of a map.

        Args:
            key: whose row.
            x_BF: the pixel.
            side: how many pixels before it are wanted as well.

        Returns:
            ``(B, (side + 1) F)``, the pixel after those before it, zero beside the image. It is a
            view, good until the next pixel is written.
        """
        if key not in self._lines:
            self._lines[key] = Line(x_BF, self.width, side)
        return self._lines[key].put(self.column, x_BF)

    def row_above(self, key: Hashable, like_BF: Tensor) -> Tensor:
        """Return the row ``(W, B, F)`` that `put` filled before this one; zero at the first.

        It is a view: ask when the first pixel of a row is due, before that is written.
        """
        if key not in self._lines:
            return like_BF.new_zeros(self.width, *like_BF.shape)
        return self._lines[key].row()

    def patches(
        self, key: Hashable, row_WBF: Tensor, rows: int, columns: int, left: int | None = None
    ) -> Tensor:
        """Take in the newest row of a map and return what a kernel sees at each of its columns.

        Call it once for every row. Rows above the image and columns beside it are zero.

        Args:
            key: whose rows.
            row_WBF: the row; for a layer that sees rows above only, the row above the cursor's.
            rows: rows of the kernel, the last of them on ``row_WBF``.
            columns: columns of the kernel.
            left: how many of them are to the left of its own; ``columns // 2`` where left out.

        Returns:
            ``(W B, rows columns F)``.
        """
        W, B, F = row_WBF.shape
        if rows == columns == 1:
            return row_WBF.reshape(W * B, F)
        shape, left = (rows, W + columns - 1, B, F), columns // 2 if left is None else left
        # The batch is first for `select` alone; in memory, a row of pixels is one block.
        ring = self.memory((key, "ring"), lambda: row_WBF.new_zeros(shape).movedim(2, 0))
        ring_RWBF = ring.movedim(0, 2)
        ring_RWBF[self.row % rows, left : left + W] = row_WBF
        oldest_first = [(self.row + 1 + r) % rows for r in range(rows)]
        seen = [ring_RWBF[r, s : s + W] for r in oldest_first for s in range(columns)]
        return torch.cat(seen, -1).flatten(0, 1)

    def enters(self, key: Hashable) -> bool:
        """Return whether this is the first time that a key asks at this row."""
        entered = self._row_of.get(key) != self.row
        self._row_of[key] = self.row
        return entered

    def once_a_row(self, key: Hashable, compute: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
        """Return maps at the cursor: ``(B, F, 1, 1)`` of rows ``(B, F, 1, W)``.

        The rows are computed when the first pixel of the row asks, and kept for the others. They
        must follow from the rows above alone, and nobody may write to them afterwards. Of rows
        ``(B, F, W)`` the vectors ``(B, F)`` are returned.
        """
        if self.enters(key):
            self._keep(key, compute())
        column = self.column
        return [columns[column] for columns in self._columns[key]]

    def _keep(self, key: Hashable, rows: Sequence[Tensor]) -> None:
        """Keep rows as blocks of one pixel each, and a view of every pixel."""
        self._rows[key] = [row.movedim(-1, 0).contiguous() for row in rows]
        self._columns[key] = [
            (row.unsqueeze(-1) if row.dim() == 4 else row).unbind(0) for row in self._rows[key]
        ]

    def constant(self, key: Hashable, make: Callable[[], Constant]) -> Constant:
        """Return what is the same at every position, such as a weight times its mask.

        It is a tensor, or a tuple of tensors where it is wanted in parts.

        The weights of the network must not change during a stream.
        """
        if key not in self._constants:
            self._constants[key] = make()
        constant: Constant = self._constants[key]
        return constant

    def views(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return views of what is remembered and room to compute in, made anew after `select`."""
        if key not in self._views:
            self._views[key] = make()
        views: T = self._views[key]
        return views

    def half(self, key: Hashable) -> Cursor:
        """Return the cursor of a map of half the size, at half the position, rounded down."""
        if key not in self._halves:
            self._halves[key] = Cursor((self.height + 1) // 2, (self.width + 1) // 2)
        half = self._halves[key]
        half.row, half.column = self.row // 2, self.column // 2
        return half

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` remembers."""
        self._views.clear()
        for key, tensor in self._memory.items():
            self._memory[key] = _chosen(tensor, index_B)
        for line in self._lines.values():
            line.select(index_B)
        for key, rows in self._rows.items():
            self._keep(key, [row.movedim(0, -1)[index_B] for row in rows])
        for half in self._halves.values():
            half.select(index_B)


def _chosen(kept: Tensor, index_B: Tensor) -> Tensor:
    """Return ``kept[index_B]`` in the same order of dimensions in memory."""
    strides = kept.stride()
    order = sorted(range(kept.dim()), key=lambda d: -strides[d])
    chosen = kept.permute(order).index_select(order.index(0), index_B)
    return chosen.permute([order.index(d) for d in range(kept.dim())])
