"""The two streams of PixelCNN++ over several resolutions, one inside the other.

References:
    | PixelCNN++ (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
"""

# Shapes: B batch, F features, H height, W width.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from genus.nn.concat_elu import concat_elu
from genus.nn.cursor import Cursor
from genus.nn.gated_resnet import GatedResnet
from genus.nn.map_biases import at_row
from genus.nn.rescale import HalvedPixels, HalvedRows
from genus.nn.weight_norm import NormedPixelConv2d, NormedRowConv2d

Hints = list[list[Tensor]]
"""What the vertical stream tells each block of the horizontal one, by resolution."""


class TwoStreams(nn.Module):
    """A vertical and a horizontal stream at one resolution, with the coarser ones inside.

    Blocks on the way down hand their maps to those on the way up, the last one first. The vertical
    stream sees whole rows and knows nothing of the horizontal one, so it runs first (`rows`): over
    a map or, with a `Cursor`, over the row there. The horizontal stream follows, over a map
    (`pixels`) or at the cursor (`step`), and is told by each vertical block what that has found.

    Streamed, the vertical stream runs once a row and the horizontal one once a pixel; one level
    further in, with every second row and with every second pixel of those. The work in total is
    that of one pass. A stream remembers two rows of what each convolution is given: for every
    example about ``17 F W`` numbers for each pair of blocks, at the level's own width.

    Args:
        features: of the maps, at every resolution.
        blocks: gated residual blocks of either stream on the way down; as many on the way up, and
            one more where there is a coarser level.
        resolutions: this one and the coarser ones, each half as large as the one before.
        classes: labels to condition on, or None.
        dropout: share of the features dropped in each block in training.

    Example:
        >>> import torch
        >>> x, streams = torch.zeros(1, 4, 5, 3), TwoStreams(4, blocks=1, resolutions=2)
        >>> vertical, hints = streams.rows(x)
        >>> streams.pixels(x, hints).shape
        torch.Size([1, 4, 5, 3])
    """

    inner: TwoStreams | None

    def __init__(
        self,
        features: int,
        blocks: int,
        resolutions: int,
        classes: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()

        def row_block(skip: bool) -> GatedResnet:
            return GatedResnet(
                NormedRowConv2d, (2, 3), features, classes=classes, dropout=dropout, skip=skip
            )

        def pixel_block(skip: bool) -> GatedResnet:
            return GatedResnet(
                NormedPixelConv2d, (2, 2), features, classes=classes, dropout=dropout, skip=skip
            )

        down, up = range(blocks), range(blocks + (resolutions > 1))
        self.rows_down = nn.ModuleList(row_block(skip=False) for _ in down)
        self.rows_up = nn.ModuleList(row_block(skip=True) for _ in up)
        self.pixels_down: Any = nn.ModuleList(pixel_block(skip=False) for _ in down)
        self.pixels_up: Any = nn.ModuleList(pixel_block(skip=True) for _ in up)
        self.tell = nn.ModuleList(
            NormedRowConv2d(2 * features, features, (1, 1)) for _ in (*down, *up)
        )
        self.inner = None
        if resolutions > 1:
            self.half_rows, self.half_pixels = HalvedRows(features), HalvedPixels(features)
            self.inner = TwoStreams(features, blocks, resolutions - 1, classes, dropout)

    def biased(self) -> list[int]:
        """Return the blocks of the vertical stream at each resolution, which can be told a map."""
        below = [] if self.inner is None else self.inner.biased()
        return [len(self.rows_down) + len(self.rows_up), *below]

    def rows(
        self,
        x_BFHW: Tensor,
        y_B: Tensor | None = None,
        cursor: Cursor | None = None,
        told: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Hints]:
        """Run the vertical stream.

        Args:
            x_BFHW: its map; with a cursor, the row ``(B, F, 1, W)`` there.
            y_B: labels, or None.
            cursor: at the first pixel of a row, or None for the whole map.
            told: by resolution, whole maps ``(B, L, F, H, W)`` to be added in each block; or none.

        Returns:
            What comes out, and hints for `pixels`. A stream keeps those of the coarser levels.
        """
        below: Hints = []

        def inside(half_map: Tensor, half: Cursor | None) -> Tensor:
            assert self.inner is not None
            out, hints = self.inner.rows(half_map, y_B, half, told[1:])
            if half is None:
                below.extend(hints)
            else:
                half.once_a_row(self.inner, lambda: [row.squeeze(2) for row in hints[0]])
            return out

        biases = iter(at_row(told[0], cursor).unbind(1) if told else ())
        maps = [x_BFHW]
        for block in self.rows_down:
            maps.append(block(maps[-1], y_B, cursor, hint=next(biases, None)))
        found = maps[1:]
        x = maps.pop() if self.inner is None else self.half_rows(maps[-1], inside, cursor)
        for block in self.rows_up:
            x = block(x, y_B, cursor, hint=next(biases, None), skip=maps.pop())
            found.append(x)
        own = [tell(concat_elu(m), cursor) for tell, m in zip(self.tell, found, strict=True)]
        return x, [own, *below]

    def pixels(self, x_BFHW: Tensor, hints: Hints, y_B: Tensor | None = None) -> Tensor:
        """Run the horizontal stream over a map.

        Args:
            x_BFHW: its map.
            hints: what `rows` told.
            y_B: labels, or None.

        Returns:
            What comes out, like ``x_BFHW``.
        """

        def inside(half_map: Tensor, _: Cursor | None) -> Tensor:
            assert self.inner is not None
            return self.inner.pixels(half_map, hints[1:], y_B)

        own, maps = iter(hints[0]), [x_BFHW]
        for block in self.pixels_down:
            maps.append(block(maps[-1], y_B, hint=next(own)))
        x: Tensor = maps.pop() if self.inner is None else self.half_pixels(maps[-1], inside)
        for block in self.pixels_up:
            x = block(x, y_B, hint=next(own), skip=maps.pop())
        return x

    def step(
        self, x_BF: Tensor, hints: Sequence[Tensor], y_B: Tensor | None, cursor: Cursor
    ) -> Tensor:
        """Run the horizontal stream at the cursor.

        Args:
            x_BF: its pixel.
            hints: what `rows` told of this level at that pixel, ``(B, F)`` each.
            y_B: labels, or None.
            cursor: where the stream is.

        Returns:
            What comes out, like ``x_BF``.
        """

        def inside(half_BF: Tensor, half: Cursor | None) -> Tensor:
            assert self.inner is not None
            assert half is not None
            # `rows` has left the hints with the half cursor.
            return self.inner.step(half_BF, half.once_a_row(self.inner, list), y_B, half)

        own, maps = iter(hints), [x_BF]
        for block in self.pixels_down:
            maps.append(block.step(maps[-1], y_B, cursor, hint=next(own)))
        x = maps.pop() if self.inner is None else self.half_pixels.step(maps[-1], inside, cursor)
        for block in self.pixels_up:
            x = block.step(x, y_B, cursor, hint=next(own), skip=maps.pop())
        return x
