"""Streaming an image of which a coarse grid of pixels is drawn first, by another network."""

# Shapes: B batch, C colours, h w the small image, N its entries.
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genus.capabilities import Distribution
from genus.families.autoregressive import Autoregressive
from genus.families.pixel import PixelStream


class GuidedStream:
    """The conditionals of a small image, and then of the other pixels of the large one.

    The network of the large image is told the pixels that it shares with the small one, and does
    not draw them.

    Args:
        small: the model of the small image.
        scale: the small image is every ``scale``-th pixel of every ``scale``-th row.
        begin: from the small image's levels ``(B, C, h, w)`` and the labels to the stream of all
            pixels of the large one.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    def __init__(
        self,
        small: Autoregressive,
        scale: int,
        begin: Callable[[Tensor, Tensor | None], PixelStream],
        n: int,
        y: Tensor | None,
    ) -> None:
        self.scale, self.begin, self.y = scale, begin, y
        self.first = small.stream(n, y)
        self.indices, self.position = small.indices(), 0
        shape = (n, *small.spec.shape)
        self.x_BChw = torch.zeros(shape, dtype=torch.long, device=small.device)
        self.second: PixelStream | None = None

    def next(self) -> Distribution:
        """Return the law ``(n,)`` of the next entry."""
        return (self.second or self.first).next()

    def push(self, value: Tensor) -> None:
        """Fix that entry; after the small image's last one, begin the large image."""
        if self.second is None:
            self.x_BChw.flatten(1)[:, self.indices[self.position]] = value
            self.first.push(value)
            self.position += 1
            if self.position == len(self.indices):
                self.second = self.begin(self.x_BChw, self.y)
        else:
            self.second.push(value)
        if self.second is not None:
            self._pass_over(self.second)

    def _pass_over(self, stream: PixelStream) -> None:
        """Walk over pixels that are known from the small image."""
        cursor, s = stream.cursor, self.scale
        while cursor.row < cursor.height and cursor.row % s == 0 and cursor.column % s == 0:
            for value in self.x_BChw[:, :, cursor.row // s, cursor.column // s].unbind(1):
                stream.next()
                stream.push(value)

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` has drawn so far."""
        self.x_BChw = self.x_BChw[index_B]
        self.y = None if self.y is None else self.y[index_B]
        (self.second or self.first).select(index_B)
