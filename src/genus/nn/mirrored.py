"""Two networks that mirror each other, from noise to examples and back to a vector.

Images are halved, rounding up, until no side is above 7, so that any size works as it is. Most of
the work is done below full resolution, where it costs a quarter. There is no normalisation, so no
example of a batch sees another, and residual paths begin at zero, so that depth is free.
"""

# Shapes: B batch, C H W an image.
from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
"""Of the leaky rectifier: a gradient must pass wherever the critic looks."""


def halvings(height: int, width: int, until: int = 7) -> list[tuple[int, int]]:
    """Return the sizes from the image down, each half of the last, rounded up.

    Args:
        height: of the image.
        width: of the image.
        until: what no side of the last is above.

    Example:
        >>> halvings(28, 28), halvings(5, 12)
        ([(28, 28), (14, 14), (7, 7)], [(5, 12), (3, 6)])
    """
    sizes = [(height, width)]
    while max(sizes[-1]) > until:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


class Residual(nn.Module):
    """Two 3x3 convolutions on a path that begins at zero.

    Args:
        inputs: feature maps that come in.
        outputs: feature maps that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.last = nn.Conv2d(outputs, outputs, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``."""
        path: Tensor = self.last(F.leaky_relu(self.first(F.leaky_relu(x, SLOPE)), SLOPE))
        shortcut: Tensor = self.skip(x)
        return shortcut + path


def _stage(inputs: int, outputs: int, blocks: int) -> list[nn.Module]:
    return [Residual(inputs if i == 0 else outputs, outputs) for i in range(blocks)]


def _plan(shape: tuple[int, ...], channels: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return sizes and numbers of feature maps, from the image down."""
    sizes = halvings(*shape[1:])
    return sizes, [channels * min(2**i, 4) for i in range(len(sizes))]


def _perceptron(*sizes: int) -> list[nn.Module]:
    return [m for pair in pairwise(sizes) for m in (nn.Linear(*pair), nn.LeakyReLU(SLOPE))]


def decoder(
    inputs: int, shape: tuple[int, ...], *, channels: int, blocks: int, hidden: int
) -> nn.Sequential:
    """Return a network from vectors to examples.

    Args:
        inputs: size of the vector.
        shape: ``(C, H, W)`` of images or ``(D,)`` of vectors.
        channels: feature maps at full resolution; doubled with every halving, up to fourfold.
        blocks: residual blocks at each resolution below the full one.
        hidden: units of a layer, for vectors.

    Example:
        >>> import torch
        >>> net = decoder(4, (3, 5, 12), channels=8, blocks=1, hidden=16)
        >>> net(torch.zeros(2, 4)).shape
        torch.Size([2, 3, 5, 12])
    """
    if len(shape) == 1:
        return nn.Sequential(*_perceptron(inputs, hidden, hidden), nn.Linear(hidden, shape[0]))
    sizes, widths = _plan(shape, channels)
    (height, width), first = sizes[-1], widths[-1]
    layers: list[nn.Module] = [nn.Linear(inputs, first * height * width)]
    layers += [nn.Unflatten(1, (first, height, width)), *_stage(first, first, blocks)]
    for (before, after), size in zip(pairwise(widths[::-1]), sizes[-2::-1], strict=True):
        layers.append(nn.Upsample(size=size, mode="nearest"))
        if size == sizes[0]:
            layers.append(nn.Conv2d(before, after, 3, padding=1))
        else:
            layers += _stage(before, after, blocks)
    last = nn.Conv2d(widths[0], shape[0], 3, padding=1)
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE), last)


def encoder(shape: tuple[int, ...], *, channels: int, blocks: int, hidden: int) -> nn.Sequential:
    """Return a network from examples to vectors of size ``hidden``.

    Args:
        shape: ``(C, H, W)`` of images or ``(D,)`` of vectors.
        channels: feature maps at full resolution; doubled with every halving, up to fourfold.
        blocks: residual blocks at each resolution below the full one.
        hidden: size of the result, and of every layer for vectors.
    """
    if len(shape) == 1:
        return nn.Sequential(*_perceptron(shape[0], hidden, hidden, hidden))
    sizes, widths = _plan(shape, channels)
    layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 3, padding=1)]
    if len(sizes) == 1:
        layers += _stage(widths[0], widths[0], blocks)
    for before, after in pairwise(widths):
        layers += [nn.LeakyReLU(SLOPE), nn.AvgPool2d(2, ceil_mode=True)]
        layers += _stage(before, after, blocks)
    flat = widths[-1] * sizes[-1][0] * sizes[-1][1]
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE), nn.Flatten(), *_perceptron(flat, hidden))
