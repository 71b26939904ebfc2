"""Changes of images, at random and differentiable, for a critic of few examples.

Both kinds of examples are changed alike before the critic sees them, so that it learns fewer of the
real ones by heart. Each change happens with a probability below one, so that plain images stay the
most frequent of their kind and the law of what was changed gives away that of the plain ones: the
changes do not leak into samples (Karras et al., 2020, section 2.2).

References:
    | Training Generative Adversarial Networks with Limited Data (Karras et al., 2020)
    | https://arxiv.org/abs/2006.06676
    | Differentiable Augmentation for Data-Efficient GAN Training (Zhao et al., 2020)
    | https://arxiv.org/abs/2006.10738
"""

# Shapes: B batch, C H W an image.
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genus.random import Noise

FARTHEST = 8
"""Images are moved by at most a side over this number of pixels."""
CUT = 2
"""A square that is cut out has a side of the image's over this number."""
BRIGHTEST = 0.5
"""Most that is added to all pixels; the networks' scale is from -1 to 1."""


def moved(x: Tensor, u_B3: Tensor) -> Tensor:
    """Return images moved by whole pixels, with their edges drawn out into what is left empty.

    Args:
        x: ``(B, C, H, W)``.
        u_B3: uniform noise; the last column is not used.

    Example:
        >>> x = torch.arange(8.0).view(1, 1, 1, 8)
        >>> moved(x, torch.tensor([[0.0, 0.0, 0.0]])).flatten().tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.0]
    """
    _, _, H, W = x.shape
    rows_BH = _shifted(u_B3[:, 0], H, x.device)
    columns_BW = _shifted(u_B3[:, 1], W, x.device)
    x = x.gather(2, rows_BH[:, None, :, None].expand(-1, x.shape[1], -1, W))
    return x.gather(3, columns_BW[:, None, None, :].expand(-1, x.shape[1], H, -1))


def _shifted(u_B: Tensor, size: int, device: torch.device) -> Tensor:
    """Return ``(B, size)``, the place from which each row or column is taken."""
    farthest = size // FARTHEST
    shift_B = (farthest - (u_B.to(device) * (2 * farthest + 1)).long()).clamp(-farthest, farthest)
    place_BS = torch.arange(size, device=device) + shift_B[:, None]
    return place_BS.clamp(0, size - 1)


def cut(x: Tensor, u_B3: Tensor) -> Tensor:
    """Return images with a square of zeros, the middle of the scale, anywhere, even half outside.

    Args:
        x: ``(B, C, H, W)``.
        u_B3: uniform noise; the last column is not used.
    """
    inside = [
        _inside(u_B, size, x.device) for u_B, size in zip(u_B3.unbind(1), x.shape[2:], strict=False)
    ]
    hole_BHW = inside[0][:, :, None] & inside[1][:, None, :]
    return x.masked_fill(hole_BHW[:, None], 0.0)


def _inside(u_B: Tensor, size: int, device: torch.device) -> Tensor:
    """Return ``(B, size)``, which rows or columns belong to the square."""
    half = max(1, size // CUT) / 2
    centre_B = u_B.to(device) * size
    return (torch.arange(size, device=device) + 0.5 - centre_B[:, None]).abs() < half


def brightened(x: Tensor, u_B3: Tensor) -> Tensor:
    """Return images with a number added to all pixels and with more or less contrast.

    Args:
        x: ``(B, C, H, W)``.
        u_B3: uniform noise; the last column is not used.
    """
    u_B3 = u_B3.to(x)
    offset_B111 = BRIGHTEST * (2 * u_B3[:, 0, None, None, None] - 1)
    contrast_B111 = 0.5 + u_B3[:, 1, None, None, None]
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * contrast_B111 + offset_B111


CHANGES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (moved, cut, brightened)
"""In the order in which they are made."""


def augmented(x: Tensor, noise: Noise, probability: float) -> Tensor:
    """Return images each of which went through each change, or not, at random.

    Args:
        x: ``(B, C, H, W)`` on the networks' scale.
        noise: with a row for each image.
        probability: of each change.
    """
    u_BN4 = noise.uniform(len(CHANGES), 4)
    for index, change in enumerate(CHANGES):
        chosen_B = u_BN4[:, index, 3].to(x.device) < probability
        changed = change(x, u_BN4[:, index, :3])
        x = torch.where(chosen_B[:, None, None, None], changed, x)
    return x
