"""The two ways of a ladder: from an image up to coarse maps, and down again through the latents."""

# Shapes: B batch, N rows, C H W an image, F features, c latents at a position, G groups.
from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.coders import ResidualBlock, pyramid

Size = tuple[int, int]
Pick = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""From a group, the map there, and mean and log deviation of its prior, to its latents."""


def group_sizes(height: int, width: int, groups: int) -> list[Size]:
    """Return height and width of the latents of each group, the coarsest first.

    The finest has half the resolution of the image, and each one before half of that, down to
    where the smaller side is at most 4; the others stay there.

    Example:
        >>> group_sizes(28, 28, 4), group_sizes(1, 3, 2)
        ([(4, 4), (4, 4), (7, 7), (14, 14)], [(1, 3), (1, 3)])
    """
    sizes = pyramid(height, width)
    sizes = sizes[1:] or sizes
    return [sizes[min(g, len(sizes) - 1)] for g in reversed(range(groups))]


def stack(features: int, blocks: int, kernel: int, dropout: float) -> nn.Sequential:
    """Return residual blocks."""
    return nn.Sequential(*(ResidualBlock(features, kernel, dropout) for _ in range(blocks)))


class BottomUp(nn.Module):
    """From an image to a map for each group.

    Args:
        inputs: channels of the image.
        size: of the image.
        sizes: of the groups, the coarsest first.
        features: F of every map.
        blocks: residual blocks of each group.
        dropout: in training.
    """

    def __init__(
        self,
        inputs: int,
        size: Size,
        sizes: Sequence[Size],
        features: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for before, after in pairwise([size, *reversed(sizes)]):
            channels = features if self.stages else inputs
            stride = 1 if before == after else 2
            kernel = kernel_for(before)
            first = nn.Conv2d(channels, features, kernel, stride, padding=kernel // 2)
            blocks_here = stack(features, blocks, kernel_for(after), dropout)
            self.stages.append(nn.Sequential(first, blocks_here))

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return ``(B, F, H, W)`` for each group, the coarsest first."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(maps[-1] if maps else x_BCHW))
        return maps[::-1]


class TopDown(nn.Module):
    """From the coarsest latents to a map of the image, with a prior for each group on the way.

    Args:
        outputs: channels of the map of the image.
        size: of the image.
        sizes: of the groups, the coarsest first.
        features: F.
        latents: c of every group.
        blocks: residual blocks of each group.
        dropout: in training.
    """

    def __init__(
        self,
        outputs: int,
        size: Size,
        sizes: Sequence[Size],
        features: int,
        latents: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.size, self.sizes = size, tuple(sizes)
        self.top_1FHW = nn.Parameter(0.1 * torch.randn(1, features, *sizes[0]))
        self.priors, self.enters, self.blocks = (nn.ModuleList() for _ in range(3))
        for here in sizes:
            prior = nn.Conv2d(features, 2 * latents, 1)
            for parameter in prior.parameters():
                nn.init.zeros_(parameter)
            self.priors.append(prior)
            self.enters.append(nn.Conv2d(latents, features, 1))
            self.blocks.append(stack(features, blocks, kernel_for(here), dropout))
        kernel = kernel_for(size)
        half = max(1, features // 2)  # most of the work would be at the full resolution
        self.last = nn.Sequential(
            nn.Conv2d(features, half, kernel, padding=kernel // 2),
            ResidualBlock(half, kernel, dropout),
            nn.SiLU(),
            nn.Conv2d(half, outputs, kernel, padding=kernel // 2),
        )

    def forward(self, rows: int, pick: Pick, label_NF: Tensor | None = None) -> Tensor:
        """Return ``(N, outputs, H, W)``.

        Args:
            rows: N.
            pick: chooses the latents ``(N, c, H, W)`` of a group.
            label_NF: added to the map after the last group.
        """
        h_NFHW = self.top_1FHW.expand(rows, -1, -1, -1)
        for group, size in enumerate(self.sizes):
            h_NFHW = resized(h_NFHW, size)
            prior = self.priors[group](F.silu(h_NFHW)).to(self.top_1FHW.dtype)
            mean, log_scale = bounded(prior).chunk(2, 1)
            z_NcHW = pick(group, h_NFHW, mean, log_scale)
            h_NFHW = h_NFHW + self.enters[group](z_NcHW)
            if group == len(self.sizes) - 1 and label_NF is not None:
                h_NFHW = h_NFHW + label_NF[:, :, None, None]
            h_NFHW = self.blocks[group](h_NFHW)
        out: Tensor = self.last(resized(h_NFHW, self.size))
        return out


class MapDecoder(nn.Module):
    """From a coarse map to a map of the image.

    Args:
        inputs: channels of the coarse map.
        outputs: channels of the map of the image.
        size: of the image.
        sizes: of the maps on the way, the coarsest first.
        features: F.
        blocks: residual blocks at each size.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: Size,
        sizes: Sequence[Size],
        features: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self.size, self.sizes = size, tuple(sizes)
        self.first = nn.Conv2d(inputs, features, 1)
        self.blocks = nn.ModuleList(
            stack(features, blocks, kernel_for(here), 0.0) for here in sizes
        )
        kernel = kernel_for(size)
        self.last = nn.Conv2d(features, outputs, kernel, padding=kernel // 2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``."""
        h_BFHW = self.first(x_BCHW)
        for size, blocks in zip(self.sizes, self.blocks, strict=True):
            h_BFHW = blocks(resized(h_BFHW, size))
        out: Tensor = self.last(F.silu(resized(h_BFHW, self.size)))
        return out


def bounded(x: Tensor) -> Tensor:
    """Return x where it is small, and at most 5 either way, smoothly (Vahdat and Kautz 2020).

    Nothing else holds the scale of latents: a step that doubles it is paid for in the next group,
    until a divergence is a million nats and the group is given up.

    Example:
        >>> bounded(torch.tensor([-1e6, 0.1, 5.0]))
        tensor([-5.0000,  0.1000,  3.8080])
    """
    return 5 * torch.tanh(x / 5)


def kernel_for(size: Size) -> int:
    """Return 3, or 1 for a map of one position, where nothing else would be seen."""
    return 1 if size == (1, 1) else 3


def resized(x_NFHW: Tensor, size: Size) -> Tensor:
    """Return the map at another resolution, by nearest neighbours."""
    if x_NFHW.shape[-2:] == torch.Size(size):
        return x_NFHW
    return F.interpolate(x_NFHW, size=size, mode="nearest")
