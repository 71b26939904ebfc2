"""Networks between vectors and images: perceptrons, and convolutions that halve and double."""

# Shapes: B batch, C H W an image, F features, D a vector, P parameters of one entry.
from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.errors import ConfigError

COARSEST = 4
"""Halving stops when the smaller side is at most this."""


def perceptron(sizes: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Return linear layers of these sizes with SiLU, and dropout, between them.

    Example:
        >>> perceptron([2, 8, 3])(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


def first_filters(network: nn.Module, shape: Sequence[int]) -> Tensor:
    """Return the weights of a perceptron's first units for an example's entries, ``(H, *shape)``.

    Args:
        network: whose first inputs are the entries; others, such as a label's, may follow.
        shape: of an example.

    Raises:
        ConfigError: it is no perceptron, so that no unit has a weight for every entry.

    Example:
        >>> first_filters(perceptron([10, 8, 3]), (1, 3, 3)).shape
        torch.Size([8, 1, 3, 3])
    """
    first = network[0] if isinstance(network, nn.Sequential) else None
    if not isinstance(first, nn.Linear):
        raise ConfigError(
            "the network is convolutional, so no unit has a weight for every entry; train with "
            "network='mlp' to see such filters"
        )
    return first.weight[:, : math.prod(shape)].reshape(-1, *shape)


def pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Return the sizes from the image down: each half of the last, rounded up.

    Example:
        >>> pyramid(28, 28)
        [(28, 28), (14, 14), (7, 7), (4, 4)]
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > COARSEST:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


class ResidualBlock(nn.Module):
    """Two convolutions on a residual path that begins at zero, so that depth is free.

    Args:
        features: of the map.
        kernel: height and width of the kernels, odd.
        dropout: share of the hidden features dropped in training.
    """

    def __init__(self, features: int, kernel: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(features, features, kernel, padding=kernel // 2)
        self.second = nn.Conv2d(features, features, kernel, padding=kernel // 2)
        self.dropout = dropout
        nn.init.zeros_(self.second.weight)

    def forward(self, x_BFHW: Tensor) -> Tensor:
        """Return a map like ``x_BFHW``."""
        hidden_BFHW = F.silu(self.first(F.silu(x_BFHW)))
        if self.training and self.dropout:
            hidden_BFHW = F.dropout(hidden_BFHW, self.dropout)
        out: Tensor = x_BFHW + self.second(hidden_BFHW)
        return out


class ImageEncoder(nn.Module):
    """From an image and a vector to a vector.

    Args:
        shape: (C, H, W).
        extra: size of the vector beside the image; may be 0.
        outputs: size of the result.
        features: at the finest scale; doubled with every halving, up to fourfold.
        dropout: share of hidden features dropped in training.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int,
        outputs: int,
        features: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        C, H, W = shape
        sizes = pyramid(H, W)
        widths = [features * min(2**i, 4) for i in range(len(sizes))]
        layers: list[nn.Module] = [nn.Conv2d(C, widths[0], 3, padding=1)]
        layers.append(ResidualBlock(widths[0], dropout=dropout))
        for inputs, width in pairwise(widths):
            layers.append(nn.Conv2d(inputs, width, 3, stride=2, padding=1))
            layers.append(ResidualBlock(width, dropout=dropout))
        self.maps = nn.Sequential(*layers, nn.SiLU())
        flat = widths[-1] * sizes[-1][0] * sizes[-1][1] + extra
        self.head = perceptron([flat, 256, outputs], dropout)

    def forward(self, x_BCHW: Tensor, extra_BD: Tensor) -> Tensor:
        """Return ``(B, outputs)``."""
        h_BD: Tensor = self.maps(x_BCHW).flatten(1)
        out: Tensor = self.head(torch.cat([h_BD, extra_BD.to(h_BD.dtype)], 1))
        return out


class ImageDecoder(nn.Module):
    """From a vector to the parameters of each entry of an image.

    Args:
        inputs: size of the vector.
        shape: (C, H, W).
        outputs: P, parameters of one entry.
        features: at the finest scale; doubled with every halving, up to fourfold.
        dropout: share of hidden features dropped in training.
    """

    def __init__(
        self,
        inputs: int,
        shape: tuple[int, ...],
        outputs: int,
        features: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        C, H, W = shape
        self.sizes = pyramid(H, W)[::-1]
        widths = [features * min(2**i, 4) for i in range(len(self.sizes))][::-1]
        self.start = (widths[0], *self.sizes[0])
        flat = widths[0] * self.sizes[0][0] * self.sizes[0][1]
        self.head = perceptron([inputs, 256, flat], dropout)
        self.coarsest = ResidualBlock(widths[0], dropout=dropout)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), ResidualBlock(b, dropout=dropout))
            for a, b in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], C * outputs, 3, padding=1)
        self.colours = C

    def forward(self, z_BD: Tensor) -> Tensor:
        """Return ``(B, C, H, W, P)``."""
        x_BFHW = self.coarsest(self.head(z_BD).view(-1, *self.start))
        for size, stage in zip(self.sizes[1:], self.stages, strict=True):
            x_BFHW = stage(F.interpolate(x_BFHW, size=size, mode="nearest"))
        out_BCPHW: Tensor = self.last(F.silu(x_BFHW)).unflatten(1, (self.colours, -1))
        return out_BCPHW.permute(0, 1, 3, 4, 2).contiguous()
