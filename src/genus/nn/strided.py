"""Strided convolutions with batch normalisation, from noise to images and back: DCGAN's networks.

References:
    | Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks
    | (Radford et al., 2016) https://arxiv.org/abs/1511.06434
"""

# Shapes: B batch, C H W an image.
from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.mirrored import SLOPE, halvings

_SETTLING = 64
"""Vectors of noise from which a fresh generator has its first statistics."""


class Double(nn.ConvTranspose2d):
    """A convolution that makes the sides of a map twice as long, or one less where asked to.

    Args:
        inputs: feature maps that come in.
        outputs: feature maps that go out.
        size: height and width that go out, twice those that come in or one less.
        bias: whether there is one; normalisation after it makes it useless.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], *, bias: bool) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1, bias=bias)
        self.size = size

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return ``(B, outputs, *size)``."""
        height, width = self.size
        return super().forward(x)[..., :height, :width]


class Halve(nn.Conv2d):
    """A convolution that halves the sides of a map, rounding up.

    Args:
        inputs: feature maps that come in.
        outputs: feature maps that go out.
        bias: whether there is one.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, ceil(H / 2), ceil(W / 2))``."""
        return super().forward(F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)))


def _begin(network: nn.Module) -> None:
    """Draw the first weights as the paper does.

    They are small, so a step of a given size turns those that are normalised after by more.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, std=0.02)


@torch.no_grad()
def _settle(generator: nn.Sequential, inputs: int) -> None:
    """Give a fresh generator outputs of unit size, and the statistics of its own hidden layers.

    Otherwise an untrained one would make the same image of all noise: normalisation that has seen
    nothing yet leaves small signals as they are.
    """
    last = generator[-1]
    assert isinstance(last, nn.ConvTranspose2d)
    reach = last.in_channels * math.prod(last.kernel_size) / math.prod(last.stride)
    nn.init.normal_(last.weight, std=(2 / reach) ** 0.5)
    norms = [module for module in generator if isinstance(module, nn.BatchNorm2d)]
    usual = norms[0].momentum
    for norm in norms:
        norm.momentum = 1.0  # all of the next batch
    generator(torch.randn(_SETTLING, inputs))
    for norm in norms:
        norm.momentum = usual


def _plan(shape: tuple[int, ...], channels: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return sizes from the image down, and numbers of feature maps from the first halving on."""
    sizes = halvings(*shape[1:])
    if len(sizes) == 1:  # an image that small is halved once
        sizes.append(((sizes[0][0] + 1) // 2, (sizes[0][1] + 1) // 2))
    return sizes, [channels * 2**i for i in range(len(sizes) - 1)]


def generator(inputs: int, shape: tuple[int, ...], channels: int) -> nn.Sequential:
    """Return a network from vectors to images.

    Args:
        inputs: size of the vector.
        shape: ``(C, H, W)``.
        channels: feature maps at half resolution, doubled with every further halving.

    Example:
        >>> generator(4, (3, 5, 12), channels=8)(torch.randn(2, 4)).shape
        torch.Size([2, 3, 5, 12])
    """
    sizes, widths = _plan(shape, channels)
    first = (widths[-1], *sizes[-1])
    layers: list[nn.Module] = [nn.Linear(inputs, math.prod(first), bias=False)]
    layers += [nn.Unflatten(1, first), nn.BatchNorm2d(first[0]), nn.ReLU()]
    for (before, after), size in zip(pairwise(widths[::-1]), sizes[-2:0:-1], strict=True):
        layers += [Double(before, after, size, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    network = nn.Sequential(*layers, Double(widths[0], shape[0], sizes[0], bias=True))
    _begin(network)
    _settle(network, inputs)
    return network


def critic(shape: tuple[int, ...], channels: int) -> nn.Sequential:
    """Return a network from images to vectors of size `features_of`.

    Args:
        shape: ``(C, H, W)``.
        channels: feature maps at half resolution, doubled with every further halving.
    """
    _, widths = _plan(shape, channels)
    layers: list[nn.Module] = [Halve(shape[0], widths[0], bias=True), nn.LeakyReLU(SLOPE)]
    for before, after in pairwise(widths):
        layers += [Halve(before, after, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)]
    network = nn.Sequential(*layers, nn.Flatten())
    _begin(network)
    return network


def features_of(shape: tuple[int, ...], channels: int) -> int:
    """Return the size of the vector that `critic` makes.

    Example:
        >>> features_of((1, 28, 28), 8)  # 16 maps of 7 x 7
        784
    """
    sizes, widths = _plan(shape, channels)
    return widths[-1] * math.prod(sizes[-1])
