"""Where a stream is in an image, and all that the layers of a network remember on the way.

A network of causal layers can be run one position at a time at the price of one pass over the
image, because everything that a position needs from before has been computed already. The layers
hold no state themselves: their memory lives in a `Cursor`, so that one network can serve several
streams, and a stream can be rearranged (`Cursor.select`) by one call.

References:
    | Fast Generation for Convolutional Autoregressive Models (Ramachandran et al., 2017)
    | https://arxiv.org/abs/1704.06001
"""

# Shapes: B batch, C colours, F features, H height, W width.
from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch.nn.functional as F
from torch import Tensor


class Cursor:
    """Where a stream is in the image, and what its layers remember.

    Everything remembered has the batch as its first dimension. Keys are usually the layer itself,
    or a tuple of the layer and a word.

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
        self._row_of: dict[Hashable, int] = {}
        self._row_maps: dict[Hashable, list[Tensor]] = {}
        self._constants: dict[Hashable, Tensor] = {}
        self._halves: dict[Hashable, Cursor] = {}

    def advance(self) -> None:
        """Go to the next pixel."""
        self.column += 1
        if self.column == self.width:
            self.row, self.column = self.row + 1, 0

    def record(self, u_BC11: Tensor) -> None:
        """Keep the image's own pixel at the cursor, for what is computed when a row is complete."""
        self.rows(Cursor, 2, 0, u_BC11)[:, :, -1, self.column] = u_BC11[:, :, 0, 0]

    def above(self, like_BC11: Tensor) -> Tensor:
        """Return the image's own row above the cursor's, ``(B, C, 1, W)``; zero at the first."""
        return self.rows(Cursor, 2, 0, like_BC11)[:, :, :1]

    def memory(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return what is remembered under a key, to be written to in place; made when first asked.

        Ask again at every position: `select` replaces the tensor.
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
        elif self._row_of[key] != self.row:
            self._row_of[key] = self.row
            self._memory[key] = F.pad(self._memory[key][:, :, 1:], (0, 0, 0, 1))
        return self._memory[key]

    def once_a_row(self, key: Hashable, compute: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
        """Return maps ``(B, F, 1, 1)`` at the cursor of rows ``(B, F, 1, W)``.

        The rows are computed when the first pixel of the row asks, and kept for the others. They
        must follow from the rows above alone.
        """
        if self._row_of.get(key) != self.row:
            self._row_of[key] = self.row
            self._row_maps[key] = list(compute())
        column = self.column
        return [row_BF1W[..., column : column + 1] for row_BF1W in self._row_maps[key]]

    def constant(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return a tensor that is the same at every position, such as a weight times its mask.

        The weights of the network must not change during a stream.
        """
        if key not in self._constants:
            self._constants[key] = make()
        return self._constants[key]

    def half(self, key: Hashable) -> Cursor:
        """Return the cursor of a map of half the size, at half the position, rounded down."""
        if key not in self._halves:
            self._halves[key] = Cursor((self.height + 1) // 2, (self.width + 1) // 2)
        half = self._halves[key]
        half.row, half.column = self.row // 2, self.column // 2
        return half

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` remembers."""
        for key, tensor in self._memory.items():
            self._memory[key] = tensor[index_B]
        for key, maps in self._row_maps.items():
            self._row_maps[key] = [row_BF1W[index_B] for row_BF1W in maps]
        for half in self._halves.values():
            half.select(index_B)

    def bytes(self) -> int:
        """Return how much memory the stream holds."""
        kept = [*self._memory.values(), *self._constants.values()]
        for maps in self._row_maps.values():
            kept += maps
        own = sum(t.untyped_storage().nbytes() for t in kept)
        return own + sum(half.bytes() for half in self._halves.values())
