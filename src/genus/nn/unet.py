"""A network from images to images that looks at all of them and loses no detail.

References:
    | U-Net: Convolutional Networks for Biomedical Image Segmentation (Ronneberger et al., 2015)
    | https://arxiv.org/abs/1505.04597
    | Group Normalization (Wu and He, 2018), of one group, https://arxiv.org/abs/1803.08494
"""

# Shapes: B batch, C H W an image, M numbers that join at the bottom.
from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.mirrored import SLOPE, halvings


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution, normalised over each example by itself, and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1),
        nn.GroupNorm(1, outputs),
        nn.LeakyReLU(SLOPE),
    )


class UNet(nn.Module):
    """Halve an image down to one pixel, double it again, and hand details across.

    Each stage on the way up sees what the stage of its size on the way down made. Sides are halved
    rounding up, so images of any size work. What is normalised is each example by itself.

    Args:
        inputs: channels of the images that come in.
        outputs: channels of those that go out.
        size: their height and width.
        channels: feature maps at full resolution; doubled with every halving, up to fourfold.
        extra: numbers that join at the bottom, M.

    Example:
        >>> net = UNet(3, 1, (5, 12), channels=4, extra=2)
        >>> net(torch.zeros(2, 3, 5, 12), torch.zeros(2, 2)).shape
        torch.Size([2, 1, 5, 12])
    """

    def __init__(
        self, inputs: int, outputs: int, size: tuple[int, int], *, channels: int, extra: int = 0
    ) -> None:
        super().__init__()
        self.sizes = halvings(*size, until=1)
        widths = [channels * min(2**i, 4) for i in range(len(self.sizes))]
        self.first = _layer(inputs, widths[0])
        self.down = nn.ModuleList(_layer(*pair, stride=2) for pair in pairwise(widths))
        self.bottom = _layer(widths[-1] + extra, widths[-1])
        up = pairwise(widths[::-1])
        self.up = nn.ModuleList(_layer(below + here, here) for below, here in up)
        self.last = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, x: Tensor, extra_BM: Tensor | None = None) -> Tensor:
        """Return ``(B, outputs, H, W)``.

        Args:
            x: ``(B, inputs, H, W)``.
            extra_BM: numbers that join at the bottom.
        """
        kept = [self.first(x)]
        for layer in self.down:
            kept.append(layer(kept[-1]))
        h = kept.pop()
        if extra_BM is not None:
            h = torch.cat([h, extra_BM[:, :, None, None]], 1)
        h = self.bottom(h)
        for layer, size in zip(self.up, self.sizes[-2::-1], strict=True):
            h = layer(torch.cat([F.interpolate(h, size, mode="nearest"), kept.pop()], 1))
        out: Tensor = self.last(h)
        return out
