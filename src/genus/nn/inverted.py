"""Two networks of inverted residual blocks without normalisation, from noise to images and back.

References:
    | The GAN is dead; long live the GAN! A Modern Baseline GAN (Huang et al., 2024), section 3
    | https://arxiv.org/abs/2501.05441
    | Fixup Initialization: Residual Learning Without Normalization (Zhang et al., 2019)
    | https://arxiv.org/abs/1901.09321
"""

# Shapes: B batch, C H W a map, F features.
from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.mirrored import SLOPE, halvings

GROUP = 16
"""Feature maps that a 3x3 convolution mixes with each other."""
FULL = 16
"""Images with a longer side than this have no blocks at their full resolution."""


def scaled(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Return a layer with weights that keep the size of leaky rectified inputs, times a gain."""
    nn.init.kaiming_normal_(layer.weight, SLOPE, nonlinearity="leaky_relu")
    with torch.no_grad():
        layer.weight.mul_(gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class InvertedResidual(nn.Module):
    """To more maps, a grouped 3x3 convolution there, and back, on a path that begins at zero.

    Args:
        features: maps in and out.
        expansion: times as many maps inside.
        depth: blocks of the whole network, by which first weights shrink (Zhang et al., 2019).
    """

    def __init__(self, features: int, expansion: int, depth: int) -> None:
        super().__init__()
        inner, gain = features * expansion, depth**-0.25
        groups = math.gcd(inner, max(1, inner // GROUP))
        self.widen = scaled(nn.Conv2d(features, inner, 1), gain)
        self.mix = scaled(nn.Conv2d(inner, inner, 3, padding=1, groups=groups), gain)
        self.narrow = nn.Conv2d(inner, features, 1, bias=False)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same shape."""
        path = self.mix(F.leaky_relu(self.widen(x), SLOPE))
        out: Tensor = x + self.narrow(F.leaky_relu(path, SLOPE))
        return out


class Resize(nn.Module):
    """Bilinear interpolation to another size, with a 1x1 convolution where maps change in number.

    The convolution works at the smaller of the two sizes.

    Args:
        inputs: maps that come in.
        outputs: maps that go out.
        size: height and width that go out.
        up: whether that is the larger size.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], *, up: bool) -> None:
        super().__init__()
        self.size, self.up = size, up
        layer = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.change: nn.Module = nn.Identity() if inputs == outputs else layer
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, *size)``."""
        if self.up:
            x = self.change(x)
        resized = F.interpolate(x, self.size, mode="bilinear")  # to half: the mean of four
        return resized if self.up else self.change(resized)


class Basis(nn.Module):
    """A learned coarse map whose features a vector weighs: where a generator begins.

    Args:
        inputs: size of the vector.
        features: maps.
        size: height and width.
    """

    def __init__(self, inputs: int, features: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.map_FHW = nn.Parameter(torch.randn(features, *size))
        self.weigh = nn.Linear(inputs, features, bias=False)
        nn.init.kaiming_normal_(self.weigh.weight, nonlinearity="linear")

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return ``(B, features, *size)``."""
        weight_BF: Tensor = self.weigh(z_BZ)
        return weight_BF[:, :, None, None] * self.map_FHW


class Gather(nn.Module):
    """One filter as large as the map for each feature: where a critic ends.

    Args:
        features: maps.
        size: height and width.
    """

    def __init__(self, features: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.filters_FHW = nn.Parameter(torch.empty(features, *size))
        nn.init.normal_(self.filters_FHW, std=math.prod(size) ** -0.5)

    def forward(self, x_BFHW: Tensor) -> Tensor:
        """Return ``(B, F)``."""
        # As a grouped convolution, its second derivatives took a tenth of a step of training.
        return (x_BFHW * self.filters_FHW).sum((2, 3))


class Halve(nn.Module):
    """A strided 4x4 convolution; a side of odd length is filled up by a line of zeros.

    Args:
        inputs: maps that come in.
        outputs: maps that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = scaled(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, H / 2, W / 2)``, rounded up."""
        out: Tensor = self.layer(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)))
        return out


def plan(shape: tuple[int, ...], channels: int) -> tuple[list[tuple[int, int]], list[int], bool]:
    """Return sizes that have blocks, their numbers of maps, and whether the image is larger.

    An image with a side above 16 has its first blocks at half its resolution: at the full one they
    would be most of the work, for each of a fourth as many maps.

    Example:
        >>> plan((1, 28, 28), 8), plan((1, 8, 8), 8)
        (([(14, 14), (7, 7)], [8, 16], True), ([(8, 8), (4, 4)], [8, 16], False))
    """
    sizes = halvings(*shape[1:])
    larger = max(sizes[0]) > FULL
    sizes = sizes[1:] if larger else sizes
    return sizes, [channels * min(2**i, 4) for i in range(len(sizes))], larger


def generator(
    inputs: int, shape: tuple[int, ...], *, channels: int, blocks: int, expansion: int
) -> nn.Sequential:
    """Return a network from vectors to images.

    Args:
        inputs: size of the vector.
        shape: ``(C, H, W)``.
        channels: feature maps at the highest resolution of `plan`; doubled with every halving, up
            to fourfold.
        blocks: residual blocks at each resolution.
        expansion: times as many maps inside a block.

    Example:
        >>> net = generator(4, (3, 5, 12), channels=8, blocks=1, expansion=2)
        >>> net(torch.randn(2, 4)).shape
        torch.Size([2, 3, 5, 12])
    """
    sizes, widths, larger = plan(shape, channels)
    depth = blocks * len(sizes)
    layers: list[nn.Module] = [Basis(inputs, widths[-1], sizes[-1])]
    layers += [InvertedResidual(widths[-1], expansion, depth) for _ in range(blocks)]
    for (before, after), size in zip(pairwise(widths[::-1]), sizes[-2::-1], strict=True):
        layers.append(Resize(before, after, size, up=True))
        layers += [InvertedResidual(after, expansion, depth) for _ in range(blocks)]
    if not larger:
        return nn.Sequential(*layers, scaled(nn.Conv2d(widths[0], shape[0], 1)))
    full = Resize(widths[0], widths[0], (shape[1], shape[2]), up=True)
    last = scaled(nn.Conv2d(widths[0], shape[0], 3, padding=1))
    return nn.Sequential(*layers, full, nn.LeakyReLU(SLOPE), last)


def critic(shape: tuple[int, ...], *, channels: int, blocks: int, expansion: int) -> nn.Sequential:
    """Return a network from images to vectors of size `features_of`; arguments as `generator`."""
    sizes, widths, larger = plan(shape, channels)
    depth = blocks * len(sizes)
    first = Halve(shape[0], widths[0]) if larger else scaled(nn.Conv2d(shape[0], widths[0], 1))
    layers: list[nn.Module] = [first]
    layers += [InvertedResidual(widths[0], expansion, depth) for _ in range(blocks)]
    for (before, after), size in zip(pairwise(widths), sizes[1:], strict=True):
        layers.append(Resize(before, after, size, up=False))
        layers += [InvertedResidual(after, expansion, depth) for _ in range(blocks)]
    return nn.Sequential(*layers, Gather(widths[-1], sizes[-1]))


def features_of(shape: tuple[int, ...], channels: int) -> int:
    """Return the size of the vector that `critic` makes.

    Example:
        >>> features_of((1, 28, 28), 8)
        16
    """
    return plan(shape, channels)[1][-1]
