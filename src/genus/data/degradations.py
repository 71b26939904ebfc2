r"""What is lost of an image, so that a model conditional on the rest learns to bring it back.

A model of :math:`p(x \mid A(x))` is a colorizer, an upscaler, a deblurrer or fills in what is
hidden, whichever degradation :math:`A` is. All of them map levels to levels, are computed in whole
numbers, so that no machine and no batch rounds otherwise, and have nothing random.
"""

# Shapes: B batch, C H W an image.
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from genus.errors import ConfigError, DataError
from genus.spec import Spec

if TYPE_CHECKING:  # torch takes seconds to import, and listing data sets does not need it
    from torch import Tensor

_UNIT = 1 << 16
"""What the weights of a blur add up to."""


class Degradation(Protocol):
    """A function of an image; ``str()`` gives the text that `degradation` reads."""

    def shape(self, spec: Spec) -> tuple[int, int, int]:
        """Return ``(C, H, W)`` of what is left of such an image.

        Raises:
            DataError: it cannot be applied to such data.
        """
        ...

    def __call__(self, x: Tensor, spec: Spec) -> Tensor:
        """Return what is left of images ``(B, C, H, W)``, int64 levels."""
        ...


@dataclass(frozen=True)
class Grayscale:
    r"""Grey instead of colours: :math:`0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601), rounded.

    Example:
        >>> import torch
        >>> colour = torch.tensor([255, 0, 0]).view(1, 3, 1, 1)
        >>> Grayscale()(colour, Spec((3, 1, 1), levels=256)).item()  # 0.299 * 255 = 76.2
        76
    """

    def __str__(self) -> str:
        """Return what `degradation` reads."""
        return "grayscale"

    def shape(self, spec: Spec) -> tuple[int, int, int]:
        """Return ``(1, H, W)``."""
        channels, height, width = _image(self, spec)
        if channels != 3:
            raise DataError(f"{self} takes images of 3 colours, and these have {channels}")
        return 1, height, width

    def __call__(self, x: Tensor, spec: Spec) -> Tensor:
        """Return ``(B, 1, H, W)``."""
        red, green, blue = (x[:, i : i + 1].long() for i in range(3))
        return (299 * red + 587 * green + 114 * blue + 500) // 1000


@dataclass(frozen=True)
class Downsample:
    """A smaller image: the mean over square blocks, rounded.

    Args:
        factor: side of a block in pixels; it must divide height and width.

    Raises:
        ConfigError: a factor below 2.

    Example:
        >>> import torch
        >>> Downsample(2)(torch.tensor([[[[0, 1], [3, 4]]]]), Spec((1, 2, 2), levels=5)).item()
        2
    """

    factor: int

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise ConfigError(f"{self}: the factor must be a whole number of at least 2")

    def __str__(self) -> str:
        """Return what `degradation` reads."""
        return f"downsample:{self.factor}"

    def shape(self, spec: Spec) -> tuple[int, int, int]:
        """Return ``(C, H / factor, W / factor)``."""
        channels, height, width = _image(self, spec)
        if height % self.factor or width % self.factor:
            common = math.gcd(height, width)
            fit = [str(f) for f in range(2, common + 1) if common % f == 0]
            remedy = f"take a factor of {', '.join(fit)}" if fit else "bring them to another --size"
            raise DataError(f"{self} does not divide the sides of {height}x{width}; {remedy}")
        return channels, height // self.factor, width // self.factor

    def __call__(self, x: Tensor, spec: Spec) -> Tensor:
        """Return ``(B, C, H / factor, W / factor)``."""
        B, f = len(x), self.factor
        channels, height, width = self.shape(spec)
        blocks = x.long().view(B, channels, height, f, width, f)
        return (2 * blocks.sum((3, 5)) + f * f) // (2 * f * f)


@dataclass(frozen=True)
class Blur:
    r"""A blurred image: the mean under a Gaussian of deviation sigma, rounded.

    The Gaussian ends at four deviations. Beyond the border the image is mirrored at the centre of
    its last pixels. Weights are multiples of :math:`2^{-16}`.

    Args:
        sigma: in pixels.

    Raises:
        ConfigError: a sigma that is not between 0.1 and 100.

    Example:
        >>> import torch
        >>> Blur(0.5)(torch.tensor([[[[0, 0, 100, 0, 0]]]]), Spec((1, 1, 5), levels=256)).flatten()
        tensor([ 0, 11, 79, 11,  0])
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0.1 <= self.sigma <= 100:
            raise ConfigError(f"{self}: sigma must be between 0.1 and 100 pixels")

    def __str__(self) -> str:
        """Return what `degradation` reads."""
        return f"blur:{self.sigma!r}".removesuffix(".0")

    def shape(self, spec: Spec) -> tuple[int, int, int]:
        """Return ``(C, H, W)``."""
        return _image(self, spec)

    def __call__(self, x: Tensor, spec: Spec) -> Tensor:
        """Return ``(B, C, H, W)``."""
        both = _smoothed(_smoothed(x.long(), self._weights(), 2), self._weights(), 3)
        return (both + _UNIT * _UNIT // 2) // (_UNIT * _UNIT)

    def _weights(self) -> list[int]:
        """Return the weights in units of 1 / 65,536; what rounding left is at the centre."""
        radius = max(1, int(4 * self.sigma + 0.5))
        law = [math.exp(-0.5 * (i / self.sigma) ** 2) for i in range(-radius, radius + 1)]
        weights = [round(_UNIT * w / sum(law)) for w in law]
        weights[radius] += _UNIT - sum(weights)
        return weights


def _smoothed(x: Tensor, weights: Sequence[int], axis: int) -> Tensor:
    """Return the weighted sum of neighbours along an axis, mirrored at the border."""
    import torch

    n, radius = x.shape[axis], len(weights) // 2
    period = max(1, 2 * (n - 1))
    total = torch.zeros_like(x)
    for shift, weight in zip(range(-radius, radius + 1), weights, strict=True):
        place = (torch.arange(n, device=x.device) + shift).abs() % period
        total += weight * x.index_select(axis, torch.minimum(place, period - place) % n)
    return total


Box = Callable[[int, int], tuple[slice, slice]]
PARTS: dict[str, Box] = {
    "upper": lambda height, width: (slice(0, height // 2), slice(None)),
    "lower": lambda height, width: (slice(height // 2, None), slice(None)),
    "left": lambda height, width: (slice(None), slice(0, width // 2)),
    "right": lambda height, width: (slice(None), slice(width // 2, None)),
    "centre": lambda height, width: (
        slice(height // 4, height - height // 4),
        slice(width // 4, width - width // 4),
    ),
}
"""Rows and columns that each part means; the centre is half of either side."""


@dataclass(frozen=True)
class Hide:
    """An image of which a part is covered: there all entries are the middle level, (K - 1) // 2.

    Args:
        part: upper, lower, left or right half, or centre, half of each side.

    Raises:
        ConfigError: no such part.

    Example:
        >>> import torch
        >>> Hide("lower")(torch.tensor([[[[7], [7]]]]), Spec((1, 2, 1), levels=8)).flatten()
        tensor([7, 3])
    """

    part: str

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ConfigError(f"{self}: the part must be one of {', '.join(PARTS)}")

    def __str__(self) -> str:
        """Return what `degradation` reads."""
        return f"hide:{self.part}"

    def shape(self, spec: Spec) -> tuple[int, int, int]:
        """Return ``(C, H, W)``."""
        channels, height, width = _image(self, spec)
        rows, columns = self._box(spec)
        hidden = len(range(height)[rows]) * len(range(width)[columns])
        if hidden in (0, height * width):
            amount = "nothing" if hidden == 0 else "everything"
            raise DataError(f"{self} hides {amount} of images of {height}x{width} pixels")
        return channels, height, width

    def __call__(self, x: Tensor, spec: Spec) -> Tensor:
        """Return ``(B, C, H, W)``."""
        rows, columns = self._box(spec)
        y = x.long().clone()
        y[:, :, rows, columns] = (spec.levels_or_raise - 1) // 2
        return y

    def _box(self, spec: Spec) -> tuple[slice, slice]:
        return PARTS[self.part](*spec.shape[1:])


def _image(degradation: Degradation, spec: Spec) -> tuple[int, int, int]:
    """Return the shape of images of levels.

    Raises:
        DataError: the data are something else.
    """
    if not spec.is_image or not spec.is_discrete:
        raise DataError(f"{degradation} takes images of levels, but the data are {spec}")
    channels, height, width = spec.shape
    return channels, height, width


_READERS: Mapping[str, tuple[str, Callable[[str], Degradation]]] = {
    "grayscale": ("grayscale", lambda text: Grayscale()),
    "downsample": ("downsample:FACTOR", lambda text: Downsample(int(text))),
    "blur": ("blur:SIGMA", lambda text: Blur(float(text))),
    "hide": (f"hide:{'|'.join(PARTS)}", Hide),
}
USAGES = tuple(usage for usage, _ in _READERS.values())
"""How each degradation is written."""


def degradation(text: str) -> Degradation:
    """Return the degradation of that name, with what follows the colon.

    Raises:
        ConfigError: there is none, or its number or part cannot be used; the message has all.

    Example:
        >>> degradation("downsample:2")
        Downsample(factor=2)
        >>> str(degradation("Blur:1.50"))
        'blur:1.5'
    """
    name, _, argument = text.strip().lower().partition(":")
    if name not in _READERS:
        raise ConfigError(f"there is no degradation {text!r}; choose from: {', '.join(USAGES)}")
    usage, read = _READERS[name]
    if (":" in usage) != bool(argument):
        raise ConfigError(f"the degradation {text!r} is written {usage}")
    try:
        return read(argument)
    except ConfigError:
        raise
    except ValueError as error:
        kind = "whole number" if name == "downsample" else "number"
        raise ConfigError(f"{text!r}: {argument!r} is no {kind}; write {usage}") from error
