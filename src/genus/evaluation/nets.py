"""The small networks whose features samples are judged by."""

# Shapes: B batch, C channels, H height, W width, F features.
from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genus.distributions.units import LAST_DIGIT
from genus.spec import Spec

FEATURES = 64
"""Size of a feature vector: the floor of the Frechet distance grows with its square."""


# Modules draw default weights from the global generator before ours replace them; decorated with
# fork_rng, making a network leaves that generator as it was.
@torch.random.fork_rng(devices=[])
def make_trunk(spec: Spec, width: int, seed: int) -> nn.Sequential:
    """Return a fresh network from scaled examples ``(B, *shape)`` to features ``(B, 64)``.

    Images go through 3x3 convolutions, of stride 2 until neither side is above 4 (the first only
    for images above 16), and a 2x2 grid of means, which keeps where things are; vectors go through
    two hidden layers. It takes any size.
    """
    if not spec.is_image:
        wide = 4 * width
        layers: list[nn.Module] = [nn.Linear(spec.dims, wide), nn.GELU()]
        layers += [nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, FEATURES)]
        return _initialised(nn.Sequential(*layers), seed)
    channels, side = width, max(spec.shape[1:])
    stride = 2 if side > 16 else 1
    layers = [nn.Conv2d(spec.shape[0], width, 3, stride=stride, padding=1), nn.GELU()]
    side = math.ceil(side / stride)
    while side > 4:
        wider = min(2 * channels, 4 * width)
        layers += [nn.Conv2d(channels, wider, 3, stride=2, padding=1), nn.GELU()]
        channels, side = wider, math.ceil(side / 2)
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, FEATURES)]
    return _initialised(nn.Sequential(*layers), seed)


@torch.random.fork_rng(devices=[])
def make_head(outputs: int, hidden: int, seed: int) -> nn.Sequential:
    """Return what stands on the features in training: class logits or a reconstruction."""
    layers: list[nn.Module] = [nn.GELU()]
    if hidden:
        layers += [nn.Linear(FEATURES, hidden), nn.GELU()]
    layers += [nn.Linear(hidden or FEATURES, outputs)]
    return _initialised(nn.Sequential(*layers), seed)


def _initialised(net: nn.Sequential, seed: int) -> nn.Sequential:
    """Draw the weights from an own generator, so that a net is the same wherever it is made."""
    generator = torch.Generator().manual_seed(seed)
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return net


class Scaler:
    """From examples to the input of a network: levels to [-1, 1], real numbers standardised.

    Args:
        spec: what an example is.
        mean: of each column of the training data; only for real numbers.
        deviation: standard deviation of each column; only for real numbers.
    """

    def __init__(
        self, spec: Spec, mean: Tensor | None = None, deviation: Tensor | None = None
    ) -> None:
        self.spec, self.mean, self.deviation = spec, mean, deviation

    @classmethod
    def of(cls, spec: Spec, train: Tensor) -> Scaler:
        """Return the scaler for such data, from training examples."""
        if spec.is_discrete:
            return cls(spec)
        mean, deviation = train.double().mean(0), train.double().std(0)
        # A constant column says nothing, and rounding must not give it a deviation.
        varies = deviation > LAST_DIGIT * train.double().abs().amax(0)
        return cls(spec, mean, torch.where(varies, deviation, 1.0))

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``(B, *shape)`` in float32."""
        if self.spec.levels is not None:
            return 2 * x.float() / (self.spec.levels - 1) - 1
        assert self.mean is not None
        assert self.deviation is not None
        return ((x.double() - self.mean) / self.deviation).float()
